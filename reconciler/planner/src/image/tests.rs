//! Images as buildpacks make them, and what becomes of them.

use super::facts::CREATED;
use super::*;
use renderer::BuildId;
use serde_json::json;

/// Some digest, the same for the same text.
fn digest(text: &str) -> Digest {
    digest_of(text.as_bytes())
}

/// What a test says of an image; the rest is as buildpacks write it.
#[derive(Clone)]
struct Made {
    layers: Vec<&'static str>,
    labels: Vec<(&'static str, String)>,
    env: Vec<&'static str>,
    architecture: &'static str,
    docker: bool,
}

const RUN: &str = "registry.example/run:24";

impl Made {
    fn run(layers: &[&'static str]) -> Self {
        let labels = [("io.buildpacks.base.distro.name", "debian"), ("io.buildpacks.base.distro.version", "12")];
        Self {
            layers: layers.to_vec(),
            labels: labels.map(|(key, value)| (key, value.to_owned())).to_vec(),
            env: vec![],
            architecture: "amd64",
            docker: false,
        }
    }

    /// An application on the run image of `base`, with the layers of `above`.
    fn app(base: &[&'static str], above: &[&'static str]) -> Self {
        let run = Self::run(base).image();
        let top = base.last().copied().unwrap_or_default();
        let metadata = json!({
            "app": [{"sha": diff_id("app")}],
            "sbom": {"sha": diff_id("sbom")},
            "buildpacks": [{"key": "toolforge/python", "version": "1", "layers": {"x": {"data": {"kept": true}}}}],
            "runImage": {"image": RUN, "topLayer": diff_id(top), "reference": format!("{RUN}@{}", run.digest())},
            "unknown": {"to": "us"},
        });
        let mut made = Self::run(&[base, above].concat());
        made.labels.push((LIFECYCLE_METADATA, metadata.to_string()));
        made.labels.push(("io.buildpacks.base.released", "2025".to_owned()));
        made.env.push("CNB_PLATFORM_API=0.14");
        made
    }

    fn label(mut self, key: &'static str, value: &str) -> Self {
        self.labels.retain(|(other, _)| *other != key);
        self.labels.push((key, value.to_owned()));
        self
    }

    fn without(mut self, key: &str) -> Self {
        self.labels.retain(|(other, _)| *other != key);
        self
    }

    fn config(&self) -> Value {
        let labels: serde_json::Map<_, _> =
            self.labels.iter().map(|(key, value)| ((*key).into(), json!(value))).collect();
        let diff_ids: Vec<_> = self.layers.iter().map(|layer| diff_id(layer)).collect();
        let mut history: Vec<_> = self.layers.iter().map(|layer| json!({"created_by": layer})).collect();
        history.insert(1.min(history.len()), json!({"created_by": "no layer", "empty_layer": true}));
        json!({
            "os": "linux", "architecture": self.architecture, "created": "1980-01-01T00:00:01Z", "x": "kept",
            "config": {"Labels": labels, "Env": self.env, "Entrypoint": ["/cnb/process/web"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids}, "history": history,
        })
    }

    fn image(&self) -> Image {
        let config = self.config().to_string().into_bytes();
        let (own, layer) = if self.docker {
            (MANIFESTS[1], "application/vnd.docker.image.rootfs.diff.tar.gzip")
        } else {
            (MANIFESTS[0], "application/vnd.oci.image.layer.v1.tar+gzip")
        };
        let layers = self.layers.iter().map(|name| json!({"mediaType": layer, "size": 7, "digest": digest(name)}));
        let manifest = json!({
            "schemaVersion": 2, "mediaType": own, "annotations": {"kept": "too"},
            "config": {"mediaType": "c", "digest": digest_of(&config), "size": config.len()},
            "layers": layers.collect::<Vec<_>>(),
        });
        Image::read(manifest.to_string().as_bytes(), &config).expect("an image")
    }
}

fn diff_id(layer: &str) -> String {
    digest(&format!("{layer}, unpacked")).to_string()
}

fn on(app: &Image, run: &Image) -> Result<Option<Rebased>, Refusal> {
    rebase(app, RunImage { reference: RUN, image: run })
}

fn refused(app: &Made, run: &Made) -> Refusal {
    on(&app.image(), &run.image()).expect_err("a refusal")
}

fn names(image: &Image) -> Vec<&'static str> {
    let known = ["old-1", "old-2", "new-1", "new-2", "new-3", "sbom", "app"];
    let name =
        |layer: &Layer| known.into_iter().find(|name| digest(name) == layer.digest && diff_id(name) == layer.diff_id);
    image.layers().iter().map(|layer| name(layer).expect("a layer we know, with its own diff id")).collect()
}

const OLD: &[&str] = &["old-1", "old-2"];
const NEW: &[&str] = &["new-1", "new-2", "new-3"];
const ABOVE: &[&str] = &["sbom", "app"];

#[test]
fn the_run_images_layers_are_replaced_and_everything_else_is_kept() {
    let app = Made::app(OLD, ABOVE).label("io.buildpacks.stack.mixins", "[]").image();
    let run = Made::run(NEW).label("io.buildpacks.base.released", "2026").image();
    let rebased = on(&app, &run).expect("compatible").expect("something to do");
    let image = Image::read(&rebased.manifest, &rebased.config).expect("an image");
    assert_eq!(names(&image), ["new-1", "new-2", "new-3", "sbom", "app"]);
    assert_eq!((image.digest(), &rebased.base[..]), (&rebased.digest, run.layers()));

    let metadata: Value = image.json_label(LIFECYCLE_METADATA).expect("a label").expect("JSON");
    let mut expected: Value = app.json_label(LIFECYCLE_METADATA).expect("a label").expect("JSON");
    expected["runImage"]["topLayer"] = json!(diff_id("new-3"));
    expected["runImage"]["reference"] = json!(format!("registry.example/run@{}", run.digest()));
    assert_eq!(metadata, expected, "what we do not know stays");
    assert_eq!(image.label("io.buildpacks.base.released"), Some("2026"));
    assert_eq!(image.label("io.buildpacks.stack.mixins"), None, "what only the old run image said is gone");

    let history: Vec<_> = image.config["history"].as_array().expect("a list").iter().collect();
    let told: Vec<_> = history.iter().map(|entry| entry["created_by"].as_str().expect("a text")).collect();
    assert_eq!(told, ["new-1", "no layer", "new-2", "new-3", "sbom", "app"]);
    for (pointer, of) in [("/x", &app.config), ("/created", &app.config), ("/config/Entrypoint", &app.config)] {
        assert_eq!(image.config.pointer(pointer), of.pointer(pointer), "{pointer}");
    }
    assert_eq!(image.manifest["annotations"], app.manifest["annotations"]);
}

#[test]
fn a_rebase_has_one_digest_a_second_one_nothing_to_do_and_a_way_back() {
    let (app, old, new) = (Made::app(OLD, ABOVE).image(), Made::run(OLD).image(), Made::run(NEW).image());
    let once = on(&app, &new).expect("compatible").expect("something to do");
    assert_eq!(on(&app, &new).expect("compatible").expect("the same"), once);
    let image = Image::read(&once.manifest, &once.config).expect("an image");
    assert_eq!(on(&image, &new), Ok(None));
    let back = on(&image, &old).expect("compatible").expect("something to do");
    let again = Image::read(&back.manifest, &back.config).expect("an image");
    assert_eq!(names(&again), ["old-1", "old-2", "sbom", "app"]);
    let forth = on(&again, &new).expect("compatible").expect("something to do");
    assert_eq!(forth.digest, once.digest, "the same images make the same bytes, whatever was before");
}

#[test]
fn layers_are_named_as_the_applications_kind_of_manifest_names_them() {
    for docker in [false, true] {
        let app = Made { docker, ..Made::app(OLD, ABOVE) }.image();
        let run = Made { docker: !docker, ..Made::run(NEW) }.image();
        let rebased = on(&app, &run).expect("compatible").expect("something to do");
        let manifest: Value = serde_json::from_slice(&rebased.manifest).expect("JSON");
        let types: std::collections::BTreeSet<_> =
            manifest["layers"].as_array().expect("a list").iter().map(|layer| layer["mediaType"].to_string()).collect();
        assert_eq!(types.len(), 1, "{types:?}");
        assert_eq!(types.iter().all(|text| text.contains("docker")), docker);
        assert_eq!(manifest["mediaType"], json!(rebased.media_type));
    }
}

#[test]
fn a_history_that_does_not_fit_is_told_anew_an_entry_a_layer() {
    let mut app = Made::app(OLD, ABOVE).image();
    app.config["history"] = json!([{"created_by": "one for all"}]);
    let rebased = on(&app, &Made::run(NEW).image()).expect("compatible").expect("something to do");
    let config: Value = serde_json::from_slice(&rebased.config).expect("JSON");
    let entries = config["history"].as_array().expect("a list");
    assert_eq!(entries.iter().filter(|entry| entry.get("empty_layer").is_none()).count(), 5, "{entries:?}");
}

#[test]
fn what_labels_do_not_promise_is_not_rebased() {
    let (app, run) = (Made::app(OLD, ABOVE), Made::run(NEW));
    let no = |app: &Made, run: &Made| match refused(app, run) {
        Refusal::Incompatible(why) => why,
        other => unreachable!("{other:?}"),
    };
    assert_eq!(no(&app.clone().label("io.buildpacks.rebasable", "false"), &run), Incompatible::NotRebasable);
    let arm = Made { architecture: "arm64", ..run.clone() };
    assert!(matches!(no(&app, &arm), Incompatible::Target { run, .. } if run == "linux/arm64"));
    let later = run.clone().label("io.buildpacks.base.distro.version", "13");
    let told = refused(&app, &later).to_string();
    assert_eq!(told, "it is built on debian 12, and the run image is debian 13");
    let silent = run.clone().without("io.buildpacks.base.distro.version");
    assert!(matches!(no(&app, &silent), Incompatible::Distribution { .. }), "a lost label promises nothing");

    // Before platform API 0.12 it was stacks.
    let old = Made { env: vec!["CNB_PLATFORM_API=0.9"], ..app.clone() }.label("io.buildpacks.stack.id", "bookworm");
    let stack = run.clone().label("io.buildpacks.stack.id", "bookworm");
    assert!(on(&old.image(), &stack.image()).is_ok());
    assert!(on(&old.image(), &stack.clone().label("io.buildpacks.base.distro.version", "13").image()).is_ok());
    assert!(matches!(no(&old, &run), Incompatible::Stack { .. }));
    assert!(matches!(no(&Made { env: vec![], ..app.clone() }, &run), Incompatible::Stack { .. }));
    let needs = old.label("io.buildpacks.stack.mixins", r#"["run:git", "jq"]"#);
    assert!(
        on(&needs.image(), &stack.clone().label("io.buildpacks.stack.mixins", r#"["git", "jq", "x"]"#).image()).is_ok()
    );
    assert_eq!(
        no(&needs, &stack.label("io.buildpacks.stack.mixins", r#"["git"]"#)),
        Incompatible::Mixins(vec!["jq".to_owned()])
    );
}

#[test]
fn what_does_not_say_where_its_run_image_ends_is_not_rebased() {
    let (app, run) = (Made::app(OLD, ABOVE), Made::run(NEW));
    for garbage in ["{", "[]", "{}", r#"{"runImage": {"topLayer": ""}}"#] {
        let told = refused(&app.clone().label(LIFECYCLE_METADATA, garbage), &run);
        assert!(matches!(told, Refusal::NoMetadata(_)), "{garbage}: {told:?}");
    }
    assert!(matches!(refused(&app.clone().without(LIFECYCLE_METADATA), &run), Refusal::NoMetadata(_)));
    let elsewhere = format!(r#"{{"runImage": {{"topLayer": "{}"}}}}"#, diff_id("never"));
    assert_eq!(
        refused(&app.clone().label(LIFECYCLE_METADATA, &elsewhere), &run),
        Refusal::NoTopLayer(diff_id("never"))
    );
    let nothing = refused(&app, &Made { layers: vec![], ..Made::run(&["x"]) });
    assert!(matches!(nothing, Refusal::Malformed(_)), "{nothing:?}");
}

#[test]
fn a_run_image_of_another_name_is_another_one() {
    let (app, run) = (Made::app(OLD, ABOVE).image(), Made::run(NEW).image());
    let pinned = format!("Registry.example:443/run:24@{}", digest("whatever"));
    assert!(rebase(&app, RunImage { reference: &pinned, image: &run }).is_ok());
    for other in ["registry.example/run:26", "registry.example/other:24"] {
        let refusal = rebase(&app, RunImage { reference: other, image: &run }).expect_err("refused");
        let known = RUN.to_owned();
        assert_eq!(refusal, Refusal::OtherRunImage { given: other.to_owned(), known });
    }
}

#[test]
fn garbage_is_no_image() {
    let config = Made::run(NEW).config().to_string();
    let manifest = Made::run(NEW).image().manifest;
    let read = |manifest: &Value| Image::read(manifest.to_string().as_bytes(), config.as_bytes());
    assert!(read(&manifest).is_ok());
    for (pointer, value, says) in [
        ("/schemaVersion", json!(1), "schema 1"),
        ("/mediaType", json!("application/vnd.oci.image.index.v1+json"), "no manifest of an image"),
        ("/config/digest", json!(digest("x")), "its configuration is"),
        ("/config/digest", json!("md5:1"), "can't be read"),
        ("/layers/0/size", json!(-1), "can't be read"),
        ("/layers", json!([]), "0 layers and its configuration 3"),
    ] {
        let mut wrong = manifest.clone();
        *wrong.pointer_mut(pointer).expect("the field") = value;
        let told = read(&wrong).expect_err(pointer).to_string();
        assert!(told.contains(says), "{pointer}: {told}");
    }
    let mut many = manifest.clone();
    many["layers"] = vec![manifest["layers"][0].clone(); MAX_LAYERS + 1].into();
    assert!(read(&many).expect_err("too many").to_string().contains("more than"));
    assert!(Image::read(b"<html>", b"{}").is_err());
}

#[test]
fn an_image_tells_what_it_is_made_of() {
    let build = json!({"buildpacks": [{"id": "toolforge/python", "version": "1.2"}, {"id": "toolforge/node"}, 7]});
    let app = Made::app(OLD, ABOVE).label(BUILD_METADATA, &build.to_string()).image();
    let facts = Facts::of(&app);
    assert_eq!((facts.layers, facts.size_bytes, facts.run_image_layers, facts.sbom), (4, 28, Some(2), true));
    assert_eq!(facts.created, None, "1980 is how buildpacks say nothing");
    let project = json!({"source": {"version": {"committed": "2026-01-31T12:00:00Z"}}}).to_string();
    let dated = Facts::of(&Made::app(OLD, ABOVE).label(PROJECT_METADATA, &project).image());
    assert_eq!(dated.created.expect("the commit's date").to_string(), "2026-01-31T12:00:00Z");
    assert_eq!(facts.platform.to_string(), "linux/amd64");
    let all: Vec<_> = facts.buildpacks.iter().map(|one| format!("{}@{}", one.id, one.version)).collect();
    assert_eq!(all, ["toolforge/python@1.2", "toolforge/node@"]);
    assert!(facts.run_image.expect("one").starts_with(RUN));

    let plain = Facts::of(&Made::run(NEW).label(CREATED, "2026-01-31T12:00:00Z").image());
    assert_eq!((plain.run_image, plain.run_image_layers, plain.sbom), (None, None, false));
    assert_eq!(plain.created.expect("a date").to_string(), "2026-01-31T12:00:00Z");
    let tag = signature_tag(&digest("x"));
    assert!(tag.starts_with("sha256-") && tag.ends_with(".sig") && tag.len() == 75, "{tag}");
}

#[test]
fn the_tag_of_a_rebase_names_the_build_and_the_run_image() {
    let build = BuildId::new("a".repeat(64)).expect("an id");
    let run = Digest::new(format!("sha256:0123456789abcdef{}", "0".repeat(48))).expect("a digest");
    assert_eq!(rebase_tag(&build, &run), format!("{build}-r0123456789ab"));
    assert_eq!(build_of(&rebase_tag(&build, &run)), Some(build.clone()));
    assert_eq!((build_of(build.as_str()), build_of("latest")), (Some(build), None));
}
