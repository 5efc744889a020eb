//! Single rules of rendering, each as a claim about one small file.

use crate::world;
use proptest::prelude::*;
use renderer::config::Config;
use renderer::platform::{Backend, Builds, Route};
use renderer::render::VALUES;
use renderer::rendered::ONE_OFF_KEY;
use renderer::revision::ResolvedSource;
use renderer::secrets::{Known, LiveSecret, Tag};
use renderer::{
    CommitId, Digest, Files, Image, Object, PinnedImage, Platform, Rendered, Revision, Severity, Siblings, TreeId,
    render_config, render_known, render_platform, render_revision,
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

fn render_on(platform: &Platform, config: &str) -> Rendered {
    let files = Files { config: Some(config.as_bytes().to_vec()), ..Files::default() };
    let revision = Revision { files, ..world::revision() };
    render_revision(platform, &world::tool(), &revision, &Siblings::default())
}

fn rendered(config: &str) -> Rendered {
    render_on(&world::platform(), config)
}

fn digest(digit: &str) -> Digest {
    Digest::new(format!("sha256:{}", digit.repeat(64))).expect("a digest")
}

fn pinned(reference: &str) -> PinnedImage {
    PinnedImage { reference: reference.to_owned(), digest: digest("a") }
}

/// The first component's container.
fn container(rendered: &Rendered) -> Value {
    rendered.components[0].objects[0].value["spec"]["template"]["spec"]["containers"][0].clone()
}

/// A pass that has rendered the newest revision does not render the tool-wide objects once more.
#[test]
fn the_tool_wide_objects_are_the_same_whatever_the_file_says() {
    let nothing = Revision::nothing("main");
    let (platform, tool) = (world::platform(), world::tool());
    let frame = render_config(&platform, &tool, &nothing, &Config::default(), &Siblings::default()).objects;
    assert!(frame.len() > 4);
    for config in [
        "env: {A: b}\nsecrets: [KEY]\ncomponents: {web: {run: {command: web, port: 8000, publish: /, replicas: 9}}}",
        "components: {web: {run: {comand: web}}}",
        "components: {",
        "",
    ] {
        assert_eq!(rendered(config).objects, frame, "{config}");
    }
}

#[test]
fn an_image_runs_by_digest_whatever_its_reference_says() {
    let digest = "@sha256:".to_owned() + &"a".repeat(64);
    for (reference, name) in [
        ("web", "web"),
        ("web:latest", "web"),
        ("r.example:5000/a/web", "r.example:5000/a/web"),
        ("r.example:5000/a/web:1", "r.example:5000/a/web"),
        ("r.example/web:1@sha256:old", "r.example/web"),
        ("r.example:5000/web@sha256:old", "r.example:5000/web"),
    ] {
        assert_eq!(pinned(reference).pinned(), format!("{name}{digest}"), "{reference}");
    }
}

/// The key and the Job of the only component, with this image.
fn one_off(rendered: &Rendered, digit: &str) -> (String, Object) {
    let image = PinnedImage { digest: digest(digit), ..pinned("web") };
    let (mut objects, key) = rendered.components[0].at(&image);
    (key.expect("a key").as_str().to_owned(), objects.remove(0))
}

const ONE_OFF: &str = "components: {migrate: {component_type: one-off, run: {command: migrate}}}";

#[test]
fn a_one_off_runs_again_for_another_image_command_environment_or_run_id() {
    let keys: BTreeSet<String> = [
        one_off(&rendered(ONE_OFF), "a"),
        one_off(&rendered(ONE_OFF), "b"),
        one_off(&rendered(&ONE_OFF.replace("command: migrate", "command: other")), "a"),
        one_off(&rendered(&ONE_OFF.replace("run: {", "env: {A: b}, run: {")), "a"),
        one_off(&rendered(&format!("env: {{A: c}}\n{ONE_OFF}")), "a"),
        one_off(&rendered(&ONE_OFF.replace("command", "run_id: \"1\", command")), "a"),
        one_off(&rendered(&ONE_OFF.replace("command", "run_id: \"2\", command")), "a"),
    ]
    .into_iter()
    .map(|(key, _)| key)
    .collect();
    assert_eq!(keys.len(), 7);
}

#[test]
fn a_one_off_does_not_run_again_for_what_the_platform_or_its_limits_say() {
    let mut platform = world::platform();
    platform.env.insert("NEW".to_owned(), "1".to_owned());
    let (first, _) = one_off(&rendered(ONE_OFF), "a");
    assert_eq!(one_off(&render_on(&platform, ONE_OFF), "a").0, first);
    assert_eq!(one_off(&rendered(&ONE_OFF.replace("command", "retry: 3, memory: 1Gi, command")), "a").0, first);
}

#[test]
fn a_one_offs_job_is_named_by_its_key_and_fits_a_label() {
    let (key, job) = one_off(&rendered(ONE_OFF), "a");
    assert_eq!(job.id.name, format!("migrate-{}", &key[..12]));
    assert_eq!(job.value["metadata"]["name"], job.id.name);
    assert_eq!(job.value["metadata"]["annotations"][ONE_OFF_KEY], key);
    let long = |last: &str| rendered(&ONE_OFF.replace("migrate:", &format!("{}{last}:", "m".repeat(51))));
    let (a, b) = (one_off(&long("a"), "a").1, one_off(&long("b"), "a").1);
    assert!(a.id.name.len() <= 63, "{}", a.id.name);
    assert_ne!(a.id.name, b.id.name);
}

#[test]
fn memory_is_requested_whole_up_to_512mi_and_by_half_above() {
    for (written, request) in [
        ("512Mi", "512Mi"),
        ("0.5Gi", "0.5Gi"),
        ("513Mi", "262656Ki"),
        ("1G", "500M"),
        ("3Gi", "1536Mi"),
        ("0.9Gi", "483183821"),
    ] {
        let rendered = rendered(&format!("components: {{web: {{run: {{command: web, memory: {written}}}}}}}"));
        let resources = &container(&rendered)["resources"];
        assert_eq!(resources["limits"]["memory"], written);
        assert_eq!(resources["requests"]["memory"], request, "{written}");
    }
}

#[test]
fn a_written_cpu_is_request_and_limit_and_an_unwritten_one_is_the_platforms() {
    let resources = |config: &str| container(&rendered(config))["resources"].clone();
    let written = resources("components: {web: {run: {command: web, cpu: 1}}}");
    assert_eq!((&written["requests"]["cpu"], &written["limits"]["cpu"]), (&json!("1"), &json!("1")));
    let default = resources("components: {web: {run: {command: web}}}");
    assert_eq!((&default["requests"]["cpu"], &default["limits"]["cpu"]), (&json!("100m"), &json!("500m")));
}

#[test]
fn a_component_overrides_the_tool_by_a_value_or_by_a_secret() {
    let rendered = rendered(
        "env: {A: tool, B: tool, C_KEY: clear}\nsecrets: [MODE]\ncomponents: {web: {run: {command: web}, env: {B: web, MODE: web}, secrets: [C_KEY]}}",
    );
    let container = container(&rendered);
    let env = container["env"].as_array().expect("env");
    let of = |name: &str| env.iter().filter(|entry| entry["name"] == name).collect::<Vec<_>>();
    assert_eq!(of("A"), [&json!({"name": "A", "value": "tool"})]);
    assert_eq!(of("B"), [&json!({"name": "B", "value": "web"})]);
    assert_eq!(of("MODE"), [&json!({"name": "MODE", "value": "web"})]);
    assert_eq!(
        of("C_KEY"),
        [&json!({"name": "C_KEY", "valueFrom": {"secretKeyRef": {"name": "toolforge-secret-c-key", "key": "value"}}})]
    );
    assert_eq!(rendered.components[0].secrets, ["C_KEY"]);
}

#[test]
fn a_credential_of_the_platform_stands_in_the_component_s_secret_beside_no_value_of_the_tool_s() {
    let rendered = render_on(&world::giving(), "components: {web: {run: {command: web}, secrets: [API_KEY]}}");
    let of = |kind: &str| rendered.components[0].objects.iter().find(|object| object.id.kind == kind);
    let web = of("Deployment").expect("a Deployment");
    let container = &web.value["spec"]["template"]["spec"]["containers"][0];
    let from = |name: &str| {
        let mut env = container["env"].as_array().into_iter().flatten();
        env.find(|entry| entry["name"] == name).map(|entry| entry["valueFrom"]["secretKeyRef"].clone())
    };
    let own = json!({"name": "toolforge-secrets.web", "key": "TOOL_TOOLSDB_USER"});
    assert_eq!(from("TOOL_TOOLSDB_USER"), Some(own));
    assert_eq!(from("API_KEY"), Some(json!({"name": "toolforge-secret-api-key", "key": "value"})));
    let secret = of("Secret").expect("a Secret");
    // Where it comes from, which is no secret.
    assert_eq!(secret.value["data"], json!({"TOOL_TOOLSDB_USER": "dG9vbHNkYi53b3JkY291bnQvdXNlcg=="}));
    assert_eq!(rendered.components[0].secrets, ["API_KEY"], "the platform makes the other one");
}

#[test]
fn a_changed_credential_is_a_changed_mark_and_a_missing_one_is_said_and_left_as_it_is() {
    const USER: &str = "TOOL_TOOLSDB_USER";
    let beside = |tag: Result<&[u8], &str>, keys: &[&str]| {
        let tag = tag.map(Tag::of).map_err(str::to_owned);
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        let live = BTreeMap::from([("web".to_owned(), LiveSecret { mark: Some("as it was".to_owned()), keys })]);
        let live = Some(live.into());
        let known = Known { given: BTreeMap::from([(USER.to_owned(), tag)]).into(), live, ..Known::default() };
        let files = Files { config: Some(b"components: {web: {run: {command: web}}}".to_vec()), ..Files::default() };
        let revision = Revision { files, ..world::revision() };
        render_known(&world::giving(), &world::tool(), &revision, &Siblings::default(), &known)
    };
    let given = |tag| beside(tag, &[]);
    let mark = |rendered: &Rendered| {
        let of = |object: &Object| object.value["spec"]["template"]["metadata"]["annotations"][VALUES].clone();
        rendered.components[0].objects.iter().find(|object| object.id.kind == "Deployment").map(of)
    };
    let [one, same, other] = [&b"one"[..], b"one", b"two"].map(|tag| given(Ok(tag)));
    assert_eq!(mark(&one), mark(&same));
    assert!(mark(&one).is_some_and(|mark| mark.is_string()) && mark(&one) != mark(&other));
    assert!(one.components[0].lacks.is_empty());
    // What runs has it still, or never had it: it is healed as it is.
    for (keys, expected) in [(&[USER][..], json!("as it was")), (&[], Value::Null)] {
        let lacking = beside(Err("secret x is not there"), keys);
        assert_eq!(lacking.components[0].lacks, ["secret x is not there"]);
        assert_eq!(mark(&lacking), Some(expected));
        let text = serde_json::to_string(&lacking.components[0].objects).expect("JSON");
        assert_eq!(text.contains(USER), !keys.is_empty(), "{text}");
    }
}

#[test]
fn a_bad_component_is_withheld_at_its_place_and_its_neighbour_is_rendered() {
    let rendered =
        rendered("components:\n  1st:\n    run: {command: web, port: 80}\n  web:\n    run: {command: web, port: 80}\n");
    assert_eq!(rendered.components.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["web"]);
    assert_eq!(rendered.withheld[0].component, "1st");
    let error = rendered.report.errors().next().expect("an error");
    assert_eq!((error.severity, error.place.map(|place| place.line)), (Severity::Error, Some(2)), "{error:?}");
}

#[test]
fn what_reading_withheld_stays_withheld() {
    let rendered = rendered("components:\n  bad: {run: {command: web, port: 70000}}\n  web: {run: {command: web}}\n");
    assert_eq!(rendered.withheld.iter().map(|w| w.component.as_str()).collect::<Vec<_>>(), ["bad"]);
    assert_eq!(rendered.components.len(), 1);
    assert!(!rendered.unusable && !rendered.objects.is_empty());
    let nothing = self::rendered("components: [");
    assert!(nothing.unusable && nothing.components.is_empty() && !nothing.objects.is_empty());
}

#[test]
fn a_stopped_component_keeps_its_service_and_its_route() {
    let kinds = |replicas: u32| {
        let config =
            format!("components: {{web: {{run: {{command: web, port: 80, publish: /, replicas: {replicas}}}}}}}");
        rendered(&config).components[0].objects.iter().map(|object| object.id.kind.clone()).collect::<Vec<_>>()
    };
    assert_eq!(kinds(0), ["Deployment", "Service", "Ingress", "NetworkPolicy"]);
    assert_eq!(kinds(1), kinds(0));
    assert_eq!(kinds(2), ["Deployment", "PodDisruptionBudget", "Service", "Ingress", "NetworkPolicy"]);
}

#[test]
fn only_the_route_and_named_tools_reach_a_component_from_outside() {
    let peers = |platform: &Platform, run: &str| {
        let rendered = render_on(platform, &format!("components: {{web: {{run: {{command: web, port: 80, {run}}}}}}}"));
        let policy = rendered.components[0].objects.iter().find(|object| object.id.kind == "NetworkPolicy").cloned();
        policy.map(|policy| policy.value["spec"]["ingress"][0]["from"].clone())
    };
    let namespace = |name: &str| json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}});
    let gateway = Route::Gateway { namespace: "gateway".to_owned(), name: "toolforge".to_owned() };
    let platform = Platform { route: gateway, ..world::platform() };
    assert_eq!(peers(&platform, "replicas: 1"), None);
    assert_eq!(peers(&platform, "publish: /"), Some(json!([namespace("gateway")])));
    // Its own namespace is open already.
    assert_eq!(peers(&platform, "allow_from: [dictionary, wordcount]"), Some(json!([namespace("tool-dictionary")])));
    // Who serves an Ingress is not known; who builds is.
    let builds = Some(Builds::by(Backend::Local));
    let platform = Platform { route: Route::Ingress { class: None }, builds, ..world::platform() };
    let not = |key: &str, value: &str| json!({"key": key, "operator": "NotIn", "values": [value]});
    let none = [not("tenancy", "tool"), not("kubernetes.io/metadata.name", "toolforge-builds")];
    let anybody_else = json!([{"namespaceSelector": {"matchExpressions": none}}]);
    assert_eq!(peers(&platform, "publish: /"), Some(anybody_else));
}

/// What the default policy lets out, as a NetworkPolicy is defined; none where it does not bound it.
fn lets_out(settings: &str) -> Option<Vec<Value>> {
    let file = include_str!("../../../examples/render/network/platform.yaml");
    let (frame, _) = file.split_once("  network:").expect("the setting");
    let text = format!("{frame}{settings}");
    let (platform, report) = renderer::platform::parse(text.as_bytes(), "platform.yaml");
    let rendered = render_on(&platform.unwrap_or_else(|| unreachable!("{report:?}")), "components: {}");
    let policy = rendered.objects.into_iter().find(|object| object.id.name == "toolforge.default").expect("a policy");
    let spec = &policy.value["spec"];
    assert_eq!(spec["egress"].is_null(), spec["policyTypes"].is_null(), "{spec}");
    Some(spec["egress"].as_array()?.clone())
}

/// Whether a block holds an address, of either family.
fn is_in(block: &Value, address: &str) -> bool {
    let bits_of = |text: &str| match text.parse().expect("an address") {
        IpAddr::V4(address) => u128::from(u32::from(address)) << 96,
        IpAddr::V6(address) => u128::from(address),
    };
    let holds = |range: &Value| {
        let (network, bits) = range.as_str().expect("a range").split_once('/').expect("a prefix");
        let kept = u128::MAX.checked_shl(128 - bits.parse::<u32>().expect("bits")).unwrap_or(0);
        network.contains(':') == address.contains(':') && bits_of(network) & kept == bits_of(address) & kept
    };
    holds(&block["cidr"]) && !block["except"].as_array().into_iter().flatten().any(holds)
}

#[test]
fn a_tool_reaches_names_tools_openings_and_the_outside_and_no_inner_address() {
    assert_eq!(lets_out(""), None, "nothing is bounded that was open");
    let rules = lets_out("  network: {open: {db: {cidr: 10.9.0.0/16, ports: [3306]}}}\n").expect("rules");
    let at = |address: &str| {
        let opens = |rule: &&Value| {
            rule["to"]
                .as_array()
                .expect("peers")
                .iter()
                .any(|to| !to["ipBlock"].is_null() && is_in(&to["ipBlock"], address))
        };
        rules.iter().filter(opens).map(|rule| rule["ports"][0]["port"].as_u64()).collect::<Vec<_>>()
    };
    for outside in ["93.184.216.34", "11.0.0.1", "172.32.0.1", "2600::1"] {
        assert_eq!(at(outside), [None], "{outside}, at every port");
    }
    for inner in ["10.0.0.1", "172.31.255.255", "192.168.0.1", "169.254.169.254", "fd00::1", "fe80::1"] {
        assert_eq!(at(inner), [], "{inner}");
    }
    assert_eq!(at("10.9.0.1"), [Some(3306)]);
    assert_eq!(
        rules[0]["to"],
        json!([{"podSelector": {}}, {"namespaceSelector": {"matchLabels": {"tenancy": "tool"}}}])
    );
    let closed = lets_out("  network: {internet: false}\n").expect("rules");
    assert!(!json!(closed).to_string().contains("ipBlock"), "{closed:?}");
    let link = json!(lets_out("  network: {inner: []}\n")).to_string();
    assert!(link.contains("169.254.0.0/16") && link.contains("fe80::/10"), "one's own link is never outside: {link}");
    for metadata in ["168.63.129.16", "192.0.0.192", "fd00:ec2::254"] {
        assert_eq!(at(metadata), [], "{metadata}");
        assert!(link.contains(metadata), "{link}");
    }
}

/// They run what strangers wrote, too.
#[test]
fn builds_reach_what_tools_reach_but_for_tools() {
    let builds = renderer::platform::Builds::by(renderer::platform::Backend::Local);
    let of = |settings: &str| {
        let file = include_str!("../../../examples/render/network/platform.yaml");
        let (frame, _) = file.split_once("  network:").expect("the setting");
        let (platform, _) = renderer::platform::parse(format!("{frame}{settings}").as_bytes(), "platform.yaml");
        let platform = Platform { builds: Some(builds.clone()), ..platform.expect("a platform") };
        let all = renderer::render_platform(&platform);
        all.into_iter().find(|object| object.id.name == "toolforge.builds").expect("a policy").value["spec"].clone()
    };
    let open = of("");
    assert_eq!((open["policyTypes"].clone(), open["egress"].is_null()), (json!(["Ingress"]), true));
    let settings = "  network: {open: {db: {cidr: 10.9.0.0/16, ports: [3306]}}}\n";
    let bounded = of(settings);
    assert_eq!(bounded["policyTypes"], json!(["Ingress", "Egress"]));
    assert_eq!(bounded["egress"].as_array().map(Vec::as_slice), Some(&lets_out(settings).expect("rules")[1..]));
}

#[test]
fn a_tool_with_a_uid_runs_as_it_and_any_other_as_the_platforms_user() {
    let user = |uid| {
        let tool = renderer::Tool { uid, ..world::tool() };
        let files = Files { config: Some(b"components: {web: {run: {command: web}}}".to_vec()), ..Files::default() };
        let revision = Revision { files, ..world::revision() };
        let rendered = render_revision(&world::platform(), &tool, &revision, &Siblings::default());
        let context = rendered.components[0].objects[0].value["spec"]["template"]["spec"]["securityContext"].clone();
        ["runAsUser", "runAsGroup", "fsGroup"].map(|field| context[field].as_u64())
    };
    assert_eq!(user(None), [Some(50_000), Some(50_001), Some(50_001)]);
    assert_eq!(user(Some(54_321)), [Some(54_321); 3]);
}

#[test]
fn another_source_is_built_once_it_is_resolved_and_never_taken_for_absent() {
    let config = "components: {web: {build: {ref: v1}, run: {command: web}}}";
    let key = "https://git.example/wordcount#v1";
    let image = |resolved: Option<ResolvedSource>| {
        let files = Files { config: Some(config.as_bytes().to_vec()), ..Files::default() };
        let mut revision = Revision { files, ..world::revision() };
        revision.resolved.extend(resolved.map(|found| (key.to_owned(), found)));
        let rendered = render_revision(&world::platform(), &world::tool(), &revision, &Siblings::default());
        assert_eq!(rendered.withheld, []);
        rendered.components[0].image.clone()
    };
    let commit = CommitId::new("1".repeat(40)).expect("a commit");
    let tree = |digit: &str| TreeId::new(digit.repeat(40)).expect("a tree");
    let built = |digit: &str| image(Some(ResolvedSource::Found { commit: commit.clone(), tree: tree(digit) }));
    assert!(
        matches!(built("3"), Image::Built { repository, .. } if repository == "registry.example/toolforge/tool-wordcount/web")
    );
    assert_ne!(built("3"), built("4"));
    assert!(matches!(image(None), Image::Unresolved { .. }));
    assert!(matches!(image(Some(ResolvedSource::Unavailable { why: "timeout".to_owned() })), Image::Unresolved { .. }));
    let nearest = Some("v1.0".to_owned());
    let missing = image(Some(ResolvedSource::NoSuchRef { nearest }));
    assert_eq!(
        missing,
        Image::Unresolved { why: "https://git.example/wordcount has no ref v1; the nearest is v1.0".to_owned() }
    );
}

#[test]
fn reuse_runs_the_other_components_image() {
    let rendered = rendered("components: {a: {run: {command: a}}, b: {build: {reuse_from: a}, run: {command: b}}}");
    assert_eq!(rendered.components[0].image, rendered.components[1].image);
}

#[test]
fn the_published_settings_read_back_without_what_is_the_reconcilers_own() {
    let objects = render_platform(&world::platform());
    let map = objects.iter().find(|object| object.id.kind == "ConfigMap").expect("a ConfigMap");
    let text = map.value["data"]["platform.json"].as_str().expect("a text");
    let read: Platform = serde_json::from_str(text).expect("settings");
    let mut expected = world::platform();
    expected.cluster = None;
    expected.registry.credentials = None;
    assert_eq!(read, expected);
}

proptest! {
    /// Whatever bytes a repository holds, rendering ends, and the tool-wide objects are there.
    #[test]
    fn any_bytes_render(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let files = Files { config: Some(bytes), ..Files::default() };
        let rendered = render_revision(&world::platform(), &world::tool(), &Revision { files, ..world::revision() }, &Siblings::default());
        prop_assert!(rendered.objects.iter().any(|object| object.id.kind == "Namespace"));
    }
}
