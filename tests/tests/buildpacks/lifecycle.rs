//! As much of a lifecycle as buildpacks can tell from a real one: ordinary processes with the folders, the environment
//! and the build plan of the Buildpack API, run by nobody in particular where the tests are root.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Nobody's id: a builder runs no buildpack as root.
const NOBODY: u32 = 65534;
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Our buildpacks' folder.
pub fn buildpacks() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("buildpacks")
}

/// A tool's build: its folders, which a second build finds as the first one left them.
pub struct Build {
    root: tempfile::TempDir,
    /// The application's folder; its name has a blank.
    pub app: PathBuf,
    env: BTreeMap<String, String>,
}

/// What came of a process.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// Of a process that had to succeed.
    pub fn good(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    /// Of a build that had to fail, with these words in what it says.
    pub fn fails_with(&self, words: &[&str]) {
        assert_eq!(self.code, 1, "{self:?}");
        for word in words.iter().chain(&["hint: "]) {
            assert!(self.err.contains(word), "{word:?} is missing: {self:?}");
        }
    }
}

impl Build {
    /// Of an empty repository.
    pub fn empty() -> Self {
        let root = tempfile::Builder::new().prefix("build-").tempdir().expect("a scratch folder");
        let app = root.path().join("the app");
        for name in ["the app", "layers", "platform/env", "home", "tmp", "packs"] {
            std::fs::create_dir_all(root.path().join(name)).expect("a folder");
        }
        let mut build = Self { root, app, env: BTreeMap::new() };
        // How this machine reaches its package indexes is the machine's, as it would be the platform's.
        for (name, value) in std::env::vars() {
            let lower = name.to_lowercase();
            let ours = ["pip_", "npm_config_", "ssl_cert", "node_extra"].iter().any(|prefix| lower.starts_with(prefix));
            if ours || lower.ends_with("_proxy") {
                build.env.insert(name, value);
            }
        }
        build
    }

    /// Of the sample of a buildpack.
    pub fn sample(pack: &str, sample: &str) -> Self {
        let build = Self::empty();
        copy(&buildpacks().join(pack).join("samples").join(sample), &build.app);
        build
    }

    /// A scratch folder beside the application's.
    pub fn beside(&self, name: &str) -> PathBuf {
        let path = self.root.path().join(name);
        std::fs::create_dir_all(&path).expect("a folder");
        path
    }

    /// Writes one file of the repository.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.app.join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, content).expect("a file");
        self
    }

    /// Sets what the platform gives to builds.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The folder of a buildpack's layers.
    pub fn layers(&self, pack: &str) -> PathBuf {
        self.root.path().join("layers").join(format!("toolforge_{pack}"))
    }

    /// A copy of a buildpack that has nothing but its own folder, as packing makes it.
    fn packed(&self, pack: &str) -> PathBuf {
        let path = self.root.path().join("packs").join(pack);
        if !path.exists() {
            std::fs::create_dir_all(&path).expect("a folder");
            copy(&buildpacks().join(pack), &path);
        }
        path
    }

    fn plan(&self, pack: &str) -> PathBuf {
        self.root.path().join(format!("{pack}.plan.toml"))
    }

    fn command(&self, program: &Path, env: &BTreeMap<String, String>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.app).env_clear().envs(env).stdin(Stdio::null());
        command.env("HOME", self.root.path().join("home")).env("TMPDIR", self.root.path().join("tmp"));
        if own_id() == 0 {
            give(self.root.path());
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    fn run(&self, pack: &str, phase: &str, env: &BTreeMap<String, String>) -> Ran {
        let packed = self.packed(pack);
        let mut command = self.command(&packed.join("bin").join(phase), env);
        command.env("CNB_BUILDPACK_DIR", &packed).env("CNB_PLATFORM_DIR", self.root.path().join("platform"));
        match phase {
            "detect" => command.env("CNB_BUILD_PLAN_PATH", self.plan(pack)),
            _ => command.env("CNB_LAYERS_DIR", self.layers(pack)).env("CNB_BP_PLAN_PATH", self.plan(pack)),
        };
        ran(command)
    }

    fn start(&self) -> BTreeMap<String, String> {
        let mut env = self.env.clone();
        env.entry("PATH".to_owned()).or_insert_with(|| SYSTEM_PATH.to_owned());
        env
    }

    /// `bin/detect` of one buildpack, and the build plan it wrote.
    pub fn detect(&self, pack: &str) -> (Ran, Value) {
        std::fs::write(self.plan(pack), "").expect("an empty plan");
        let ran = self.run(pack, "detect", &self.start());
        (ran, toml(&self.plan(pack)))
    }

    /// Detects and builds these buildpacks, one after the other, until one fails.
    pub fn build(&self, packs: &[&str]) -> Ran {
        let mut env = self.start();
        let mut all = Ran { code: 0, out: String::new(), err: String::new() };
        for pack in packs {
            let (detected, _) = self.detect(pack);
            assert_eq!(detected.code, 0, "{pack} had to say yes: {detected:?}");
            self.restore(pack);
            let ran = self.run(pack, "build", &env);
            all.code = ran.code;
            all.out.push_str(&ran.out);
            all.err.push_str(&ran.err);
            if ran.code != 0 {
                break;
            }
            modify(&mut env, &self.layers(pack), "build");
        }
        all
    }

    /// What a lifecycle restores: cached layers, with their metadata and without their types.
    fn restore(&self, pack: &str) {
        let dir = self.layers(pack);
        std::fs::create_dir_all(&dir).expect("a folder");
        for (name, layer) in layers(&dir) {
            if layer["types"]["cache"] == true {
                let metadata = layer["metadata"]["key"].as_str().expect("a key");
                std::fs::write(dir.join(format!("{name}.toml")), format!("[metadata]\n  key = \"{metadata}\"\n"))
                    .expect("a layer's file");
            } else {
                std::fs::remove_file(dir.join(format!("{name}.toml"))).expect("a layer's file");
                std::fs::remove_dir_all(dir.join(name)).expect("a layer");
            }
        }
    }

    /// Each layer's flags and metadata.
    pub fn layers_of(&self, pack: &str) -> BTreeMap<String, Value> {
        layers(&self.layers(pack))
    }

    /// launch.toml.
    pub fn launch(&self, pack: &str) -> Value {
        toml(&self.layers(pack).join("launch.toml"))
    }

    /// The command of a process: of the last buildpack that has it, as a lifecycle chooses.
    pub fn process(&self, packs: &[&str], name: &str) -> Vec<String> {
        let all = packs.iter().filter(|pack| self.layers(pack).join("launch.toml").exists());
        let mut found = all.flat_map(|pack| self.launch(pack)["processes"].as_array().cloned().unwrap_or_default());
        let last = found.rfind(|process| process["type"] == name).expect("the process");
        let words = last["command"].as_array().expect("a command").iter();
        words.map(|word| word.as_str().expect("a word").to_owned()).collect()
    }

    /// A process of the image, with the environment that its launcher would make.
    pub fn launched(&self, packs: &[&str], words: &[String]) -> Command {
        let mut env = BTreeMap::from([("PATH".to_owned(), SYSTEM_PATH.to_owned())]);
        for pack in packs {
            modify(&mut env, &self.layers(pack), "launch");
        }
        // Found in the PATH of the image, not in ours.
        let program = env["PATH"].split(':').map(|dir| Path::new(dir).join(&words[0])).find(|path| path.exists());
        let mut command = self.command(&program.expect("the program is in PATH"), &env);
        command.args(&words[1..]);
        command
    }

    /// What a process of the image prints.
    pub fn prints(&self, packs: &[&str], words: &[String]) -> String {
        ran(self.launched(packs, words)).good().out
    }
}

/// The names of the packages in a bill of materials, with versions.
pub fn bill(path: &Path) -> Vec<String> {
    let text = std::fs::read(path).expect("a bill of materials");
    let bill: Value = serde_json::from_slice(&text).expect("JSON");
    assert_eq!(bill["bomFormat"], "CycloneDX");
    let all = bill["components"].as_array().expect("components").iter();
    all.map(|one| one["purl"].as_str().expect("a purl").to_owned()).collect()
}

/// A TOML file as JSON, read by somebody else's parser.
pub fn toml(path: &Path) -> Value {
    let program = "import json, sys, tomllib; json.dump(tomllib.load(open(sys.argv[1], 'rb')), sys.stdout)";
    let out = Command::new("/usr/bin/python3").args(["-I", "-c", program]).arg(path).output().expect("python3 runs");
    assert!(out.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).expect("JSON")
}

fn layers(dir: &Path) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).expect("a folder of layers") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if let Some(name) = name.strip_suffix(".toml").filter(|name| !["launch", "build", "store"].contains(name)) {
            found.insert(name.to_owned(), toml(&path));
        }
    }
    found
}

/// The environment after the layers of one buildpack, for later buildpacks (`build`) or for processes (`launch`).
fn modify(env: &mut BTreeMap<String, String>, dir: &Path, phase: &str) {
    for (name, layer) in layers(dir) {
        if layer["types"][phase] != true {
            continue;
        }
        let layer = dir.join(name);
        for (variable, folder) in [("PATH", "bin"), ("LD_LIBRARY_PATH", "lib")] {
            let folder = layer.join(folder);
            if folder.is_dir() {
                let old = env.get(variable).filter(|old| !old.is_empty());
                let new = old.map_or_else(|| text(&folder), |old| format!("{}:{old}", text(&folder)));
                env.insert(variable.to_owned(), new);
            }
        }
        for folder in ["env".to_owned(), format!("env.{phase}")] {
            variables(env, &layer.join(folder));
        }
    }
}

fn variables(env: &mut BTreeMap<String, String>, folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    let files: BTreeSet<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    for path in files {
        let file = path.file_name().expect("a name").to_string_lossy().into_owned();
        let value = std::fs::read_to_string(&path).expect("a variable");
        let (name, suffix) = file.split_once('.').unwrap_or((&file, ""));
        let delim = std::fs::read_to_string(folder.join(format!("{name}.delim"))).unwrap_or_default();
        let old = env.get(name).cloned().unwrap_or_default();
        let new = match suffix {
            "delim" => continue,
            "default" if !old.is_empty() => old,
            "append" if !old.is_empty() => format!("{old}{delim}{value}"),
            "prepend" if !old.is_empty() => format!("{value}{delim}{old}"),
            "" | "override" | "default" | "append" | "prepend" => value,
            other => unreachable!("no such suffix: {other}"),
        };
        env.insert(name.to_owned(), new);
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("a path of text").to_owned()
}

fn ran(mut command: Command) -> Ran {
    let out = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().expect("the program runs");
    Ran {
        code: out.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&out.stdout).into_owned(),
        err: String::from_utf8_lossy(&out.stderr).into_owned(),
    }
}

/// Whose these tests are.
fn own_id() -> u32 {
    std::fs::metadata("/proc/self").expect("a process").uid()
}

/// Everything under this folder becomes nobody's; links are left as they are.
fn give(path: &Path) {
    let found = std::fs::symlink_metadata(path).expect("a file");
    if found.is_symlink() {
        return;
    }
    if found.uid() != NOBODY {
        chown(path, Some(NOBODY), Some(NOBODY)).expect("another owner");
    }
    if found.is_dir() {
        for entry in std::fs::read_dir(path).expect("a folder") {
            give(&entry.expect("an entry").path());
        }
    }
}

/// Copies a folder; what is a link becomes what it leads to. Another process writes the files: a program that one of our
/// threads holds open while another thread forks could not be run.
pub fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-RL").arg(from.join(".")).arg(to).status().expect("cp runs");
    assert!(done.success(), "{} could not be copied", from.display());
}

/// Writes a program, by another process for the same reason.
pub fn program(path: &Path, content: &str) {
    let script = "printf '%s' \"$2\" >\"$1\" && chmod 755 \"$1\"";
    let done = Command::new("sh").args(["-c", script, "sh"]).arg(path).arg(content).status().expect("sh runs");
    assert!(done.success(), "{} could not be written", path.display());
}

/// Ends a process as Kubernetes does; it must go by itself.
pub fn terminate(mut process: Child) {
    let sent = Command::new("kill").args(["-TERM", &process.id().to_string()]).status().expect("kill runs");
    assert!(sent.success());
    process.wait().expect("it ends");
}
