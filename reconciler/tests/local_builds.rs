//! `detect` and `build-image` of the binary itself: from a commit to an image in a registry of this machine.

mod git_host;

use git_host::Repository;
use local::registry::Registry as Shop;
use planner::image::{Image, Target};
use reconciler::dialer::{Dialer, HostPort, Rules};
use reconciler::registry::{Reference, Registry};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

struct World {
    folder: tempfile::TempDir,
    shop: Shop,
    registry: Registry,
    repository: Repository,
}

#[derive(Debug)]
struct Ran {
    exit: i32,
    out: String,
    err: String,
}

impl World {
    async fn new(files: &[(&str, &str)]) -> Self {
        reconciler::cluster::install_crypto();
        let folder = tempfile::tempdir().expect("a folder");
        // Where we are root strangers' processes are not, and a temporary folder is closed to others.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("an open folder");
        let shop = Shop::start(&folder.path().join("registry"), 0).await.expect("a registry");
        let mut rules = Rules::default();
        rules.reach(HostPort::parse(&shop.host()));
        let dialer = Dialer::new(rules);
        let registry = Registry::new(dialer, BTreeMap::new(), BTreeSet::new());
        let repository = Repository::new(folder.path(), "tool");
        for (name, content) in files {
            repository.write(name, content.as_bytes());
        }
        Self { folder, shop, registry, repository }
    }

    async fn toolforge(&self, arguments: &[&str], env: &[(&str, &str)]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_toolforge"));
        command.args(arguments).env_clear().envs(env.iter().copied()).stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("TOOLFORGE_STATE", self.folder.path().join("state")).current_dir(self.folder.path());
        let out = tokio::task::spawn_blocking(move || command.output()).await;
        let out = out.expect("it ends").expect("the binary runs");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ran { exit: out.status.code().unwrap_or(-1), out: text(out.stdout), err: text(out.stderr) }
    }

    fn image(&self, tag: &str) -> String {
        format!("{}/toolforge/tool-x/web:{tag}", self.shop.host())
    }

    async fn build(&self, tag: &str, more: &[&str]) -> Ran {
        let commit = self.repository.commit_all();
        let (repository, image) = (self.repository.path.display().to_string(), self.image(tag));
        let arguments = [&["build-image", &repository, &commit, "--image", &image], more].concat();
        self.toolforge(&arguments, &[("BUILD_ENV_GREETING", "hello"), ("MY_TOKEN", "s3cret")]).await
    }

    async fn read(&self, tag: &str) -> Option<Image> {
        let reference = Reference::parse(&self.image(tag)).expect("a reference");
        self.registry.manifest_of(&reference).await.expect("an answer")?;
        Some(self.registry.image(&reference, &Target::parse("linux/amd64")).await.expect("an image"))
    }
}

const SITE: &[(&str, &str)] = &[("index.html", "<h1>hello</h1>\n")];

#[tokio::test]
async fn a_commit_becomes_an_image_in_the_registry_and_is_not_built_again() {
    let world = World::new(SITE).await;
    let first = world.build("1", &[]).await;
    assert_eq!((first.exit, first.err.as_str()), (0, ""), "{first:?}");
    assert!(first.out.contains("yes toolforge/static: ./index.html is here"), "{first:?}");
    let image = world.read("1").await.expect("an image");
    assert!(first.out.contains(image.digest().as_str()), "{first:?}");
    assert_eq!(image.label("toolforge.org/local-only"), Some("true"));
    let again = world.build("1", &[]).await;
    assert_eq!((again.exit, again.out.contains("is there: sha256:")), (0, true), "{again:?}");
}

#[tokio::test]
async fn the_run_image_of_the_registry_lies_below_and_one_that_is_not_there_is_no_error() {
    let world = World::new(SITE).await;
    let run = format!("{}/run:12", world.shop.host());
    let without = world.build("1", &["--run-image", &run]).await;
    assert_eq!(without.exit, 0, "{without:?}");
    assert!(world.read("1").await.expect("an image").label("toolforge.org/local-only").is_some());

    // Any image of the same distribution may be one: the first one is as good as any.
    let built = world.read("1").await.expect("an image");
    let app = Reference::parse(&world.image("1")).expect("a reference");
    world.registry.promote(&app, &Reference::parse(&run).expect("a reference")).await.expect("a run image");
    let with = world.build("2", &["--run-image", &run]).await;
    assert_eq!(with.exit, 0, "{with:?}");
    let image = world.read("2").await.expect("an image");
    let base = built.layers().len();
    assert_eq!(image.layers()[..base], *built.layers(), "the run image's layers come first");
    assert_eq!(image.layers()[base..], built.layers()[1..], "then all of the application's but the missing base");
}

#[tokio::test]
async fn what_fails_leaves_nothing_and_says_the_next_step() {
    let world = World::new(&[("main.cobol", "")]).await;
    let none = world.build("1", &[]).await;
    assert_eq!(none.exit, 3, "{none:?}");
    assert!(none.err.contains("no buildpack knows what to do with this repository"), "{none:?}");
    assert!(none.err.contains("hint: Add a Procfile"), "{none:?}");
    assert!(world.read("1").await.is_none());
    world.repository.write("Procfile", b"web\n");
    let broken = world.build("1", &[]).await;
    assert!(broken.out.contains("Procfile line 1: this is not `name: command`"), "{broken:?}");
    assert_eq!((broken.exit, broken.err.contains("build of toolforge/procfile failed")), (3, true), "{broken:?}");
    assert!(world.read("1").await.is_none());
    let scratch: Vec<PathBuf> = std::fs::read_dir(world.folder.path().join("state/scratch"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    assert!(scratch.is_empty(), "{scratch:?}");
}

#[tokio::test]
async fn a_build_sees_its_settings_and_not_the_environment_of_the_program() {
    let package =
        r#"{"name": "x", "version": "1.0.0", "scripts": {"build": "env; cat /proc/*/environ 2>/dev/null; true"}}"#;
    let world = World::new(&[("package.json", package), ("Procfile", "web: true\n")]).await;
    let built = world.build("1", &[]).await;
    assert_eq!(built.exit, 0, "{built:?}");
    assert!(built.out.contains("GREETING=hello"), "{built:?}");
    assert!(!built.out.contains("s3cret"), "{built:?}");
}

#[tokio::test]
async fn an_image_for_this_machine_alone_goes_to_no_other_machines_registry() {
    let world = World::new(SITE).await;
    let commit = world.repository.commit_all();
    let repository = world.repository.path.display().to_string();
    // Nobody answers there, and nobody is asked.
    let image = "198.51.100.1:1/toolforge/tool-x/web:1";
    let ran = world.toolforge(&["build-image", &repository, &commit, "--image", image], &[]).await;
    assert_eq!((ran.exit, ran.out.as_str()), (3, ""), "{ran:?}");
    assert!(
        ran.err.contains("198.51.100.1:1 is another one's registry\nhint: Give the platform a run image"),
        "{ran:?}"
    );
}

/// Starts the program that follows where the kernel refuses user namespaces, by the kernel's own switch in one that is made
/// for that; on a machine that gives none at all, it is simply started.
const REFUSED: &str = "unshare --user --map-user=65534 --map-group=65534 --keep-caps sh -c '\
     echo 0 >/proc/sys/user/max_user_namespaces && exec setpriv --inh-caps=-all --ambient-caps=-all \"$@\"' sh \"$@\"";

#[tokio::test]
async fn where_the_kernel_refuses_namespaces_an_image_is_for_this_machine_alone_whatever_lies_below_it() {
    let world = World::new(SITE).await;
    let run = format!("{}/run:12", world.shop.host());
    assert_eq!(world.build("1", &[]).await.exit, 0);
    let app = Reference::parse(&world.image("1")).expect("a reference");
    world.registry.promote(&app, &Reference::parse(&run).expect("a reference")).await.expect("a run image");

    let (commit, repository) = (world.repository.commit_all(), world.repository.path.display().to_string());
    let gives_any = Command::new("unshare").args(["--user", "true"]).status().is_ok_and(|status| status.success());
    let start = if gives_any { REFUSED } else { "exec \"$@\"" };
    let image = world.image("2");
    let mut command = Command::new("sh");
    command.args(["-c", start, "sh", env!("CARGO_BIN_EXE_toolforge"), "build-image", &repository, &commit]);
    command.args(["--image", &image, "--run-image", &run]);
    // Of its own: what another one has unpacked may belong to another user there.
    command.env("TOOLFORGE_STATE", world.folder.path().join("refused")).stdin(Stdio::null());
    let ran = tokio::task::spawn_blocking(move || command.output()).await.expect("it ends").expect("sh runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let built = world.read("2").await.expect("an image");
    assert_eq!(built.label("toolforge.org/local-only"), Some("true"));
    assert_eq!(built.label("io.buildpacks.rebasable"), Some("false"));
}

#[tokio::test]
async fn detect_says_what_would_be_used_and_what_each_of_the_others_misses() {
    let world = World::new(&[("requirements.txt", "flask\n"), ("Procfile", "web: flask run\n")]).await;
    let folder = world.repository.path.display().to_string();
    let ran = world.toolforge(&["detect", &folder], &[]).await;
    assert_eq!((ran.exit, ran.err.as_str()), (0, ""), "{ran:?}");
    let expected = "\
BUILDPACK               USED  WHY
toolforge/deb-packages  no    no build.packages in toolforge.yaml, no Aptfile, no project.toml with deb-packages
toolforge/python        yes   requirements.txt is here
toolforge/pip           yes   requirements.txt is here
toolforge/poetry        no    no poetry.lock
toolforge/node          no    no package.json
toolforge/static        no    the Procfile says how web runs
toolforge/uwsgi         no    the Procfile says how web runs
toolforge/procfile      yes   Procfile is here
";
    assert_eq!(ran.out, expected);
    let ran = world.toolforge(&["detect", &folder, "--json"], &[]).await;
    let said: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!(said["used"], serde_json::json!(["toolforge/python", "toolforge/pip", "toolforge/procfile"]));
    assert_eq!(said["tried"][3]["verdict"], "notNeeded");
}

#[tokio::test]
async fn detect_of_what_no_buildpack_knows_ends_with_2_and_a_hint() {
    let world = World::new(&[("main.cobol", "")]).await;
    let folder = world.repository.path.display().to_string();
    let ran = world.toolforge(&["detect", &folder], &[]).await;
    assert_eq!(ran.exit, 2, "{ran:?}");
    assert!(ran.out.contains("toolforge/procfile      no    no Procfile\n"), "{ran:?}");
    assert!(ran.err.contains("no buildpack knows what to do with this folder\nhint: Add a Procfile"), "{ran:?}");
    let none = world.toolforge(&["detect", "nowhere"], &[]).await;
    assert_eq!((none.exit, none.err.contains("nowhere is no folder")), (2, true), "{none:?}");
}
