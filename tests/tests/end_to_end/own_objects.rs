//! What the platform has for itself is drift-corrected like everything else.

use anyhow::ensure;
use serde_json::Value;
use tests::platform::Platform;

/// Whoever deletes a rule's binding, makes a rule harmless or takes its parameters away has opened every namespace, or
/// closed it.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_platform_has_for_itself_comes_back_when_somebody_changes_or_deletes_it() -> anyhow::Result<()> {
    let platform = Platform::start("own").await?;
    platform.quiet().await?;
    let namespace = platform.namespace();
    let own = Some(namespace.as_str());
    let things = [
        ("ValidatingAdmissionPolicyBinding", None, "toolforge-pods.own"),
        ("ConfigMap", own, "toolforge-policy"),
        ("ConfigMap", own, "toolforge-platform"),
    ];
    for (kind, namespace, name) in things {
        let uid = |object: &Value| object["metadata"]["uid"].clone();
        let Some(before) = platform.object(kind, namespace, name).await? else {
            anyhow::bail!("{kind} {name} is not there");
        };
        let mut words = vec!["delete", kind, name];
        let place = namespace.map(|namespace| format!("--namespace={namespace}"));
        words.extend(place.as_deref());
        platform.kubectl(&words).await?;
        let back = async || {
            let found = platform.object(kind, namespace, name).await?;
            Ok(found.filter(|found| uid(found) != uid(&before)))
        };
        let back = platform.until(&format!("{kind} {name} is back"), back).await?;
        ensure!(back.get("spec") == before.get("spec") && back.get("data") == before.get("data"), "{back} {before}");
    }

    let rule = "toolforge-pods.own";
    let harmless = r#"{"spec": {"failurePolicy": "Ignore"}}"#;
    platform.kubectl(&["patch", "validatingadmissionpolicy", rule, "--type=merge", "-p", harmless]).await?;
    let strict = async || {
        let found = platform.object("ValidatingAdmissionPolicy", None, rule).await?;
        Ok(found.is_some_and(|found| found["spec"]["failurePolicy"] == "Fail").then_some(()))
    };
    platform.until("the rule is strict again", strict).await?;

    // What was written for that is told too, and ends there.
    platform.quiet().await
}
