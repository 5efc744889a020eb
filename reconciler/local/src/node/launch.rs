//! What a container executes, and in which environment, by the launch rules of the Cloud Native Buildpacks: the first word
//! names a process of the image, or a program in its `PATH`, and what its layers say of the environment is applied.
//! `profile.d` and `exec.d` are not run.

use crate::cell::SYSTEM_PATH;
use crate::variables::Change;
use renderer::render::launched;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What an image says of its processes, as JSON.
const METADATA: &str = "io.buildpacks.build.metadata";
/// Stands in place of a process: the buildpacks' own program, which is not needed here.
const LAUNCHER: &str = "launcher";

/// An image that is unpacked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Image {
    /// Its files.
    pub(crate) root: PathBuf,
    /// Its environment.
    pub(crate) env: BTreeMap<String, String>,
    /// Where it starts; `/workspace` where it does not say.
    pub(crate) folder: String,
    /// Its own command, for a container that has none.
    pub(crate) command: Vec<String>,
    /// Its labels.
    pub(crate) labels: BTreeMap<String, String>,
    processes: Vec<Process>,
    layers: Vec<Layer>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Process {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    command: Words,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    default: bool,
    #[serde(default, rename = "working-dir")]
    folder: Option<String>,
}

/// One word, or several.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Words {
    One(String),
    Many(Vec<String>),
}

impl Default for Words {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

#[derive(Debug, Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    processes: Vec<Process>,
    #[serde(default)]
    buildpacks: Vec<Buildpack>,
}

#[derive(Debug, Deserialize)]
struct Buildpack {
    id: String,
}

/// A layer of a buildpack, as it is found where it runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Layer {
    path: String,
    has_bin: bool,
    has_lib: bool,
    /// Each with the process that it is for, if it is not for all.
    variables: Vec<(Option<String>, Change)>,
}

/// What is executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Launch {
    /// Program and arguments.
    pub(crate) argv: Vec<String>,
    /// Its whole environment.
    pub(crate) env: BTreeMap<String, String>,
    /// Where it starts.
    pub(crate) folder: String,
}

impl Image {
    /// What is unpacked below a folder, with the configuration it came with.
    pub(crate) fn read(root: &Path, config: &Value) -> Result<Self, String> {
        let own = config.get("config").cloned().unwrap_or_default();
        let texts = |name: &str| -> Vec<String> {
            let list = own.get(name).and_then(Value::as_array).into_iter().flatten();
            list.filter_map(|one| one.as_str().map(str::to_owned)).collect()
        };
        let labels: BTreeMap<String, String> = own
            .get("Labels")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect();
        let metadata = labels.get(METADATA).map(|text| serde_json::from_str::<Metadata>(text)).transpose();
        let metadata = metadata.map_err(|error| format!("its label {METADATA} can't be read: {error}"))?;
        let metadata = metadata.unwrap_or_default();
        let ids: Vec<&str> = metadata.buildpacks.iter().map(|one| one.id.as_str()).collect();
        let folder = own.get("WorkingDir").and_then(Value::as_str).filter(|folder| !folder.is_empty());
        Ok(Self {
            root: root.to_owned(),
            env: texts("Env").iter().filter_map(|pair| pair.split_once('=')).map(pair).collect(),
            folder: folder.unwrap_or("/workspace").to_owned(),
            command: [texts("Entrypoint"), texts("Cmd")].concat(),
            labels,
            layers: layers(root, &ids).map_err(|error| format!("its layers can't be read: {error}"))?,
            processes: metadata.processes,
        })
    }

    /// What to execute for a container's words, in an environment that begins with what the container says. A program
    /// is in the image where `exists` says so.
    pub(crate) fn launch(
        &self,
        words: &[String],
        own: &BTreeMap<String, String>,
        exists: &dyn Fn(&str) -> bool,
    ) -> Result<Launch, String> {
        let words = if words.is_empty() { &self.command } else { words };
        // What is rendered asks the image's launcher by way of a shell; here it is asked at once.
        let asked = launched(words).map(|asked| [&[LAUNCHER.to_owned()], asked].concat());
        let words = asked.as_deref().unwrap_or(words);
        let mut env = self.env.clone();
        env.extend(own.clone());
        env.entry("PATH".to_owned()).or_insert_with(|| SYSTEM_PATH.to_owned());
        let (process, rest) = self.process(words);
        let is_launched = process.is_some() || words.first().is_some_and(|word| is_launcher(word));
        if is_launched {
            self.apply_layers(process.map(|process| process.kind.as_str()), &mut env);
        }
        let argv = match process {
            Some(process) => process.argv(rest),
            None => rest.to_vec(),
        };
        let program = argv.first().ok_or_else(|| format!("nothing to execute; {}", self.known()))?;
        let path = env.get("PATH").map(String::as_str).unwrap_or_default();
        let found = find(program, path, exists).ok_or_else(|| {
            format!("{program} is no process of the image and no program in its PATH; {}", self.known())
        })?;
        let folder = process.and_then(|process| process.folder.clone()).filter(|folder| !folder.is_empty());
        let argv = std::iter::once(found).chain(argv.into_iter().skip(1)).collect();
        Ok(Launch { argv, env, folder: folder.unwrap_or_else(|| self.folder.clone()) })
    }

    fn known(&self) -> String {
        let kinds: Vec<_> = self.processes.iter().map(|process| process.kind.as_str()).collect();
        if kinds.is_empty() { "it has no processes".to_owned() } else { format!("it has: {}", kinds.join(", ")) }
    }

    /// The process that the words name, and the words after its name.
    fn process<'a>(&'a self, words: &'a [String]) -> (Option<&'a Process>, &'a [String]) {
        let launched = words.first().is_some_and(|word| is_launcher(word));
        let words = if launched { &words[1..] } else { words };
        let Some(first) = words.first() else {
            let default = self.processes.iter().find(|process| process.default);
            return (default.or(self.processes.iter().find(|process| process.kind == "web")), words);
        };
        let name = first.strip_prefix("/cnb/process/");
        if !launched && name.is_none() {
            return (None, words);
        }
        let name = name.unwrap_or(first);
        match self.processes.iter().find(|process| process.kind == name) {
            Some(process) => (Some(process), &words[1..]),
            None => (None, words),
        }
    }

    fn apply_layers(&self, process: Option<&str>, env: &mut BTreeMap<String, String>) {
        env.insert("CNB_APP_DIR".to_owned(), "/workspace".to_owned());
        env.insert("CNB_LAYERS_DIR".to_owned(), "/layers".to_owned());
        let owner = |layer: &Layer| layer.path.rsplit_once('/').map(|(owner, _)| owner.to_owned());
        for group in self.layers.chunk_by(|one, other| owner(one) == owner(other)) {
            for layer in group {
                for (has, name, folder) in [(layer.has_bin, "PATH", "bin"), (layer.has_lib, "LD_LIBRARY_PATH", "lib")] {
                    if has {
                        Change::search(name, format!("{}/{folder}", layer.path)).apply(env);
                    }
                }
            }
            for (only, change) in group.iter().flat_map(|layer| &layer.variables) {
                if only.as_deref().is_none_or(|only| Some(only) == process) {
                    change.apply(env);
                }
            }
        }
    }
}

fn pair((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn is_launcher(word: &str) -> bool {
    word.rsplit('/').next() == Some(LAUNCHER)
}

impl Process {
    /// Arguments that the container gives take the place of the process' own.
    fn argv(&self, rest: &[String]) -> Vec<String> {
        let command = match &self.command {
            Words::One(word) => vec![word.clone()],
            Words::Many(words) => words.clone(),
        };
        let args = if rest.is_empty() { self.args.clone() } else { rest.to_vec() };
        [command, args].concat()
    }
}

/// A program by its path, or in one of the folders of `PATH`.
fn find(program: &str, path: &str, exists: &dyn Fn(&str) -> bool) -> Option<String> {
    if program.contains('/') {
        return Some(program.to_owned());
    }
    path.split(':').map(|folder| format!("{folder}/{program}")).find(|path| exists(path))
}

/// The layers of the buildpacks in their order, each buildpack's by name.
fn layers(root: &Path, buildpacks: &[&str]) -> io::Result<Vec<Layer>> {
    let mut found = Vec::new();
    for id in buildpacks {
        let owner = id.replace('/', "_");
        let folder = root.join("layers").join(&owner);
        for name in names(&folder)? {
            let layer = folder.join(&name);
            if is_folder(&layer) {
                found.push(Layer::read(&layer, format!("/layers/{owner}/{name}"))?);
            }
        }
    }
    Ok(found)
}

impl Layer {
    fn read(folder: &Path, path: String) -> io::Result<Self> {
        let mut variables = Vec::new();
        for name in ["env", "env.launch"] {
            variables.extend(crate::variables::variables(&folder.join(name))?.into_iter().map(|change| (None, change)));
        }
        let of_launch = folder.join("env.launch");
        for process in names(&of_launch)? {
            if is_folder(&of_launch.join(&process)) {
                let own = crate::variables::variables(&of_launch.join(&process))?;
                variables.extend(own.into_iter().map(|change| (Some(process.clone()), change)));
            }
        }
        let has = |name: &str| is_folder(&folder.join(name));
        Ok(Self { path, has_bin: has("bin"), has_lib: has("lib"), variables })
    }
}

/// A folder, and no link to one.
fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
}

/// Names in a folder, in order; none where there is no folder.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    if !is_folder(folder) {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.extend(entry?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn image(files: &[(&str, &str)]) -> (tempfile::TempDir, Image) {
        let root = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        let metadata = json!({
            "buildpacks": [{"id": "toolforge/z"}, {"id": "toolforge/a"}],
            "processes": [
                {"type": "web", "command": ["serve"], "args": ["--fast"], "direct": true},
                {"type": "old", "command": "bash", "args": ["-c", "date"], "working-dir": "/workspace/sub"},
            ],
        });
        let labels = json!({(METADATA): metadata.to_string()});
        let config = json!({"config": {"Env": ["A=1", "PATH=/bin"], "Labels": labels, "WorkingDir": "/workspace"}});
        let image = Image::read(root.path(), &config).expect("an image");
        (root, image)
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn launch(image: &Image, said: &[&str], own: &[(&str, &str)]) -> Result<Launch, String> {
        let own = own.iter().map(|(name, value)| pair((name, value))).collect();
        image.launch(&words(said), &own, &|path| path.ends_with("/serve") || path == "/bin/date" || path == "/bin/bash")
    }

    #[test]
    fn layers_set_the_environment_in_the_order_of_their_buildpacks() {
        let (_root, image) = image(&[
            ("layers/toolforge_z/one/bin/serve", ""),
            ("layers/toolforge_z/one/env/B", "z"),
            ("layers/toolforge_a/two/bin/x", ""),
            ("layers/toolforge_a/two/lib/x", ""),
            ("layers/toolforge_a/two/env.launch/B.append", "a"),
            ("layers/toolforge_a/two/env.launch/B.delim", "-"),
            ("layers/toolforge_a/two/env.launch/PORT.default", "8000"),
            ("layers/toolforge_a/two/env.launch/web/ONLY", "web"),
            ("layers/toolforge_a/two/env.launch/old/NEVER", "old"),
            ("layers/toolforge_a/two/env.build/NEVER", "build"),
        ]);
        let launch = launch(&image, &["launcher", "web"], &[("PORT", "41000"), ("A", "2")]).expect("a launch");
        let get = |name: &str| launch.env.get(name).map(String::as_str);
        assert_eq!(get("PATH"), Some("/layers/toolforge_a/two/bin:/layers/toolforge_z/one/bin:/bin"));
        assert_eq!(get("LD_LIBRARY_PATH"), Some("/layers/toolforge_a/two/lib"));
        assert_eq!((get("B"), get("PORT"), get("A")), (Some("z-a"), Some("41000"), Some("2")));
        assert_eq!((get("ONLY"), get("NEVER")), (Some("web"), None));
        assert_eq!(launch.argv, ["/layers/toolforge_a/two/bin/serve", "--fast"]);
    }

    #[test]
    fn the_first_word_is_a_process_or_a_program() {
        let (_root, image) = image(&[]);
        let argv = |said: &[&str]| launch(&image, said, &[]).map(|launch| launch.argv);
        assert_eq!(argv(&["launcher", "web", "--slow"]), Ok(words(&["/bin/serve", "--slow"])));
        assert_eq!(argv(&["/cnb/lifecycle/launcher", "date", "-u"]), Ok(words(&["/bin/date", "-u"])));
        assert_eq!(argv(&["launcher", "--", "date", "-u"]), Ok(words(&["/bin/date", "-u"])));
        assert_eq!(argv(&["/cnb/process/web"]), Ok(words(&["/bin/serve", "--fast"])));
        assert_eq!(argv(&["launcher"]), Ok(words(&["/bin/serve", "--fast"])));
        assert_eq!(argv(&["date"]), Ok(words(&["/bin/date"])), "without a launcher it is a program");
        let unknown = argv(&["launcher", "wbe"]).expect_err("no such thing");
        assert_eq!(unknown, "wbe is no process of the image and no program in its PATH; it has: web, old");
        let old = launch(&image, &["launcher", "old"], &[]).expect("a launch");
        assert_eq!((old.argv, old.folder.as_str()), (words(&["/bin/bash", "-c", "date"]), "/workspace/sub"));
    }

    #[test]
    fn a_link_of_the_image_gives_no_file_of_ours_away() {
        let (root, _) = image(&[("layers/toolforge_a/two/env/A", "1"), ("secret/value", "hunter2")]);
        let layer = root.path().join("layers/toolforge_a/two");
        let read = || Layer::read(&layer, String::new()).map(|layer| layer.variables.len());
        assert_eq!(read().expect("a layer"), 1);
        for (at, to) in [("env/B", "secret/value"), ("env.launch", "secret")] {
            std::os::unix::fs::symlink(root.path().join(to), layer.join(at)).expect("a link");
            assert_eq!(read().expect_err("a link").to_string(), "it is a link", "{at}");
            fs::remove_file(layer.join(at)).expect("the link");
        }
    }
}
