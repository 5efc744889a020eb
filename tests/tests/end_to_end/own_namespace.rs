//! What somebody with every right in a namespace makes of what stands around its pods: the Namespace itself, which
//! Kubernetes counts among what is in it.

use anyhow::ensure;
use tests::platform::{Platform, Route};

use crate::tenancy::Ground;

/// May do anything in one namespace, by a RoleBinding there, and nothing elsewhere.
const BOSS: &str = "--as=boss@example";

/// Somebody whom operators gave `cluster-admin` in the tool's namespace.
async fn boss(ground: &Ground<'_>) -> anyhow::Result<()> {
    let words = ["create", "rolebinding", "boss", "--clusterrole=cluster-admin", "--user=boss@example"];
    ground.tool.kubectl(&words).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_do_anything_in_a_namespace_can_t_change_what_the_rules_know_it_by() -> anyhow::Result<()> {
    let platform = Platform::prepare("marked", Route::Ingress).await?;
    let ground = Ground::new(&platform).await?;
    boss(&ground).await?;
    let namespace = ground.tool.namespace();
    let label = async |labels: &[&str]| {
        let words = [&["label", "namespace", &namespace, "--overwrite", "--dry-run=server", BOSS], labels].concat();
        platform.kubectl(&words).await
    };
    // They may edit it, once the server knows of their rights, and the rule is held.
    let may = async || Ok(label(&["team=a"]).await.ok());
    platform.until("they may label their namespace", may).await?;
    let by_us = |told: &anyhow::Result<String>| {
        told.as_ref().is_err_and(|said| format!("{said:#}").contains("'toolforge-namespaces.marked'"))
    };
    let held = async || Ok(by_us(&label(&["tenancy-"]).await).then_some(()));
    platform.until("the rule is held", held).await?;
    let attacks: [&[&str]; 6] = [
        &["tenancy-", "pod-security.kubernetes.io/enforce-"],
        &["pod-security.kubernetes.io/enforce=privileged"],
        &["tenancy-", "toolforge.org/platform-", "toolforge.org/tool-"],
        &["toolforge.org/platform=another"],
        &["toolforge.org/tool=another"],
        &["toolforge.org/uid=50001"],
    ];
    for attack in attacks {
        let told = label(attack).await;
        ensure!(by_us(&told), "{attack:?}: {told:?}");
    }
    let open = r#"{"metadata": {"labels": {"tenancy": null}}}"#;
    let patch = ["patch", "namespace", &namespace, "--type=merge", "--dry-run=server", BOSS, "--subresource=status"];
    let told = platform.kubectl(&[&patch[..], &["-p", open]].concat()).await;
    ensure!(by_us(&told), "by its status: {told:?}");
    // And still anything else.
    label(&["team=a"]).await.map(drop)
}
