//! The least that is enough.

use anyhow::{bail, ensure};
use planner::identity;
use planner::kinds::Identity;
use planner::outcome::FailureKind;
use planner::plan::{Action, Cause, Plan, Request, Step, Target};
use reconciler::dialer::{Dialer, Rules};
use reconciler::execute::{Doors, execute};
use reconciler::registry::Registry;
use renderer::{Object, ObjectId};
use serde_json::{Value, json};
use tests::platform::{Platform, Route};

use crate::{component, prebuilt, web};

#[tokio::test(flavor = "multi_thread")]
async fn the_rights_that_the_table_of_kinds_names_are_enough() -> anyhow::Result<()> {
    let platform = Platform::prepare("rights", Route::Ingress).await?;
    let image = prebuilt(&platform, "web").await?;
    let tool = platform.tool("all")?;
    let once = component("once", &image, "command: once");
    let daily = component("daily", &image, "command: daily, schedule: \"@daily\", timeout: 60");
    let worker = component("worker", &image, "command: work, replicas: 2");
    let rest = format!("{once}    component_type: one-off\n{daily}    component_type: scheduled\n{worker}");
    let mark = platform.plane().mark()?;
    platform.run().await?;
    tool.commit(&format!("{}{rest}", web(&image)))?;
    tool.ready().await?;
    tool.kubectl(&["label", "deployment/web", "hello=world"]).await?;
    let clean = |web: &Value| web["metadata"]["labels"]["hello"].is_null();
    tool.until("Deployment", "web", "has no foreign label", clean).await?;
    tool.commit(&web(&image))?;
    tool.ready().await?;
    for (kind, name) in [("Deployment", "worker"), ("PodDisruptionBudget", "worker"), ("CronJob", "daily")] {
        tool.until_gone(kind, name).await?;
    }
    platform.quiet().await?;
    platform.stop().await?;
    platform.refused_nothing_since(mark)
}

/// What a component of tool `a` could never ask for, were it rendered all the same.
fn forged(a: &str, b: &str) -> anyhow::Result<Vec<Object>> {
    let core = |kind: &str, namespace: &str, name: &str, rest: Value| {
        let head = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": namespace}});
        with(head, rest)
    };
    let of_group = |group: &str, kind: &str, namespace: &str, name: &str, rest: Value| {
        let mut object = core(kind, namespace, name, rest);
        object["apiVersion"] = json!(group);
        object
    };
    let admin = json!({
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "toolforge-deployer", "namespace": a}],
    });
    let open =
        json!({"spec": {"podSelector": {}, "ingress": [{}], "egress": [{}], "policyTypes": ["Ingress", "Egress"]}});
    let tool = a.trim_start_matches("tool-");
    let rbac = "rbac.authorization.k8s.io/v1";
    let objects = [
        core("ConfigMap", b, "settings", json!({"data": {"a": "b"}})),
        core("ConfigMap", "kube-system", "settings", json!({"data": {"a": "b"}})),
        core("Service", b, "web", json!({"spec": {"selector": {"x": "y"}}})),
        of_group("apps/v1", "Deployment", b, "web", json!({"spec": {"replicas": 0}})),
        of_group("networking.k8s.io/v1", "Ingress", b, "web", json!({"spec": {}})),
        core("ResourceQuota", a, tool, json!({"spec": {"hard": {"pods": "1000"}}})),
        core("LimitRange", a, tool, json!({"spec": {"limits": []}})),
        core("ServiceAccount", a, tool, json!({"automountServiceAccountToken": true})),
        core("Secret", b, "token", json!({"type": "Opaque"})),
        of_group("networking.k8s.io/v1", "NetworkPolicy", a, "toolforge.default", open.clone()),
        of_group("networking.k8s.io/v1", "NetworkPolicy", a, "web", open),
        of_group(rbac, "RoleBinding", a, "more", admin.clone()),
        of_group(rbac, "RoleBinding", a, "toolforge-deployer", admin),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": a, "labels": {"tenancy": "none"}}}),
        json!({"apiVersion": "toolforge.org/v1alpha1", "kind": "Tool", "metadata": {"name": tool}, "spec": {"repository": "x", "branch": "y"}}),
    ];
    Ok(objects.into_iter().map(Object::new).collect::<Result<_, _>>()?)
}

fn with(mut head: Value, rest: Value) -> Value {
    if let (Value::Object(head), Value::Object(rest)) = (&mut head, rest) {
        head.extend(rest);
    }
    head
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_wrong_plan_would_do_beyond_its_tool_the_server_refuses() -> anyhow::Result<()> {
    let platform = Platform::start("forged").await?;
    let image = prebuilt(&platform, "web").await?;
    let (a, b) = (platform.tool("a")?, platform.tool("b")?);
    for tool in [&a, &b] {
        tool.commit(&web(&image))?;
        tool.ready().await?;
    }
    platform.stop().await?;
    let client = platform.own_client().await?;
    let registry = Registry::new(Dialer::new(Rules::default()), Default::default(), Default::default());
    let vault = reconciler::secrets::Vault::default();
    let doors = Doors { client: &client, registry: &registry, vault: &vault };
    let step = |id: ObjectId, action, identity, request| Step {
        id,
        action,
        cause: Cause::NewRevision,
        identity,
        changes: Vec::new(),
        requests: vec![request],
    };
    let mut steps: Vec<Step> = forged(&a.namespace(), &b.namespace())?
        .into_iter()
        .map(|object| {
            let identity = identity::of_component(&object);
            step(object.id, Action::Configure, identity, Request::Apply { body: object.value })
        })
        .collect();
    // And what is there goes.
    for (kind, name) in [("Deployment", "web"), ("Service", "web"), ("NetworkPolicy", "toolforge.default")] {
        let live = Object::new(b.object(kind, name).await?)?;
        let uid = live.value["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        steps.push(step(live.id, Action::Prune, Identity::Deployer, Request::Delete { uid }));
    }
    let name = renderer::ToolName::new(a.name())?;
    let target = Target { branch: "main".into(), commit: None, author: None };
    for step in steps {
        let id = step.id.clone();
        let plan = Plan { steps: vec![step], ..Plan::nothing(name.clone(), "test", target.clone()) };
        // No judge is asked: this is what its mistakes would come to.
        let outcome = execute(doors, &plan, &|_, _| ()).await;
        let kinds: Vec<_> = outcome.failures().map(|(_, failure)| failure.kind).collect();
        ensure!(kinds == [FailureKind::Denied], "{id}: {outcome:#?}");
    }
    // The same account, with its own rights: it runs nothing, and gives nobody more than deployers have.
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": a.namespace()}});
    let more = forged(&a.namespace(), &b.namespace())?;
    let refused = ["Deployment", "Service", "Ingress", "Secret", "RoleBinding"];
    let bodies = more.iter().filter(|object| refused.contains(&object.id.kind.as_str())).map(|object| &object.value);
    for body in bodies.chain([&pod]) {
        let Err(error) = tests::rights::put(&client, body).await else { bail!("{body} was taken") };
        ensure!(error.to_string().contains("forbidden") || error.to_string().contains("immutable"), "{error:#}");
    }
    Ok(())
}
