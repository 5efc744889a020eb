//! A build as a Job: the phases of the Cloud Native Buildpacks lifecycle, each a container of its own.
//!
//! What a buildpack runs is a stranger's code. It runs in `detect` and `build` alone; the registry's credentials are
//! mounted into `analyze`, `restore` and `export` alone, which run no stranger's code. The source comes by our own
//! binary, at the exact commit and with its own limits; its key, if any, is given to that step alone. A phase that
//! fails ends the Job (its pod is not tried again: the same inputs fail the same), and the last lines it said become the
//! pod's termination message.

use super::{BUILD_OF, BuildRequest, Order, deploy_key, pod_security};
use crate::object::{Gvk, Object};
use crate::platform::{Lifecycle, buildpack_version};
use serde_json::{Value, json};

const JOB: Gvk = Gvk { group: "batch", version: "v1", kind: "Job" };
const SOURCE: &str = "/workspace";
const LAYERS: &str = "/layers";
const PLATFORM: &str = "/platform";
/// Where the registry's credentials are found as `config.json`.
const DOCKER: &str = "/registry-auth";
/// A version of the platform API in which the restorer takes layers from the cache where no image of that name is there
/// yet, as is so for every build: its id is its tag. It knows `-run` in `analyzer` and `exporter`, where fetch-source says
/// which run image is meant: a builder has its own idea of it, and a rebase goes by the name that the exporter writes down.
const PLATFORM_API: &str = "0.14";
/// For the restorer, which would let go of the digest of a run image whose name it finds. There is no such file.
const NO_RUN_IMAGES: &str = "-run=/platform/no-run-images.toml";

pub(super) fn job(order: &Order<'_>, settings: &Lifecycle) -> Object {
    let mut phases = phases(order, settings);
    // The last phase is the container; a pod's others run before it, one after another.
    let export = phases.pop();
    let mut volumes = vec![
        json!({"name": "source", "emptyDir": {"sizeLimit": settings.disk}}),
        json!({"name": "layers", "emptyDir": {"sizeLimit": settings.disk}}),
        json!({"name": "platform", "emptyDir": {"sizeLimit": "16Mi"}}),
    ];
    if let Some(secret) = &settings.registry_secret {
        let items = [json!({"key": ".dockerconfigjson", "path": "config.json"})];
        volumes.push(json!({"name": "registry-auth", "secret": {"secretName": secret, "items": items}}));
    }
    let pod = json!({
        "restartPolicy": "Never",
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "securityContext": pod_security(order.platform),
        "initContainers": phases,
        "containers": export.into_iter().collect::<Vec<_>>(),
        "volumes": volumes,
    });
    let spec = json!({
        "backoffLimit": 0,
        "activeDeadlineSeconds": order.builds.timeout_secs,
        "template": {"metadata": {"labels": {BUILD_OF: order.tool.name}}, "spec": pod},
    });
    order.object(JOB, spec)
}

/// In the order in which they run.
fn phases(order: &Order<'_>, settings: &Lifecycle) -> Vec<Value> {
    let BuildRequest { repository, source, .. } = order.request;
    let (image, cache) = (order.request.image(), format!("{repository}:cache"));
    let (app, layers) = (format!("-app={SOURCE}"), format!("-layers={LAYERS}"));
    let (platform, cache) = (format!("-platform={PLATFORM}"), format!("-cache-image={cache}"));
    let run_image = format!("-run-image={}", order.platform.builder.run_image);
    let (order_file, run) = (format!("-order={PLATFORM}/order.toml"), format!("-run={PLATFORM}/run.toml"));
    let project = format!("-project-metadata={PLATFORM}/project-metadata.toml");
    // The build plan and the group stand in the layers folder, which is where every phase looks for them.
    let detect = [&app, &layers, &platform].into_iter().cloned();
    let detect = detect.chain((!order.request.buildpacks.is_empty()).then_some(order_file)).collect();
    let mut fetch = vec!["fetch-source".to_owned(), source.repository.clone(), source.commit.to_string()];
    fetch.extend(["--into".to_owned(), SOURCE.to_owned(), "--platform".to_owned(), PLATFORM.to_owned()]);
    if !source.path.is_empty() {
        fetch.extend(["--path".to_owned(), source.path.clone()]);
    }
    fetch.extend(["--run-image".to_owned(), order.platform.builder.run_image.clone()]);
    for (name, reference) in &order.request.buildpacks {
        let version = buildpack_version(reference).map_or_else(String::new, |version| format!("@{version}"));
        fetch.extend(["--buildpack".to_owned(), format!("{name}{version}")]);
    }
    let tag = |given: &[&String]| given.iter().map(|text| (*text).clone()).collect::<Vec<_>>();
    vec![
        fetch_source(order, settings, fetch),
        phase(order, settings, "analyze", "analyzer", tag(&[&layers, &run, &run_image, &cache, &image]), true),
        phase(order, settings, "detect", "detector", detect, false),
        phase(order, settings, "restore", "restorer", tag(&[&layers, &NO_RUN_IMAGES.to_owned(), &cache]), true),
        phase(order, settings, "build", "builder", tag(&[&app, &layers, &platform]), false),
        phase(order, settings, "export", "exporter", tag(&[&app, &layers, &run, &project, &cache, &image]), true),
    ]
}

/// Our own binary; it is given the build's environment to write down for the buildpacks, who read files.
fn fetch_source(order: &Order<'_>, settings: &Lifecycle, args: Vec<String>) -> Value {
    let variable = |(name, value): (String, String)| json!({"name": format!("BUILD_ENV_{name}"), "value": value});
    let mut env: Vec<_> = order.environment().into_iter().map(variable).collect();
    env.extend(deploy_key::environment(order));
    let mut container = container("fetch", &settings.image, "toolforge", args);
    if !env.is_empty() {
        container["env"] = env.into();
    }
    container["resources"] = resources(settings);
    container["volumeMounts"] =
        json!([{"name": "source", "mountPath": SOURCE}, {"name": "platform", "mountPath": PLATFORM}]);
    container
}

fn phase(
    order: &Order<'_>,
    settings: &Lifecycle,
    name: &str,
    program: &str,
    args: Vec<String>,
    talks_to_registry: bool,
) -> Value {
    let mut container = container(name, &order.platform.builder.image, &format!("/cnb/lifecycle/{program}"), args);
    let mut env = vec![json!({"name": "CNB_PLATFORM_API", "value": PLATFORM_API})];
    let mut mounts = vec![
        json!({"name": "source", "mountPath": SOURCE}),
        json!({"name": "layers", "mountPath": LAYERS}),
        json!({"name": "platform", "mountPath": PLATFORM, "readOnly": true}),
    ];
    if talks_to_registry {
        // These phases become the user that the builder names, and whoever is not root can't become another.
        let user = order.platform.system_user;
        env.push(json!({"name": "CNB_USER_ID", "value": user.uid.to_string()}));
        env.push(json!({"name": "CNB_GROUP_ID", "value": user.gid.to_string()}));
    }
    if talks_to_registry && settings.registry_secret.is_some() {
        env.push(json!({"name": "DOCKER_CONFIG", "value": DOCKER}));
        mounts.push(json!({"name": "registry-auth", "mountPath": DOCKER, "readOnly": true}));
    }
    container["env"] = env.into();
    container["resources"] = resources(settings);
    container["volumeMounts"] = mounts.into();
    container
}

fn container(name: &str, image: &str, command: &str, args: Vec<String>) -> Value {
    json!({
        "name": name,
        "image": image,
        "command": [command],
        "args": args,
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
    })
}

fn resources(settings: &Lifecycle) -> Value {
    json!({"limits": {"cpu": settings.cpu, "memory": settings.memory}})
}
