//! From files to platform folders. Pure: which file is broken is decided here, and what it may not disturb.

use super::join;
use super::{ConfigRepo, Entry, Files, Place, PlatformFolder, Unreadable};
use crate::source::SourceError;
use crate::source::signature::openpgp_keys;
use crate::source::url::RepositoryUrl;
use planner::admission::RuleFiles;
use renderer::diagnostic::{Code, nearest};
use renderer::signers;
use renderer::{CommitId, Diagnostic, Report, Severity, Tool, ToolName};
use std::collections::BTreeMap;
use std::path::Path;

/// `folder` is where relative repositories are taken from; a remote config repository has no such place.
pub(super) fn assemble(commit: Option<CommitId>, files: Files, folder: Option<&Path>) -> ConfigRepo {
    let mut platforms: BTreeMap<String, Assembly<'_>> = BTreeMap::new();
    for (place, read) in files {
        let base = place.base.as_str();
        platforms.entry(base.to_owned()).or_insert_with(|| Assembly::new(base, folder)).take(&place, read);
    }
    // A folder of tools without a platform is none: at the root beside `platforms/`, it is somebody's draft.
    let platforms = platforms.into_values().filter(|a| a.has_platform_file).map(Assembly::finish).collect();
    ConfigRepo { commit, platforms }
}

struct Assembly<'a> {
    found: PlatformFolder,
    has_platform_file: bool,
    has_all_rules: bool,
    base: String,
    /// The files that name signers.
    naming: BTreeMap<String, Vec<u8>>,
    folder: Option<&'a Path>,
}

impl<'a> Assembly<'a> {
    fn new(base: &str, folder: Option<&'a Path>) -> Self {
        let found = PlatformFolder {
            path: base.to_owned(),
            platform: None,
            tools: Vec::new(),
            unreadable: Vec::new(),
            report: Report::default(),
            rules: None,
            rule_files: RuleFiles::new(),
            signers: BTreeMap::new(),
            texts: BTreeMap::new(),
        };
        let (base, naming) = (base.to_owned(), BTreeMap::new());
        Self { found, has_platform_file: false, has_all_rules: true, base, naming, folder }
    }

    fn take(&mut self, place: &Place, read: Result<Vec<u8>, SourceError>) {
        let path = &place.path();
        // README, .gitkeep and editors' leftovers.
        if let Entry::Tool(name) | Entry::Rule(name) = &place.entry
            && !(name.ends_with(".yaml") || name.ends_with(".yml"))
        {
            return;
        }
        self.has_platform_file |= place.entry == Entry::Platform;
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(error) => return self.refuse(place, &error),
        };
        let findings = match &place.entry {
            Entry::Tool(name) => self.tool(path, name, &bytes),
            Entry::Rule(_) => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                self.found.rule_files.insert(path.to_owned(), text);
                return;
            }
            Entry::Signers(name) => self.signers(path, name, &bytes),
            Entry::Platform => {
                let (platform, report) = renderer::platform::parse(&bytes, path);
                self.found.platform = platform.map(|found| found.with_own_buildpacks(local::build::Packs::digest()));
                report.diagnostics
            }
        };
        if matches!(place.entry, Entry::Platform | Entry::Tool(_)) && bytes.windows(7).any(|word| word == b"signers") {
            self.naming.insert(path.to_owned(), bytes.clone());
        }
        if !findings.is_empty() {
            self.found.report.diagnostics.extend(findings);
            self.found.texts.insert(path.to_owned(), bytes);
        }
    }

    fn tool(&mut self, path: &str, name: &str, bytes: &[u8]) -> Vec<Diagnostic> {
        if name.ends_with(".yml") {
            self.unreadable(path, name);
            let mut wrong = finding(path, Code::NameMismatch, "a tool's file ends in .yaml".to_owned());
            wrong.with_hint(format!("Rename it to `{}.yaml`.", stem(name)));
            return vec![wrong];
        }
        let (tool, mut report) = renderer::tool::parse(bytes, path);
        match tool.map(|tool| self.placed(path, tool)) {
            Some(Ok(tool)) => self.found.tools.push(tool),
            Some(Err(wrong)) => {
                self.unreadable(path, name);
                report.diagnostics.push(*wrong);
            }
            None => self.unreadable(path, name),
        }
        report.diagnostics
    }

    /// Checks the repository's address, and takes a relative one from the config repository's folder.
    fn placed(&self, path: &str, mut tool: Tool) -> Result<Tool, Box<Diagnostic>> {
        let parsed = match self.folder {
            Some(folder) => RepositoryUrl::parse_in(&tool.repository, folder),
            None => RepositoryUrl::parse(&tool.repository),
        };
        match parsed {
            Ok(url) => {
                if let Some(local) = url.local_path() {
                    tool.repository = local.to_string_lossy().into_owned();
                }
                Ok(tool)
            }
            Err(error) => {
                let mut wrong = finding(path, Code::BadRepository, error.to_string());
                wrong.with_hint("A relative path works only where the config repository is a folder of this machine.");
                Err(Box::new(wrong))
            }
        }
    }

    fn refuse(&mut self, place: &Place, error: &SourceError) {
        let code = match error {
            SourceError::TooLarge { .. } => Code::FileTooLarge,
            _ => Code::WrongFile,
        };
        let path = place.path();
        let mut wrong = finding(&path, code, error.to_string());
        wrong.hint = error.hint();
        self.found.report.diagnostics.push(wrong);
        match &place.entry {
            Entry::Tool(name) => self.unreadable(&path, name),
            Entry::Rule(_) => self.has_all_rules = false,
            Entry::Signers(_) | Entry::Platform => {}
        }
    }

    /// Judged by the platform's own parameters, so when everything else is read.
    fn rules(&mut self) {
        let found = &mut self.found;
        let Some(platform) = &found.platform else { return };
        let (rules, findings) = planner::admission::own_rules(&found.rule_files, platform, &found.tools);
        found.rules = rules.filter(|_| self.has_all_rules);
        for finding in findings {
            if let Some(text) = found.rule_files.get(&finding.file) {
                found.texts.insert(finding.file.clone(), text.clone().into_bytes());
            }
            found.report.diagnostics.push(finding);
        }
    }

    /// What is wrong in a file is a key less, and never one more.
    fn signers(&mut self, path: &str, name: &str, bytes: &[u8]) -> Vec<Diagnostic> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let mut found = signers::read(path, &text).1.diagnostics;
        if found.is_empty()
            && signers::is_openpgp(&text)
            && let Err(why) = openpgp_keys(&text)
        {
            let mut wrong = finding(path, Code::BadSigners, format!("an OpenPGP key cannot be read: {why}"));
            wrong.with_hint("Export it once more: `gpg --armor --export <fingerprint>`.");
            found.push(wrong);
        }
        // All of it is published, and of one that is too large nothing counts.
        let kept = if text.len() > signers::MAX_FILE_BYTES { String::new() } else { text };
        self.found.signers.insert(name.to_owned(), kept);
        found
    }

    /// Gives the platform and the tools the texts of the files they name, when all of them are read.
    fn fill_signers(&mut self) {
        let Self { found, base, .. } = self;
        let file = |name: &str| join(base, name);
        let platform = found.platform.iter_mut().map(|platform| (file("platform.yaml"), &mut platform.commits.signers));
        let tools =
            found.tools.iter_mut().map(|tool| (file(&format!("tools/{}.yaml", tool.name)), &mut tool.commits.signers));
        for (file, signers) in platform.chain(tools) {
            let (filled, missing) = signers.filled(&found.signers);
            *signers = filled;
            for name in missing {
                let near = nearest(&name, found.signers.keys().map(String::as_str));
                let hint = near.map_or_else(
                    || format!("Write the file `{}/{name}`.", signers::FOLDER),
                    |near| format!("Did you mean `{near}`?"),
                );
                let text = self.naming.get(&file);
                let place = text.and_then(|text| signers::place_of(text, &name));
                let mut wrong =
                    finding(&file, Code::BadSigners, format!("there is no file `{}/{name}`", signers::FOLDER));
                wrong.place = place;
                wrong.with_hint(hint);
                found.report.diagnostics.push(wrong);
                found.texts.extend(text.map(|text| (file.clone(), text.clone())));
            }
        }
    }

    fn tell_idle_signers(&mut self) {
        let Self { found, base, naming, .. } = self;
        let Some(platform) = &found.platform else { return };
        for whose in signers::idle(platform, &found.tools) {
            let name = whose.map_or_else(|| "platform.yaml".to_owned(), |tool| format!("tools/{tool}.yaml"));
            let file = join(base, &name);
            let Some(text) = naming.get(&file) else { continue };
            found.report.diagnostics.extend(signers::told_idle(&file, text).diagnostics);
            found.texts.insert(file, text.clone());
        }
    }

    fn unreadable(&mut self, path: &str, name: &str) {
        let unreadable = Unreadable { file: path.to_owned(), name: ToolName::new(stem(name)).ok() };
        self.found.unreadable.push(unreadable);
    }

    fn finish(mut self) -> PlatformFolder {
        self.found.tools.sort_by(|a, b| a.name.cmp(&b.name));
        self.fill_signers();
        self.tell_idle_signers();
        self.rules();
        self.found.report.diagnostics.sort();
        self.found
    }
}

fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

fn finding(file: &str, code: Code, message: String) -> Diagnostic {
    Diagnostic {
        file: file.to_owned(),
        place: None,
        severity: Severity::Error,
        code: code.id().to_owned(),
        message,
        hint: None,
        component: None,
    }
}
