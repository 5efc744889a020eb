//! What happens: each time somebody else repeats a secret where the platform repeats their words.

use crate::search::said;
use crate::stage::{CHANNELS, Channel, NEVER, Stage, canary};
use anyhow::{Context as _, ensure};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tests::platform::{Tool, kind_of};

/// One thing that happens.
pub struct Trouble {
    pub name: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Crash,
    CutOff,
    Refused,
    FailedBuild,
    Edited,
}

pub const ALL: &[Trouble] = &[
    Trouble { name: "a crash loop with last words", kind: Kind::Crash },
    Trouble { name: "last words that are cut off within a value", kind: Kind::CutOff },
    Trouble { name: "an apply that a rule refuses", kind: Kind::Refused },
    Trouble { name: "a build that failed", kind: Kind::FailedBuild },
    Trouble { name: "values in an object by somebody's hand", kind: Kind::Edited },
];

/// Values that a tool's own program can have.
pub fn own() -> impl Iterator<Item = &'static str> {
    CHANNELS.iter().filter(|row| !matches!(row.1, Channel::Registry | Channel::Git | Channel::Hmac)).map(|row| row.2)
}

impl Stage<'_> {
    /// Lets it happen, and waits until the platform has told it, without what was said.
    pub async fn meets(&self, trouble: &Trouble) -> anyhow::Result<()> {
        let tool = &self.tool;
        let told = match trouble.kind {
            Kind::Crash => self.crashes(tool, "crash", &own().collect::<Vec<_>>().join(", ")).await,
            Kind::CutOff => {
                // As much as is repeated of a pod's words, and half a value.
                let long = format!("{}{}", ".".repeat(192), canary(Channel::Sealed("API_KEY")));
                self.crashes(tool, "crash again", &long).await
            }
            Kind::Refused => self.is_refused(tool).await,
            Kind::FailedBuild => self.cannot_be_built(tool).await,
            Kind::Edited => self.is_edited(tool).await,
        };
        told.with_context(|| format!("{}\n{}", trouble.name, self.log()))
    }

    async fn crashes(&self, tool: &Tool<'_>, command: &str, words: &str) -> anyhow::Result<()> {
        // Every form in turn.
        tool.commit(&self.config(&format!("{command}, memory: {NEVER}"), ""))?;
        let end = json!({"exitCode": 1, "reason": "Error", "message": words});
        let waiting = json!({"reason": "CrashLoopBackOff", "message": words});
        let status = container("web", json!({"waiting": waiting}), json!({"terminated": end}));
        let selector = "app.kubernetes.io/name=web";
        let pod = self.waiting_pod(&tool.namespace(), selector).await?;
        self.say(&tool.namespace(), &pod, json!({"phase": "Running", "containerStatuses": [status]})).await?;
        self.event(tool, &pod, words).await?;
        let ready = tool.reason("Ready", "RolledBack").await?;
        ensure!(ready.message.contains("CrashLoopBackOff") && ready.message.contains("***"), "{ready:?}");
        Ok(())
    }

    /// A correction is deployed.
    pub async fn recovers(&self) -> anyhow::Result<()> {
        let name = keeper(&self.tool);
        let delete = ["delete", "validatingadmissionpolicies,validatingadmissionpolicybindings", &name];
        self.platform.kubectl(&[&delete[..], &["--ignore-not-found"]].concat()).await?;
        self.tool.commit(&self.config("web", ""))?;
        self.tool.ready().await.with_context(|| self.log())
    }

    /// A rule of somebody else's, whose words repeat everything in every form.
    async fn is_refused(&self, tool: &Tool<'_>) -> anyhow::Result<()> {
        let passwords = [Channel::Registry, Channel::Git].map(canary);
        let forms: Vec<String> = own().chain(passwords).flat_map(said).collect();
        let name = format!("{}-refuses", tool.name());
        for object in refuses(&name, &tool.namespace(), &format!("no: {}", forms.join(" "))) {
            tests::rights::put(self.platform.client(), &object).await?;
        }
        let mut answer = String::new();
        let in_force = self.platform.until("the rule is in force", async || {
            answer = self.dry_run(tool).await?;
            Ok(answer.contains("no: ").then_some(()))
        });
        in_force.await.with_context(|| answer.clone())?;
        let refused = format!("  refused:\n    image: {}\n    run: {{command: web}}\n", self.by_tag());
        tool.commit(&self.config("web", &refused))?;
        let status = self.until_told(tool, "denied request").await?;
        ensure!(status.contains("***"), "{status}");
        Ok(())
    }

    /// What the server says to an object of that name that no other rule is about.
    async fn dry_run(&self, tool: &Tool<'_>) -> anyhow::Result<String> {
        let api = self.platform.api(kind_of("ConfigMap")?, Some(&tool.namespace()));
        let probe = Patch::Apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "refused"}}));
        let answer = api.patch("refused", &PatchParams::apply("probe").dry_run(), &probe).await;
        Ok(answer.map_or_else(|error| error.to_string(), |_| "it is taken".to_owned()))
    }

    async fn cannot_be_built(&self, tool: &Tool<'_>) -> anyhow::Result<()> {
        let built = "  built:\n    build: {ref: main}\n    run: {command: web}\n";
        tool.commit(&self.config("web", built))?;
        let namespace = format!("{}-builds", self.platform.namespace());
        let pod = self.waiting_pod(&namespace, &format!("toolforge.org/build-of={}", tool.name())).await?;
        let words = own().collect::<Vec<_>>().join(" ");
        let end = json!({"exitCode": 20, "reason": "Error", "message": format!("ERROR: {words}\n")});
        let status = container("detect", json!({"terminated": end}), json!({}));
        self.say(&namespace, &pod, json!({"phase": "Failed", "initContainerStatuses": [status]})).await?;
        let status = self.until_told(tool, "ERROR: ").await?;
        ensure!(status.contains("ERROR: ***"), "{status}");
        Ok(())
    }

    /// Somebody writes values into an object by hand. A rule keeps them there, so that they are shown for as long.
    async fn is_edited(&self, tool: &Tool<'_>) -> anyhow::Result<()> {
        for object in keeps_notes(&keeper(tool), &tool.namespace()) {
            tests::rights::put(self.platform.client(), &object).await?;
        }
        let api = self.platform.api(kind_of(NOTED)?, Some(&tool.namespace()));
        let noted = async |notes: Value, how: PatchParams| {
            let notes = json!({"metadata": {"annotations": notes}});
            Ok::<_, anyhow::Error>(api.patch(tool.name(), &how, &Patch::Merge(notes)).await)
        };
        let in_force = self.platform.until("the rule is in force", async || {
            let taken = noted(json!({"probe": ""}), PatchParams::default().dry_run()).await?;
            Ok(taken.is_err_and(|error| error.to_string().contains("has to stay")).then_some(()))
        });
        in_force.await?;
        let forms = own().flat_map(said).enumerate();
        let notes: Value = forms.map(|(number, form)| (format!("note-{number}"), Value::from(form))).collect();
        noted(notes, PatchParams { field_manager: Some("kubectl-edit".to_owned()), ..PatchParams::default() })
            .await??;
        self.until_told(tool, "has to stay").await?;
        let diff = self.program.run(&["diff", tool.name(), "--platform-namespace", &self.platform.namespace()]).await?;
        ensure!(diff.out.contains("annotations.note-0: *** ") && diff.out.contains("note-15: *** "), "{diff:#?}");
        Ok(())
    }

    /// The Tool's status, once it repeats this.
    async fn until_told(&self, tool: &Tool<'_>, words: &str) -> anyhow::Result<String> {
        let told = async || {
            let status = tool.custom_resource().await?.map(|tool| tool["status"]["conditions"].to_string());
            Ok(status.filter(|status| status.contains(words)))
        };
        self.platform.until(&format!("the status says {words}"), told).await
    }

    /// A pod that no node takes.
    async fn waiting_pod(&self, namespace: &str, selector: &str) -> anyhow::Result<String> {
        let find = ["get", "pods", "-n", namespace, "-l", selector, "--field-selector=spec.nodeName=", "-o", "name"];
        let found = async || {
            let found = self.platform.kubectl(&find).await?;
            Ok(found.lines().next().map(str::to_owned))
        };
        self.platform.until("a pod that no node takes", found).await
    }

    async fn say(&self, namespace: &str, pod: &str, status: Value) -> anyhow::Result<()> {
        let patch = json!({"status": status}).to_string();
        let arguments = ["patch", pod, "-n", namespace, "--subresource=status", "--type=merge", "-p", &patch];
        self.platform.kubectl(&arguments).await.map(drop)
    }

    /// What the kubelet says of it beside its status.
    async fn event(&self, tool: &Tool<'_>, pod: &str, words: &str) -> anyhow::Result<()> {
        let name = pod.trim_start_matches("pod/");
        let event = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": format!("{name}.words"), "namespace": tool.namespace()},
            "involvedObject": {"kind": "Pod", "name": name, "namespace": tool.namespace()},
            "type": "Warning", "reason": "BackOff", "message": words,
        });
        tests::rights::put(self.platform.client(), &event).await
    }
}

fn container(name: &str, state: Value, last: Value) -> Value {
    json!({
        "name": name, "image": "x", "imageID": "x", "ready": false, "restartCount": 5, "state": state, "lastState": last,
    })
}

/// The object that somebody edits. Nobody but the platform wrote it, and its kind is not among the objects that are searched.
const NOTED: &str = "ServiceAccount";

fn keeper(tool: &Tool<'_>) -> String {
    format!("{}-keeps", tool.name())
}

/// Nobody changes the noted object to one without notes.
fn keeps_notes(name: &str, namespace: &str) -> [Value; 2] {
    let matches =
        json!([{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["serviceaccounts"]}]);
    let has_notes = "has(object.metadata.annotations) && 'note-0' in object.metadata.annotations";
    rule(name, namespace, &matches, &json!({"expression": has_notes, "message": "the note has to stay"}))
}

/// Nothing is called `refused` in that namespace, and why.
fn refuses(name: &str, namespace: &str, message: &str) -> [Value; 2] {
    let matches = json!([{"apiGroups": ["", "apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["configmaps", "deployments"], "resourceNames": ["refused"]}]);
    rule(name, namespace, &matches, &json!({"expression": "false", "message": message}))
}

fn rule(name: &str, namespace: &str, matches: &Value, validation: &Value) -> [Value; 2] {
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "resourceRules": matches,
            },
            "validations": [validation],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    });
    [policy, binding]
}
