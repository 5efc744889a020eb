//! What a maintainer sees who may look at everything of the tool, and at no Secret of the platform.

use crate::stage::Stage;
use anyhow::ensure;
use planner::kinds::KINDS;
use serde_json::{Value, json};
use tests::control_plane::MAINTAINER;
use tests::program::Program;

/// Everything else is as it is, and whose values are unseen is said.
pub async fn looks(stage: &Stage<'_>) -> anyhow::Result<()> {
    let namespace = stage.tool.namespace();
    for object in rights(&namespace) {
        tests::rights::put(stage.platform.client(), &object).await?;
    }
    let maintainer = Program::with(stage.program.binary(), stage.platform.plane().kubeconfig(), MAINTAINER)?;
    let platform = stage.platform.namespace();
    let diff = ["diff", stage.tool.name(), "--platform-namespace", &platform];
    // The server knows of new rights in its own time.
    let ran = stage.platform.until("the maintainer may look", async || {
        let ran = maintainer.run(&diff).await?;
        Ok(Some(ran).filter(|ran| ran.code != 3 && !ran.out.contains("not observed")))
    });
    let ran = ran.await?;
    ensure!(ran.code == 0, "nothing differs: {ran:#?}");
    ensure!(ran.err.contains("the secrets of web can't be read here, and are taken for unchanged"), "{ran:#?}");
    // Who would write needs the keys.
    let apply = maintainer.run(&["apply", stage.tool.name(), "--force", "--platform-namespace", &platform]).await?;
    ensure!(apply.out.contains("held") && apply.out.contains("`API_KEY` can't be decrypted"), "{apply:#?}");
    Ok(())
}

fn rights(namespace: &str) -> [Value; 4] {
    let (rbac, verbs) = ("rbac.authorization.k8s.io", ["get", "list"]);
    let rules = KINDS.iter().filter(|row| row.kind != "Secret");
    let rules: Vec<_> = rules
        .map(|row| json!({"apiGroups": [row.group], "resources": [row.plural], "verbs": verbs}))
        .chain([json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": verbs})])
        .collect();
    let version = format!("{rbac}/v1");
    let subjects = json!([{"kind": "User", "apiGroup": rbac, "name": MAINTAINER}]);
    let secrets = json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": verbs}]);
    let role = |kind: &str| json!({"apiGroup": rbac, "kind": kind, "name": "canary-maintainer"});
    let (everywhere, here) =
        (json!({"name": "canary-maintainer"}), json!({"name": "canary-maintainer", "namespace": namespace}));
    [
        json!({"apiVersion": version, "kind": "ClusterRole", "metadata": everywhere, "rules": rules}),
        json!({"apiVersion": version, "kind": "ClusterRoleBinding", "metadata": everywhere, "subjects": subjects, "roleRef": role("ClusterRole")}),
        json!({"apiVersion": version, "kind": "Role", "metadata": here, "rules": secrets}),
        json!({"apiVersion": version, "kind": "RoleBinding", "metadata": here, "subjects": subjects, "roleRef": role("Role")}),
    ]
}
