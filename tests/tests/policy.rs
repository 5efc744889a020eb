//! The shipped rules here and on the real API server: the same verdict on the same request.
//!
//! Every example is judged by this code as it is written and as the server's defaults make it, and sent to the server
//! with the policies installed. The language itself is compared by claims about one object.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use http::{Method, Request as Http};
use policy::{Case, Cases, Params, Rules, SHIPPED, User};
use serde_json::{Value, json};
use tests::control_plane::ControlPlane;

const SOON: Duration = Duration::from_secs(60);
const GROUP: &str = "case-people";

/// What the server said: the object, or status code and message.
type Answer = Result<Value, (u16, String)>;

async fn send(client: &kube::Client, method: Method, uri: &str, user: &str, body: &Value) -> anyhow::Result<Answer> {
    let mut request = Http::builder().method(method).uri(uri).header("content-type", "application/json");
    if !user.is_empty() {
        request = request.header("impersonate-user", user).header("impersonate-group", GROUP);
    }
    match client.request(request.body(serde_json::to_vec(body)?)?).await {
        Ok(object) => Ok(Ok(object)),
        Err(kube::Error::Api(status)) => Ok(Err((status.code, status.message.clone()))),
        Err(error) => Err(error.into()),
    }
}

/// Makes an object as the administrator.
async fn make(client: &kube::Client, object: &Value) -> anyhow::Result<()> {
    make_in(client, &collection(object, None), object).await
}

async fn make_in(client: &kube::Client, collection: &str, object: &Value) -> anyhow::Result<()> {
    let answer = send(client, Method::POST, collection, "", object).await?;
    answer.map(drop).map_err(|(code, message)| anyhow::anyhow!("{code}: {message}\n{object:#}"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Where objects of its kind are; `resource` where the kind does not say it.
fn collection(object: &Value, resource: Option<&str>) -> String {
    let api_version = text(&object["apiVersion"]);
    let root = if api_version == "v1" { "/api/v1".to_owned() } else { format!("/apis/{api_version}") };
    let kind = text(&object["kind"]).to_lowercase();
    let plural = match kind.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None if kind.ends_with('s') => format!("{kind}es"),
        None => format!("{kind}s"),
    };
    let resource = resource.map_or(plural, str::to_owned);
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{root}/namespaces/{namespace}/{resource}"),
        None => format!("{root}/{resource}"),
    }
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

async fn namespace(client: &kube::Client, name: &str, labels: &BTreeMap<String, String>) -> anyhow::Result<()> {
    let metadata = json!({"name": name, "labels": labels});
    make(client, &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})).await
}

/// Everybody of the group may do anything: what refuses them is admission.
async fn people(client: &kube::Client) -> anyhow::Result<()> {
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": GROUP},
        "subjects": [{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": GROUP}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
    });
    let answer = send(client, Method::POST, &collection(&binding, None), "", &binding).await?;
    ensure!(!matches!(&answer, Err((code, _)) if *code != 409), "{answer:?}");
    Ok(())
}

/// One example, under a name of its own, as it is judged at each of the three times.
struct Trial {
    case: Case,
    label: String,
    written: (Value, Option<Value>),
    /// As the server's defaults make it.
    defaulted: (Value, Option<Value>),
}

impl Trial {
    fn all() -> anyhow::Result<Vec<Self>> {
        let mut trials = Vec::new();
        for (file, _, text) in SHIPPED {
            let cases = Cases::read(file, text).map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
            for case in cases {
                let name = format!("case-{}", trials.len());
                let named = |object: &Value| {
                    let mut object = object.clone();
                    // An account is what its name says.
                    if object["kind"] != "ServiceAccount" {
                        object["metadata"]["name"] = name.clone().into();
                    }
                    object
                };
                let (object, old) = case.objects();
                let written = (named(object), old.map(named));
                let label = format!("{file}: {}", case.name);
                trials.push(Self { label, written, defaulted: (Value::Null, None), case });
            }
        }
        Ok(trials)
    }

    fn user(&self) -> User {
        let name = self.case.user.clone().unwrap_or_else(|| "maintainer@example".to_owned());
        User { name, groups: vec![GROUP.to_owned(), "system:authenticated".to_owned()] }
    }

    async fn ask(&self, client: &kube::Client) -> anyhow::Result<Answer> {
        let (object, old) = &self.written;
        let collection = collection(object, Some(self.case.resource()));
        let (method, uri) = match old {
            None => (Method::POST, collection),
            Some(_) => {
                let mut uri = format!("{collection}/{}", text(&object["metadata"]["name"]));
                if !self.case.subresource.is_empty() {
                    uri = format!("{uri}/{}", self.case.subresource);
                }
                (Method::PUT, uri)
            }
        };
        send(client, method, &format!("{uri}?dryRun=All"), &self.user().name, object).await
    }

    /// Before any policy: makes what an update needs, and learns the server's defaults.
    async fn prepare(&mut self, client: &kube::Client) -> anyhow::Result<()> {
        if let Some(old) = &self.written.1 {
            let collection = collection(old, Some(self.case.resource()));
            make_in(client, &collection, old).await.with_context(|| self.label.clone())?;
            let uri = format!("{collection}/{}", text(&old["metadata"]["name"]));
            let live = send(client, Method::GET, &uri, "", &Value::Null).await?;
            self.defaulted.1 = Some(live.map_err(|said| anyhow::anyhow!("{}: {said:?}", self.label))?);
        }
        let answer = self.ask(client).await?;
        self.defaulted.0 =
            answer.map_err(|said| anyhow::anyhow!("{} is refused without policy: {said:?}", self.label))?;
        Ok(())
    }

    /// What this code says of the objects: `policy`, `binding` and message of each denial, as the server tells them.
    fn judged(&self, rules: &Rules, params: &Params, (object, old): &(Value, Option<Value>)) -> Vec<(String, String)> {
        let labels = labels(&TENANT);
        let user = self.user();
        let denials = rules.denials(&self.case.request((object, old.as_ref()), &labels, &user), params);
        let told = |d: policy::Denial| {
            let (policy, binding, message) = (d.policy, d.binding, d.message);
            let told =
                format!("ValidatingAdmissionPolicy '{policy}' with binding '{binding}' denied request: {message}");
            (message, told)
        };
        let mut told: Vec<_> = denials.into_iter().map(told).collect();
        told.sort();
        told
    }

    /// All three agree, or a sentence on how they don't.
    async fn disagreement(
        &self,
        client: &kube::Client,
        rules: &Rules,
        params: &Params,
    ) -> anyhow::Result<Option<String>> {
        let before = self.judged(rules, params, &self.written);
        let after = self.judged(rules, params, &self.defaulted);
        let mut expected = self.case.denied.clone();
        expected.sort();
        let messages: Vec<_> = before.iter().map(|(message, _)| message.clone()).collect();
        let server = self.ask(client).await?;
        let agrees = match &server {
            Ok(_) => before.is_empty(),
            Err((code, said)) => *code == 422 && before.iter().any(|(_, told)| said.ends_with(told.as_str())),
        };
        if messages == expected && before == after && agrees {
            return Ok(None);
        }
        let server = server.map(|_| "admitted");
        Ok(Some(format!(
            "{}\n  expected {expected:?}\n  written {messages:?}\n  defaulted {after:?}\n  server {server:?}",
            self.label
        )))
    }
}

const TENANT: [(&str, &str); 2] = [("tenancy", "tool"), ("toolforge.org/tool", "wordcount")];

fn parameters() -> anyhow::Result<(Value, Params)> {
    let map: Value = serde_yaml::from_str(include_str!("../../policy/vap/params.yaml"))?;
    let data = serde_json::from_value(map["data"].clone())?;
    Ok((map, Params::default().with("toolforge", policy::PARAMS, &data)))
}

fn shipped() -> anyhow::Result<Rules> {
    let files: Vec<_> = SHIPPED.iter().map(|(file, text, _)| (*file, *text)).collect();
    Rules::load(&files).map_err(|problems| anyhow::anyhow!("{problems:?}"))
}

#[tokio::test]
async fn every_example_has_one_verdict_here_before_and_after_defaulting_and_on_the_server() -> anyhow::Result<()> {
    let plane = ControlPlane::shared().await?;
    plane.require_controllers()?;
    let client = plane.client().await?;
    let (rules, (map, params)) = (shipped()?, parameters()?);
    people(&client).await?;
    namespace(&client, "toolforge", &BTreeMap::new()).await?;
    namespace(&client, "tool-wordcount", &labels(&TENANT)).await?;
    namespace(&client, "tool-bare", &labels(&TENANT)).await?;
    for account in ["wordcount", "toolforge-deployer"] {
        let metadata = json!({"name": account, "namespace": "tool-wordcount"});
        make(&client, &json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})).await?;
    }
    let mut trials = Trial::all()?;
    for trial in &mut trials {
        trial.prepare(&client).await?;
    }
    make(&client, &map).await?;
    for document in rules.documents() {
        make(&client, document).await?;
    }
    installed(&client, &rules, &params, &trials).await?;
    let mut wrong = Vec::new();
    for trial in &trials {
        wrong.extend(trial.disagreement(&client, &rules, &params).await?);
    }
    ensure!(wrong.is_empty(), "{} of {} disagree:\n{}", wrong.len(), trials.len(), wrong.join("\n"));
    Ok(())
}

/// Waits until one example of each policy is denied: the server learns of policies by a watch.
async fn installed(client: &kube::Client, rules: &Rules, params: &Params, trials: &[Trial]) -> anyhow::Result<()> {
    for (file, _, _) in SHIPPED {
        let of_file = |trial: &&Trial| trial.label.starts_with(file) && trial.case.denied.len() == 1;
        let probe = trials.iter().find(of_file).with_context(|| format!("{file} denies nothing"))?;
        let denied = async {
            while let Some(difference) = probe.disagreement(client, rules, params).await? {
                tokio::time::sleep(Duration::from_millis(100)).await;
                tracing::debug!(difference, "not yet");
            }
            anyhow::Ok(())
        };
        if tokio::time::timeout(SOON, denied).await.is_err() {
            bail!("within {SOON:?}: {:?}", probe.disagreement(client, rules, params).await?);
        }
    }
    Ok(())
}

/// A policy in the namespace of the claims, for objects of one name.
async fn claim(client: &kube::Client, name: &str, expressions: &[Value]) -> anyhow::Result<()> {
    let numbered =
        |(at, expression): (usize, &Value)| json!({"expression": expression, "message": format!("claim {at}")});
    let validations: Vec<_> = expressions.iter().enumerate().map(numbered).collect();
    let version = "admissionregistration.k8s.io/v1";
    let rule =
        json!({"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["deployments"]});
    let spec = json!({
        "matchConstraints": {"resourceRules": [rule]}, "validations": validations,
        "matchConditions": [{"name": "name", "expression": format!("object.metadata.name == '{name}'")}],
    });
    let metadata = json!({"name": format!("claims-{name}")});
    make(
        client,
        &json!({"apiVersion": version, "kind": "ValidatingAdmissionPolicy", "metadata": metadata, "spec": spec}),
    )
    .await
    .with_context(|| name.to_owned())?;
    let spec = json!({
        "policyName": metadata["name"], "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": {"matchLabels": {"purpose": "claims"}}},
    });
    make(
        client,
        &json!({"apiVersion": version, "kind": "ValidatingAdmissionPolicyBinding", "metadata": metadata, "spec": spec}),
    )
    .await
}

/// Creates the object under this name, until the server's answer is `done`.
async fn until(
    client: &kube::Client,
    object: &Value,
    name: &str,
    done: impl Fn(&Answer) -> bool,
) -> anyhow::Result<Answer> {
    let mut object = object.clone();
    object["metadata"]["name"] = name.into();
    let uri = format!("{}?dryRun=All", collection(&object, None));
    let waiting = async {
        loop {
            let answer = send(client, Method::POST, &uri, "maintainer@example", &object).await?;
            if done(&answer) {
                return anyhow::Ok(answer);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(SOON, waiting).await.with_context(|| format!("{name} is never denied"))?
}

#[tokio::test]
async fn the_server_and_this_code_mean_the_same_by_an_expression() -> anyhow::Result<()> {
    let plane = ControlPlane::shared().await?;
    let client = plane.client().await?;
    people(&client).await?;
    namespace(&client, "claims", &labels(&[("purpose", "claims")])).await?;
    let claims: Value = serde_yaml::from_str(include_str!("../../policy/tests/claims.yaml"))?;
    let list = |key: &str| claims[key].as_array().cloned().with_context(|| format!("no {key}"));
    let (mut hold, fail) = (list("hold")?, list("fail")?);
    for (at, expression) in fail.iter().enumerate() {
        claim(&client, &format!("fail-{at}"), std::slice::from_ref(expression)).await?;
    }
    // The last one is false, so that the policy is seen to be installed, and tells the first other one that is.
    hold.push("1 == 2".into());
    claim(&client, "web", &hold).await?;
    let mut wrong = Vec::new();
    let denied = until(&client, &claims["object"], "web", Result::is_err).await?;
    let last = format!("claim {}", hold.len() - 1);
    if !matches!(&denied, Err((_, said)) if said.ends_with(&last)) {
        wrong.push(format!("{denied:?} of {hold:#?}"));
    }
    for (at, expression) in fail.iter().enumerate() {
        let answer = until(&client, &claims["object"], &format!("fail-{at}"), Result::is_err).await?;
        if !matches!(&answer, Err((_, said)) if said.contains("resulted in error")) {
            wrong.push(format!("{expression}: {answer:?}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
