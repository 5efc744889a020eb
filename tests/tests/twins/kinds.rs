//! One object of every kind, applied and created.

use super::steps::{Step, apply, get, post};
use serde_json::{Value, json};

/// A pod template with something of everything.
pub fn template() -> Value {
    json!({
        "metadata": {"labels": {"app": "web"}, "annotations": {"a": "b"}},
        "spec": {
            "serviceAccountName": "tool", "automountServiceAccountToken": false, "enableServiceLinks": false,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 50_000, "seccompProfile": {"type": "RuntimeDefault"}},
            "volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "c", "configMap": {"name": "c"}}, {"name": "s", "secret": {"secretName": "s"}}],
            "containers": [{
                "name": "web", "image": "registry.example/web@sha256:0123456789012345678901234567890123456789012345678901234567890123",
                "command": ["web"], "args": [], "env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                "envFrom": [{"secretRef": {"name": "s", "optional": true}}],
                "ports": [{"name": "http", "containerPort": 8000, "protocol": "TCP"}],
                "resources": {"limits": {"cpu": "0.5", "memory": "512Mi"}, "requests": {"cpu": 0.25}},
                "readinessProbe": {"httpGet": {"path": "/", "port": 8000}},
                "livenessProbe": {"tcpSocket": {"port": "http"}, "periodSeconds": 30},
                "startupProbe": {"exec": {"command": ["true"]}},
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
            }],
        },
    })
}

/// One object of every kind, as it is stored.
pub fn kinds() -> Vec<Step> {
    let mut job = template();
    job["spec"]["restartPolicy"] = json!("Never");
    let meta = |name: &str| json!({"name": name});
    vec![
        apply(
            "a service account",
            "/api/v1NS/serviceaccounts/tool",
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta("tool"), "automountServiceAccountToken": false}),
        ),
        apply(
            "a config map",
            "/api/v1NS/configmaps/c",
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "labels": {}, "annotations": {"x": ""}}, "data": {"a": "b"}, "binaryData": {"c": "AAAA"}}),
        ),
        apply(
            "an empty config map",
            "/api/v1NS/configmaps/e",
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta("e"), "data": {}}),
        ),
        post(
            "a secret",
            "/api/v1NS/secrets",
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": meta("s"), "stringData": {"a": "b"}, "data": {"c": "ZA=="}}),
        ),
        apply(
            "a limit range",
            "/api/v1NS/limitranges/l",
            json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": meta("l"), "spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "10Mi"}, "default": {"cpu": "1"}, "defaultRequest": {"cpu": "100m"}}]}}),
        ),
        apply(
            "a quota",
            "/api/v1NS/resourcequotas/q",
            json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": meta("q"), "spec": {"hard": {"pods": "100", "limits.cpu": "100", "count/jobs.batch": "100"}}}),
        ),
        apply(
            "a deployment",
            "/apis/apps/v1NS/deployments/web",
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta("web"), "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "web"}}, "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0}}, "template": template()}}),
        ),
        apply(
            "a deployment that is recreated",
            "/apis/apps/v1NS/deployments/again",
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta("again"), "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "web"}}, "strategy": {"type": "Recreate"}, "template": template()}}),
        ),
        apply(
            "a service",
            "/api/v1NS/services/web",
            json!({"apiVersion": "v1", "kind": "Service", "metadata": meta("web"), "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}]}}),
        ),
        apply(
            "a service without a target port",
            "/api/v1NS/services/plain",
            json!({"apiVersion": "v1", "kind": "Service", "metadata": meta("plain"), "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "protocol": "TCP"}]}}),
        ),
        apply(
            "a headless service",
            "/api/v1NS/services/headless",
            json!({"apiVersion": "v1", "kind": "Service", "metadata": meta("headless"), "spec": {"clusterIP": "None", "selector": {"app": "web"}}}),
        ),
        apply(
            "an external name",
            "/api/v1NS/services/outside",
            json!({"apiVersion": "v1", "kind": "Service", "metadata": meta("outside"), "spec": {"type": "ExternalName", "externalName": "db.example"}}),
        ),
        apply(
            "an ingress",
            "/apis/networking.k8s.io/v1NS/ingresses/web",
            json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": meta("web"), "spec": {"rules": [{"host": "web.example", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}}}]}}]}}),
        ),
        apply(
            "a route",
            "/apis/gateway.networking.k8s.io/v1NS/httproutes/web",
            json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": meta("web"), "spec": {"parentRefs": [{"name": "g", "namespace": "gateways"}], "hostnames": ["web.example"], "rules": [{"matches": [{"path": {"type": "PathPrefix", "value": "/api"}}], "backendRefs": [{"name": "web", "port": 80}], "timeouts": {"request": "60s"}}]}}),
        ),
        apply(
            "a network policy",
            "/apis/networking.k8s.io/v1NS/networkpolicies/n",
            json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": meta("n"), "spec": {"podSelector": {}, "ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"a": "b"}}}], "ports": [{"port": 8000}]}], "policyTypes": ["Ingress"]}}),
        ),
        apply(
            "a network policy that closes",
            "/apis/networking.k8s.io/v1NS/networkpolicies/closed",
            json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": meta("closed"), "spec": {"podSelector": {}, "ingress": []}}),
        ),
        apply(
            "a cron job",
            "/apis/batch/v1NS/cronjobs/c",
            json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": meta("c"), "spec": {"schedule": "0 0 30 2 *", "timeZone": "Etc/UTC", "jobTemplate": {"spec": {"backoffLimit": 0, "activeDeadlineSeconds": 60, "template": job.clone()}}}}),
        ),
        apply(
            "a job",
            "/apis/batch/v1NS/jobs/j",
            json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": meta("j"), "spec": {"suspend": true, "ttlSecondsAfterFinished": 3600, "template": job}}),
        ),
        apply(
            "a budget",
            "/apis/policy/v1NS/poddisruptionbudgets/web",
            json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": meta("web"), "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}}}),
        ),
        apply(
            "an autoscaler",
            "/apis/autoscaling/v2NS/horizontalpodautoscalers/web",
            json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": meta("web"), "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "maxReplicas": 3}}),
        ),
        apply(
            "a lease",
            "/apis/coordination.k8s.io/v1NS/leases/l",
            json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta("l"), "spec": {"holderIdentity": "me", "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.123456Z"}}),
        ),
        apply(
            "a revision",
            "/apis/apps/v1NS/controllerrevisions/r",
            json!({"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": meta("r"), "revision": 3, "data": {"config": "x", "list": [1, {"a": null}], "empty": {}}}),
        ),
        apply(
            "a role",
            "/apis/rbac.authorization.k8s.io/v1NS/roles/r",
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": meta("r"), "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}),
        ),
        apply(
            "a binding",
            "/apis/rbac.authorization.k8s.io/v1NS/rolebindings/r",
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": meta("r"), "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}, "subjects": [{"kind": "ServiceAccount", "name": "tool", "namespace": "twins"}]}),
        ),
        post(
            "an event",
            "/api/v1NS/events",
            json!({"apiVersion": "v1", "kind": "Event", "metadata": meta("ev"), "involvedObject": {"kind": "Deployment", "name": "web", "namespace": "twins", "apiVersion": "apps/v1"}, "reason": "Applied", "message": "m", "type": "Normal", "source": {"component": "twin"}, "count": 1, "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z"}),
        ),
        get("the event in its newer form", "/apis/events.k8s.io/v1NS/events/ev"),
        post(
            "a newer event",
            "/apis/events.k8s.io/v1NS/events",
            json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": meta("ev2"), "regarding": {"kind": "Deployment", "name": "web", "namespace": "twins", "apiVersion": "apps/v1"}, "reason": "Applied", "note": "m", "type": "Normal", "eventTime": "2026-01-01T00:00:00.000000Z", "action": "Apply", "reportingController": "twin/x", "reportingInstance": "i"}),
        ),
        get("the newer event in its older form", "/api/v1NS/events/ev2"),
    ]
}

/// Objects that somebody made without an apply: who owns what is decided in another way.
pub fn created() -> Vec<Step> {
    let mut job = template();
    job["spec"]["restartPolicy"] = json!("OnFailure");
    let object = |version: &str, kind: &str, spec: Value| json!({"apiVersion": version, "kind": kind, "metadata": {"name": "made", "labels": {"a": "b"}}, "spec": spec});
    let selector = json!({"matchLabels": {"app": "web"}});
    vec![
        post(
            "a made deployment",
            "/apis/apps/v1NS/deployments",
            object("apps/v1", "Deployment", json!({"replicas": 0, "selector": selector, "template": template()})),
        ),
        post(
            "a made service",
            "/api/v1NS/services",
            object("v1", "Service", json!({"selector": {"app": "web"}, "ports": [{"port": 80}]})),
        ),
        post(
            "a made cron job",
            "/apis/batch/v1NS/cronjobs",
            object(
                "batch/v1",
                "CronJob",
                json!({"schedule": "@yearly", "jobTemplate": {"spec": {"template": job.clone()}}}),
            ),
        ),
        post(
            "a made job",
            "/apis/batch/v1NS/jobs",
            object("batch/v1", "Job", json!({"suspend": true, "template": job})),
        ),
        post(
            "a made ingress",
            "/apis/networking.k8s.io/v1NS/ingresses",
            object(
                "networking.k8s.io/v1",
                "Ingress",
                json!({"defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}}),
            ),
        ),
        post(
            "a made policy",
            "/apis/networking.k8s.io/v1NS/networkpolicies",
            object(
                "networking.k8s.io/v1",
                "NetworkPolicy",
                json!({"podSelector": {"matchLabels": {"app": "web"}}, "egress": [{}], "policyTypes": ["Ingress", "Egress"]}),
            ),
        ),
        post(
            "a made budget",
            "/apis/policy/v1NS/poddisruptionbudgets",
            object("policy/v1", "PodDisruptionBudget", json!({"minAvailable": "50%", "selector": selector})),
        ),
        post(
            "a made route",
            "/apis/gateway.networking.k8s.io/v1NS/httproutes",
            object(
                "gateway.networking.k8s.io/v1",
                "HTTPRoute",
                json!({"parentRefs": [{"name": "g"}], "rules": [{"backendRefs": [{"name": "web", "port": 80}]}]}),
            ),
        ),
        post(
            "a made autoscaler",
            "/apis/autoscaling/v2NS/horizontalpodautoscalers",
            object(
                "autoscaling/v2",
                "HorizontalPodAutoscaler",
                json!({"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "made"}, "minReplicas": 1, "maxReplicas": 3}),
            ),
        ),
        apply(
            "an apply over what was made",
            "/apis/apps/v1NS/deployments/made?force=true",
            object("apps/v1", "Deployment", json!({"replicas": 0, "selector": selector, "template": template()})),
        ),
    ]
}
