//! What somebody with every right in a namespace makes of what stands around its pods: the Namespace itself, which
//! Kubernetes counts among what is in it.

use anyhow::ensure;
use serde_json::{Value, json};
use tests::platform::{Platform, Route};

use crate::tenancy::{Answer, Ground};

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

/// Who is refused, by which rule, or not at all.
fn refused_by(told: &Answer) -> Option<&str> {
    let said = told.as_ref().err()?;
    Some(said.split("'toolforge-").nth(1).and_then(|rest| rest.split('.').next()).unwrap_or(said))
}

/// What is no pod, and reaches further than one.
fn attacks(ground: &Ground<'_>, own: &str) -> Vec<(&'static str, &'static str, Value)> {
    let gateway = "gateway.networking.k8s.io/v1";
    let to = |namespace: &str| json!([{"name": "web", "namespace": namespace, "port": 8000}]);
    let mirror = json!({"type": "RequestMirror", "requestMirror": {"backendRef": to("tool-b")[0]}});
    let route = |kind: &str, host: &str, rule: Value| {
        ground.object(gateway, kind, &json!({"spec": {"hostnames": [host], "rules": [rule]}}))
    };
    let listener = json!({"name": "http", "port": 80, "protocol": "HTTP", "hostname": "*.around.example"});
    let listening = json!({"spec": {"gatewayClassName": "a", "listeners": [listener]}});
    let grant = json!({"from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "tool-b"}],
        "to": [{"group": "", "kind": "Service"}]});
    let ingress = |key: &str, value: &str| {
        let backend = json!({"service": {"name": "web", "port": {"number": 8000}}});
        let rule = json!({"host": own, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}});
        let notes = json!({"annotations": {format!("nginx.ingress.kubernetes.io/{key}"): value}});
        ground.object("networking.k8s.io/v1", "Ingress", &json!({"metadata": notes, "spec": {"rules": [rule]}}))
    };
    let slice = json!({"metadata": {"labels": {"kubernetes.io/service-name": "web"}}, "addressType": "IPv4", "endpoints": [{"addresses": ["192.0.2.1"]}], "ports": [{"port": 80}]});
    let slice = ground.object("discovery.k8s.io/v1", "EndpointSlice", &slice);
    let subsets = json!({"subsets": [{"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": 80}]}]});
    let open = json!({"spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]}});
    let disk = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Ti"}}});
    let account = ground.object("v1", "ServiceAccount", &json!({"metadata": {"name": "toolforge-deployer"}}));
    vec![
        ("another tool's host by gRPC", "hosts", route("GRPCRoute", "b.around.example", json!({}))),
        (
            "another tool's host by TLS",
            "hosts",
            route("TLSRoute", "b.around.example", json!({"backendRefs": [{"name": "web", "port": 443}]})),
        ),
        ("a gateway for every host", "hosts", ground.object(gateway, "Gateway", &listening)),
        ("a grant", "hosts", ground.object(gateway, "ReferenceGrant", &json!({"spec": grant}))),
        ("another tool behind one's host", "hosts", route("HTTPRoute", own, json!({"backendRefs": to("tool-b")}))),
        ("requests told to another tool", "hosts", route("HTTPRoute", own, json!({"filters": [mirror]}))),
        ("somebody else asked for leave", "hosts", ingress("auth-url", "http://192.0.2.1/latest/meta-data/")),
        ("a mirror by annotation", "hosts", ingress("mirror-target", "http://192.0.2.1")),
        ("a share of another's requests", "hosts", ingress("canary", "true")),
        ("any address behind a Service, as a slice", "endpoints", slice),
        ("any address behind a Service", "endpoints", ground.object("v1", "Endpoints", &subsets)),
        ("the deployer's account", "deployer", account),
        ("everything that goes out", "bounds", ground.object("networking.k8s.io/v1", "NetworkPolicy", &open)),
        ("a disk", "claims", ground.object("v1", "PersistentVolumeClaim", &json!({"spec": disk}))),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_pod_reaches_nobody_else_either() -> anyhow::Result<()> {
    let platform = Platform::prepare("around", Route::Ingress).await?;
    let ground = Ground::new(&platform).await?;
    let own = format!("{}.around.example", ground.tool.name());
    let attacks = attacks(&ground, &own);
    // Of each rule one, until the server has learnt of it.
    for (what, rule, object) in &attacks {
        let held = async || Ok((refused_by(&ground.make(object).await?) == Some(*rule)).then_some(()));
        platform.until(&format!("{rule} refuses {what}"), held).await?;
    }
    // Nor is what bounds it taken away.
    let people = ["--as=mallory@example", "--as-group=tenancy-people", "--dry-run=server", "delete"];
    for bound in ["networkpolicy", "resourcequota", "limitrange"] {
        let told = ground.tool.kubectl(&[&people[..], &[bound, "--all"]].concat()).await;
        let by_us = told.as_ref().is_err_and(|said| format!("{said:#}").contains("'toolforge-bounds.around'"));
        ensure!(by_us, "{bound}: {told:?}");
    }
    // Nothing is wrong with what leads to oneself.
    let route = json!({"spec": {"hostnames": [own], "rules": [{"backendRefs": [{"name": "web", "port": 8000}]}]}});
    for kind in ["HTTPRoute", "GRPCRoute"] {
        let told = ground.make(&ground.object("gateway.networking.k8s.io/v1", kind, &route)).await?;
        ensure!(told.is_ok(), "{kind}: {told:?}");
    }

    // And Services lead to their pods, by the controllers.
    let namespace = ground.tool.namespace();
    let led = async || {
        let slices = platform.kubectl(&["get", "endpointslices", "-n", &namespace, "-o", "name"]).await?;
        Ok(slices.contains("web").then_some(()))
    };
    platform.until("the Service has its endpoints", led).await?;

    // An account of the deployer's name that is there from before the rule gives no token.
    platform.stop().await?;
    platform.kubectl(&["delete", "validatingadmissionpolicybinding", "toolforge-deployer.around"]).await?;
    let made = async || Ok(ground.tool.kubectl(&["create", "serviceaccount", "toolforge-deployer"]).await.ok());
    platform.until("the account is made without the rule", made).await?;
    platform.run().await?;
    let uri = format!("/api/v1/namespaces/{namespace}/serviceaccounts/toolforge-deployer/token");
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let refused = async || Ok((refused_by(&ground.post(&uri, &request).await?) == Some("deployer")).then_some(()));
    platform.until("no token of it is made", refused).await
}
