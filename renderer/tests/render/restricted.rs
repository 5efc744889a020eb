//! The *restricted* Pod Security Standard, control by control, read from its definition and not from our renderer.

use serde_json::{Value, json};

/// What a pod spec does that the standard forbids; empty is good.
pub fn violations(spec: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        if spec[field] == true {
            found.push(field.to_owned());
        }
    }
    let allowed =
        ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"];
    for volume in list(&spec["volumes"]) {
        let sources = volume.as_object().into_iter().flat_map(|v| v.keys()).filter(|key| *key != "name");
        found.extend(sources.filter(|key| !allowed.contains(&key.as_str())).map(|key| format!("volume {key}")));
    }
    let pod = &spec["securityContext"];
    if pod.get("sysctls").is_some() || pod.get("seLinuxOptions").is_some() || pod.get("windowsOptions").is_some() {
        found.push("pod securityContext".to_owned());
    }
    for kind in ["initContainers", "containers", "ephemeralContainers"] {
        for container in list(&spec[kind]) {
            found.extend(container_violations(pod, container));
        }
    }
    found
}

fn container_violations(pod: &Value, container: &Value) -> Vec<String> {
    let own = &container["securityContext"];
    let effective = |field: &str| own.get(field).or_else(|| pod.get(field)).cloned().unwrap_or_default();
    let mut found = Vec::new();
    let mut expect = |good: bool, control: &str| {
        if !good {
            found.push(control.to_owned());
        }
    };
    expect(own["privileged"] != true, "privileged");
    expect(own["allowPrivilegeEscalation"] == false, "allowPrivilegeEscalation");
    expect(own.get("procMount").is_none(), "procMount");
    expect(own["capabilities"]["drop"] == json!(["ALL"]), "capabilities.drop");
    expect(list(&own["capabilities"]["add"]).iter().all(|cap| cap == "NET_BIND_SERVICE"), "capabilities.add");
    expect(effective("runAsNonRoot") == true, "runAsNonRoot");
    expect(effective("runAsUser") != 0, "runAsUser");
    expect(
        matches!(effective("seccompProfile")["type"].as_str(), Some("RuntimeDefault" | "Localhost")),
        "seccompProfile",
    );
    expect(list(&container["ports"]).iter().all(|port| port["hostPort"].as_u64().unwrap_or(0) == 0), "hostPort");
    found
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[test]
fn the_checker_finds_what_the_standard_forbids() {
    let good = json!({
        "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}],
        "volumes": [{"name": "a", "emptyDir": {}}],
    });
    assert_eq!(violations(&good), [""; 0]);
    for (pointer, bad) in [
        ("/volumes/0", json!({"name": "a", "hostPath": {"path": "/"}})),
        ("/volumes/0", json!({"name": "a", "nfs": {"server": "x", "path": "/"}})),
        ("/securityContext/runAsUser", json!(0)),
        ("/securityContext/runAsNonRoot", json!(false)),
        ("/securityContext/seccompProfile/type", json!("Unconfined")),
        ("/containers/0/securityContext/allowPrivilegeEscalation", json!(true)),
        ("/containers/0/securityContext/capabilities/drop", json!(["NET_RAW"])),
        ("/containers/0", json!({"ports": [{"hostPort": 80}]})),
        ("/containers/0", json!({})),
    ] {
        let mut spec = good.clone();
        *spec.pointer_mut(pointer).expect(pointer) = bad;
        assert!(!violations(&spec).is_empty(), "{pointer}");
    }
}
