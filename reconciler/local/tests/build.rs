//! Builds on this machine, from a folder to an image: our buildpacks' samples, and repositories that mean harm.

#[path = "build/strangers.rs"]
mod strangers;

use local::build::{BuildError, Builder, DETECT_SECS, Detected, Exported, Request, Verdict};
use local::cell::Door;
use planner::image::LOCAL_ONLY;
use planner::image::{Image, LIFECYCLE_METADATA};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use tempfile::TempDir;

struct World {
    folder: TempDir,
    door: Door,
    builder: Builder,
}

async fn world() -> World {
    let folder = tempfile::tempdir().expect("a folder");
    // Where we are root the processes are not, and a temporary folder is closed to others.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("an open folder");
    let door = Door::through(Path::new(env!("CARGO_BIN_EXE_cell-door"))).await;
    let builder = Builder::new(door.clone(), &folder.path().join("state")).expect("a builder");
    World { folder, door, builder }
}

/// An image, and what was said while it was made.
struct Built {
    image: Exported,
    said: String,
}

impl World {
    /// A source folder with these files.
    fn source(&self, files: &[(&str, &str)]) -> PathBuf {
        let source = self.folder.path().join(format!("source-{:032x}", rand::random::<u128>()));
        fs::create_dir(&source).expect("a folder");
        for (name, content) in files {
            let path = source.join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, content).expect("a file");
        }
        source
    }

    fn request(&self, source: PathBuf) -> Request {
        Request {
            source,
            name: "registry.example/tool-x/web".to_owned(),
            buildpacks: Vec::new(),
            settings: BTreeMap::new(),
            machine: BTreeMap::new(),
            run_image: None,
            fresh: false,
            detect_secs: DETECT_SECS,
            build_secs: 300,
        }
    }

    async fn build(&self, request: &Request) -> Result<Built, (BuildError, String)> {
        let into = self.folder.path().join(format!("image-{:032x}", rand::random::<u128>()));
        let said = Mutex::new(String::new());
        let log = |line: &str| said.lock().expect("a lock").push_str(&format!("{line}\n"));
        let built = self.builder.build(request, &into, &log).await;
        let said = said.into_inner().expect("a lock");
        match built {
            Ok(image) => Ok(Built { image, said }),
            Err(error) => Err((error, said)),
        }
    }

    async fn good(&self, files: &[(&str, &str)]) -> Built {
        let built = self.build(&self.request(self.source(files))).await;
        built.unwrap_or_else(|(error, said)| unreachable!("{error}\n{said}"))
    }

    async fn detect(&self, files: &[(&str, &str)]) -> Result<Detected, BuildError> {
        self.builder.detect(&self.request(self.source(files))).await
    }
}

impl Built {
    fn read(&self) -> Image {
        let config = fs::read(self.image.path(&self.image.blobs[0])).expect("a configuration");
        Image::read(&self.image.manifest, &config).expect("an image")
    }

    fn config(&self) -> Value {
        serde_json::from_slice(&fs::read(self.image.path(&self.image.blobs[0])).expect("a file")).expect("JSON")
    }

    fn label(&self, key: &str) -> Value {
        serde_json::from_str(self.read().label(key).expect("a label")).expect("JSON")
    }

    /// Unpacks every layer into a folder, and says what is in each.
    fn unpack(&self, into: &Path) -> Vec<BTreeSet<String>> {
        let one = |blob| {
            let open = || tar::Archive::new(File::open(self.image.path(blob)).expect("a layer"));
            open().unpack(into).expect("it unpacks");
            let name = |entry: std::io::Result<tar::Entry<'_, File>>| {
                let path = entry.expect("an entry").path().expect("a path").display().to_string();
                path.trim_end_matches('/').to_owned()
            };
            open().entries().expect("entries").map(name).collect()
        };
        self.image.blobs[1..].iter().map(one).collect()
    }
}

const SITE: &[(&str, &str)] = &[("public/index.html", "<h1>hello</h1>")];

#[tokio::test]
async fn a_site_becomes_an_image_with_the_layout_and_labels_of_the_specification() {
    let world = world().await;
    let built = world.good(SITE).await;
    let image = built.read();
    for key in [
        "io.buildpacks.build.metadata",
        "io.buildpacks.project.metadata",
        "io.buildpacks.stack.id",
        "io.buildpacks.base.distro.name",
        "io.buildpacks.base.distro.version",
        "io.buildpacks.rebasable",
    ] {
        assert!(image.label(key).is_some(), "{key} is missing");
    }
    assert_eq!(image.env("CNB_PLATFORM_API"), Some("0.12"));
    let config = built.config();
    assert_eq!(config["config"]["Entrypoint"], serde_json::json!(["/cnb/process/web"]));
    assert_eq!(config["config"]["WorkingDir"], "/workspace");
    assert_eq!(built.image.processes, ["web"]);

    let root = world.folder.path().join("root");
    let layers = built.unpack(&root);
    assert!(layers[0].is_empty(), "the base is empty: {layers:?}");
    let everything: BTreeSet<_> = layers.iter().flatten().map(String::as_str).collect();
    for path in ["layers/toolforge_static/server/serve.py", "workspace/public/index.html", "cnb/lifecycle/launcher"] {
        assert!(everything.contains(path), "{path} is missing: {everything:?}");
    }
    assert_eq!(fs::read_link(root.join("cnb/process/web")).expect("a link"), Path::new("/cnb/lifecycle/launcher"));
    let metadata = fs::read_to_string(root.join("layers/config/metadata.toml")).expect("metadata.toml");
    assert!(metadata.contains("type = \"web\"") && metadata.contains("id = \"toolforge/static\""), "{metadata}");

    let said = built.label(LIFECYCLE_METADATA);
    let ids: Vec<_> = image.layers().iter().map(|layer| layer.diff_id.clone()).collect();
    for pointer in ["/runImage/topLayer", "/app/0/sha", "/launcher/sha", "/config/sha", "/process-types/sha"] {
        let sha = said.pointer(pointer).and_then(Value::as_str).expect(pointer);
        assert!(ids.iter().any(|id| id == sha), "{pointer} names no layer: {said}");
    }
    let server = &said["buildpacks"][0]["layers"]["server"];
    assert!(server["launch"] == true && server["data"]["key"].is_string() && server["sha"].is_string(), "{said}");
}

#[tokio::test]
async fn nothing_changed_is_the_same_image_and_nothing_is_made_again() {
    let world = world().await;
    let files = [("Procfile", "web: python3 app.py\n"), ("app.py", "print('hello')\n"), (".python-version", "3\n")];
    let first = world.good(&files).await;
    let second = world.good(&files).await;
    assert_eq!(first.image.digest, second.image.digest);
    assert!(second.said.contains(" as before"), "{}", second.said);
    assert!(!first.said.contains(" as before"), "{}", first.said);
    let fresh = Request { fresh: true, ..world.request(world.source(&files)) };
    let fresh = world.build(&fresh).await.unwrap_or_else(|(error, said)| unreachable!("{error}\n{said}"));
    assert!(!fresh.said.contains(" as before"), "{}", fresh.said);
    assert_eq!(first.image.digest, fresh.image.digest, "the same content is the same image, made anew or not");
    let third = world.good(&[files[0], ("app.py", "print('bye')\n"), files[2]]).await;
    assert_ne!(first.image.digest, third.image.digest);
}

#[tokio::test]
async fn two_builds_of_one_name_come_one_after_the_other() {
    let world = world().await;
    let both = [world.request(world.source(SITE)), world.request(world.source(SITE))];
    let (one, other) = tokio::join!(world.build(&both[0]), world.build(&both[1]));
    let digest = |built: Result<Built, (BuildError, String)>| built.map(|built| built.image.digest).ok();
    let (one, other) = (digest(one), digest(other));
    assert!(one.is_some() && one == other, "{one:?} {other:?}");
}

#[tokio::test]
async fn an_image_without_a_base_says_that_it_runs_here_alone() {
    let world = world().await;
    let label = |built: &Built| built.read().label(LOCAL_ONLY).map(str::to_owned);
    let alone = world.good(SITE).await;
    assert!(alone.image.local_only);
    assert_eq!(label(&alone).as_deref(), Some("true"));
    let run_image = Some("registry.example/run:12".to_owned());
    let request = Request { run_image, ..world.request(world.source(SITE)) };
    let based = world.build(&request).await.unwrap_or_else(|(error, said)| unreachable!("{error}\n{said}"));
    assert_eq!(based.image.local_only, !world.door.in_place());
    assert_eq!(label(&based).is_some(), !world.door.in_place());
    assert_eq!(based.label(LIFECYCLE_METADATA)["runImage"]["image"], "registry.example/run:12");
}

#[tokio::test]
async fn where_paths_are_not_real_it_builds_too_and_the_image_says_so() {
    let world = world().await;
    let state = world.folder.path().join("plain");
    let builder = Builder::new(world.door.without_places(), &state).expect("a builder");
    let world = World { builder, ..world };
    let run_image = Some("registry.example/run:12".to_owned());
    let request = Request { run_image, ..world.request(world.source(SITE)) };
    let built = world.build(&request).await.unwrap_or_else(|(error, said)| unreachable!("{error}\n{said}"));
    assert!(built.image.local_only);
    assert_eq!(built.read().label("io.buildpacks.rebasable"), Some("false"));
}

#[tokio::test]
async fn the_launcher_of_the_image_starts_a_process_by_name_or_any_command() {
    let world = world().await;
    let procfile = "web: echo web-$(pwd) $GREETING\nworker: sleep 1\n";
    let built = world.good(&[("Procfile", procfile), ("app.py", "")]).await;
    let root = world.folder.path().join("root");
    built.unpack(&root);
    let cell = local::cell::Cell::new(&world.folder.path().join("cell"))
        .with_place(&root.join("cnb"), "/cnb", false)
        .with_place(&root.join("layers"), "/layers", false)
        .with_place(&root.join("workspace"), "/workspace", true)
        .with_env("PATH", "/cnb/process:/cnb/lifecycle:/usr/bin:/bin")
        .with_env("GREETING", "hi");
    if !world.door.in_place() {
        return;
    }
    cell.prepare().expect("a cell");
    let prints = async |argv: &[&str]| {
        let out = cell.command(&world.door, argv).expect("a command").output().await.expect("it runs");
        String::from_utf8_lossy(&out.stdout).trim().to_owned() + String::from_utf8_lossy(&out.stderr).trim()
    };
    assert_eq!(prints(&["launcher", "web"]).await, "web-/workspace hi");
    assert_eq!(prints(&["/cnb/process/web"]).await, "web-/workspace hi");
    assert_eq!(prints(&["launcher", "sh", "-c", "echo $PYTHONUNBUFFERED; ls"]).await, "1\nProcfile\napp.py");
    assert_eq!(prints(&["launcher"]).await, "no process is named; this image has: web worker");
}

#[tokio::test]
async fn what_no_buildpack_knows_is_told_with_what_each_misses() {
    let world = world().await;
    let detected = world.detect(&[("main.cobol", "")]).await.expect("an answer");
    assert!(detected.group.is_empty());
    assert_eq!(detected.tried.len(), 8);
    assert!(detected.tried.iter().all(|tried| tried.verdict == Verdict::NotNeeded && !tried.reason.is_empty()));
    let source = world.source(&[("main.cobol", "")]);
    let (error, _) = world.build(&world.request(source)).await.err().expect("no image");
    let told = error.to_string();
    assert!(told.contains("\n  toolforge/procfile: no Procfile"), "{told}");
    assert!(error.hint().contains("Procfile"), "{}", error.hint());
}

#[tokio::test]
async fn a_procfile_without_the_process_and_one_that_is_broken_end_the_build_with_a_hint() {
    let world = world().await;
    let settings = BTreeMap::from([("BP_PROCESSES".to_owned(), "web".to_owned())]);
    let request = Request { settings, ..world.request(world.source(&[("Procfile", "worker: true\n")])) };
    let (error, said) = world.build(&request).await.err().expect("no image");
    assert!(matches!(&error, BuildError::BuildFailed { pack, code: 1 } if pack == "toolforge/procfile"), "{error}");
    assert!(said.contains("the Procfile has no process web") && said.contains("hint: "), "{said}");
}

#[tokio::test]
async fn requirements_that_cannot_be_installed_end_the_build_in_pips_words_and_with_a_hint() {
    let world = world().await;
    // Nobody listens there.
    let machine = [("PIP_INDEX_URL", "http://127.0.0.1:1/simple"), ("PIP_RETRIES", "0"), ("PIP_TIMEOUT", "1")];
    let machine = machine.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let files = [("requirements.txt", "no-such-package==1.0\n"), ("Procfile", "web: true\n")];
    let (error, said) =
        world.build(&Request { machine, ..world.request(world.source(&files)) }).await.err().expect("no image");
    assert!(matches!(&error, BuildError::BuildFailed { pack, code: 1 } if pack == "toolforge/pip"), "{error}\n{said}");
    assert!(said.contains("no-such-package") && said.contains("hint: "), "{said}");
}

#[tokio::test]
async fn a_buildpack_that_is_not_there_is_named_with_those_that_are() {
    let world = world().await;
    let request = Request { buildpacks: vec!["heroku/cobol".to_owned()], ..world.request(world.source(SITE)) };
    let (error, _) = world.build(&request).await.err().expect("no image");
    assert!(error.to_string().starts_with("there is no buildpack heroku/cobol on this machine; it has "), "{error}");
    let request = Request { buildpacks: vec!["toolforge/procfile".to_owned()], ..request };
    let (error, _) = world.build(&request).await.err().expect("no image");
    assert!(matches!(error, BuildError::NoneDetected { .. }), "a named buildpack has to take part: {error}");
}

/// A tool whose build script is `script`, by way of npm.
fn npm(script: &str) -> Vec<(&'static str, String)> {
    let package = serde_json::json!({"name": "x", "version": "1.0.0", "scripts": {"build": script}});
    vec![("package.json", package.to_string()), ("Procfile", "web: true\n".to_owned())]
}

async fn npm_build(world: &World, script: &str, build_secs: u64) -> Result<Built, (BuildError, String)> {
    let files = npm(script);
    let files: Vec<_> = files.iter().map(|(name, content)| (*name, content.as_str())).collect();
    world.build(&Request { build_secs, ..world.request(world.source(&files)) }).await
}

#[tokio::test]
async fn a_build_script_writes_nothing_but_its_own_layers_and_the_source() {
    let world = world().await;
    if !world.door.in_place() {
        return;
    }
    let script = "for place in /layers/other /layers/toolforge_procfile/x /cnb/x /platform/x /etc/x /x; do \
                  touch $place && echo wrote-$place; done; touch /workspace/made; true";
    let built = npm_build(&world, script, 300).await.unwrap_or_else(|(error, said)| unreachable!("{error}\n{said}"));
    let lines: Vec<_> = built.said.lines().filter(|line| line.trim_start().starts_with("wrote-")).collect();
    assert!(lines.is_empty(), "{lines:?}");
    let layers = built.unpack(&world.folder.path().join("root"));
    assert!(layers.iter().any(|layer| layer.contains("workspace/made")), "{layers:?}");
}

#[tokio::test]
async fn what_a_build_script_leaves_in_layers_is_read_as_a_strangers() {
    let world = world().await;
    let own = "$CNB_LAYERS_DIR";
    for (script, what) in [
        (format!("ln -s /etc/passwd {own}/evil.toml"), "evil.toml: it is a link"),
        (format!("mkfifo {own}/evil.toml"), "evil.toml: it is no regular file"),
        (format!("head -c 3000000 /dev/zero >{own}/evil.toml"), "evil.toml: it has more than"),
        (format!("echo '[[' >{own}/evil.toml"), "evil.toml: "),
        (format!("printf '[types]\\nlaunch = true\\n' >{own}/evil.toml; ln -s /etc {own}/evil"), "which is no folder"),
    ] {
        let (error, said) = npm_build(&world, &script, 300).await.err().expect("no image");
        assert!(error.to_string().contains(what), "{script}: {error}\n{said}");
        assert!(!error.hint().is_empty());
    }
}

#[tokio::test]
async fn a_process_sees_no_environment_of_ours_and_the_settings_of_the_build() {
    let world = world().await;
    let files = npm("env");
    let files: Vec<_> = files.iter().map(|(name, content)| (*name, content.as_str())).collect();
    let settings = BTreeMap::from([("MY_SETTING".to_owned(), "mine".to_owned())]);
    let request = Request { settings, ..world.request(world.source(&files)) };
    let built = world.build(&request).await.unwrap_or_else(|(error, said)| unreachable!("{error}\n{said}"));
    assert!(built.said.contains("MY_SETTING=mine"), "{}", built.said);
    assert!(!built.said.contains("CARGO_"), "{}", built.said);
}
