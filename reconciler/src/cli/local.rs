//! A tool as this machine sees it: files and git of a working tree, the platform from a file or built in. Nobody is
//! asked over the network.

use super::place::{self, ToolPlace};

use crate::ui::{Ui, wrong_use};
use planner::Admission;
use reconciler::source::config_repo;
use renderer::config::{ParseContext, Parsed};
use renderer::{Platform, Rendered, Report, Revision, Siblings, Tool, ToolName};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Arguments of the commands that work on a working tree alone.
#[derive(Debug, clap::Args)]
pub struct LocalArgs {
    /// A toolforge.yaml, or the folder it is in
    #[arg(default_value = ".", value_name = "PATH")]
    pub path: PathBuf,
    /// Name of the tool; by default that of the folder
    #[arg(long, value_name = "NAME", value_parser = tool_name)]
    pub tool: Option<ToolName>,
    /// Settings of a platform, instead of those built in
    #[arg(long, value_name = "FILE")]
    pub platform: Option<PathBuf>,
}

impl LocalArgs {
    /// This folder, by the built-in settings.
    pub fn here(tool: Option<ToolName>) -> Self {
        Self { path: PathBuf::from("."), tool, platform: None }
    }
}

/// For clap: a tool's name, or why it is none.
pub fn tool_name(text: &str) -> Result<ToolName, String> {
    ToolName::new(text).map_err(|bad| bad.expected.to_owned())
}

/// Everything rendering needs.
#[derive(Debug)]
pub struct Local {
    /// Where it was found.
    pub place: ToolPlace,
    /// The platform.
    pub platform: Platform,
    /// The tool.
    pub tool: Tool,
    /// The working tree.
    pub revision: Revision,
    /// The platform's rules.
    admission: Admission,
}

impl Local {
    /// The tool of a working tree.
    pub fn new(args: &LocalArgs, place: ToolPlace, ui: &Ui) -> anyhow::Result<Self> {
        let (platform, own) = match &args.platform {
            Some(file) => (platform(file, ui)?, own_rules(file, ui)?),
            None => (Platform::builtin(), Vec::new()),
        };
        let name = place::tool_name(args.tool.as_ref(), &place)?;
        let tree = &place.worktree;
        let branch = tree.branch.clone().unwrap_or_else(|| "main".to_owned());
        let tool = Tool { branch: branch.clone(), path: tree.path.clone(), ..Tool::of(name, repository(&place)) };
        let clean = tree.dirty == Some(false);
        let revision = Revision {
            commit: tree.commit.clone().filter(|_| clean),
            branch,
            tree: tree.tree.clone(),
            files: tree.files.clone(),
            resolved: std::collections::BTreeMap::new(),
            facts: Default::default(),
        };
        let admission = Admission::new(&platform, std::slice::from_ref(&tool), &own).map_err(|_| bad_rules())?;
        Ok(Self { place, platform, tool, revision, admission })
    }

    /// Reads the file and renders what is good in it. The report holds what both found.
    pub fn render(&self, with_platform: bool) -> (Parsed, Rendered) {
        let context =
            if with_platform { ParseContext::new(&self.platform, &self.tool) } else { ParseContext::default() };
        let parsed = renderer::config::parse(&self.revision.files, &context);
        let siblings = Siblings::default();
        let mut rendered = renderer::render(&self.platform, &self.tool, &self.revision, &parsed, &siblings);
        planner::admission::withhold(&mut rendered, &self.admission, &self.platform);
        (parsed, rendered)
    }

    /// What reading and rendering found, under the name a person gave the file.
    pub fn report(&self, rendered: &Rendered) -> Report {
        let mut report = rendered.report.clone();
        for diagnostic in &mut report.diagnostics {
            diagnostic.file = self.shown(&diagnostic.file);
        }
        report
    }

    /// The texts that findings point into, under the same names.
    pub fn sources(&self) -> Vec<(String, &[u8])> {
        let files = &self.revision.files;
        let named = [
            ("toolforge.yaml", &files.config),
            ("Procfile", &files.procfile),
            ("service.template", &files.service_template),
            (renderer::secrets::FILE, &files.secrets),
        ];
        named.into_iter().filter_map(|(name, bytes)| Some((self.shown(name), bytes.as_deref()?))).collect()
    }

    /// The renderer names files as they are named in a repository.
    fn shown(&self, name: &str) -> String {
        match self.revision.files.config {
            Some(_) if name == "toolforge.yaml" => self.place.file.display().to_string(),
            _ => self.place.folder.join(name).display().to_string(),
        }
    }
}

/// Where the tool is: its remote, else the folder itself.
fn repository(place: &ToolPlace) -> String {
    let tree = &place.worktree;
    let folder = tree.root.as_ref().unwrap_or(&place.folder);
    match &tree.origin {
        Some(url) => url.without_userinfo().to_string(),
        None => folder.display().to_string(),
    }
}

/// Reads a platform file, telling what is wrong with it.
pub fn platform(file: &Path, ui: &Ui) -> anyhow::Result<Platform> {
    let bytes = place::read(file, "Name the `platform.yaml` of the platform's config repository.")?;
    let name = file.display().to_string();
    let (platform, report) = renderer::platform::parse(&bytes, &name);
    tell(&report, &[(name.clone(), bytes.as_slice())], ui);
    let platform = platform.map(|found| found.with_own_buildpacks(local::build::Packs::digest()));
    platform.ok_or_else(|| wrong_use(format!("{name} can't be used")).hint("Correct the errors above.").into())
}

/// What the operators have in `policies/` beside their `platform.yaml`.
fn own_rules(file: &Path, ui: &Ui) -> anyhow::Result<Vec<Value>> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if file.file_name() != Some("platform.yaml".as_ref()) || !folder.join("policies").is_dir() {
        return Ok(Vec::new());
    }
    let read = config_repo::read_folder(folder);
    let read = read.map_err(|error| wrong_use(format!("cannot read {}", folder.display())).because(error))?;
    let Some(found) = read.platforms.into_iter().find(|platform| platform.path.is_empty()) else {
        return Ok(Vec::new());
    };
    let texts: Vec<_> = found.texts.iter().map(|(name, text)| (name.clone(), text.as_slice())).collect();
    let of_rules = |diagnostic: &renderer::Diagnostic| found.rule_files.contains_key(&diagnostic.file);
    let diagnostics = found.report.diagnostics.iter().filter(|found| of_rules(found)).cloned().collect();
    tell(&Report { diagnostics }, &texts, ui);
    found.rules.ok_or_else(|| bad_rules().into())
}

fn bad_rules() -> crate::ui::Failure {
    wrong_use("a rule in policies/ can't be used").hint("Correct the errors above.")
}

/// Prints findings as people read them.
pub fn tell(report: &Report, sources: &[(String, &[u8])], ui: &Ui) {
    let sources: Vec<(&str, &[u8])> = sources.iter().map(|(name, bytes)| (name.as_str(), *bytes)).collect();
    let text = renderer::diagnostic::print_dyed(report, &sources, &|code, text| ui.talk_dyed(code, text));
    if !text.is_empty() {
        // The line end and one more: what follows on the terminal is data.
        ui.say(&text);
    }
}
