//! The file of a tool's folder: read, changed, written whole.

use super::Here;
use crate::cli::local::tell;
use crate::cli::place::{self, Place, ToolPlace};
use crate::ui::{Failure, Ui, failed, wrong_use};
use reconciler::secrets::{Identities, Recipients};
use renderer::diagnostic::{Place as Spot, nearest};
use renderer::secrets::{FILE, Record, Sealed, SecretsFile, Standing, Terms};
use renderer::{Secret, ToolName};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// A tool's folder, and the file in it.
pub(super) struct Shelf {
    pub(super) place: ToolPlace,
    /// None where nothing names it.
    tool: Option<ToolName>,
    pub(super) path: PathBuf,
    /// None where there is no file yet.
    pub(super) file: Option<SecretsFile>,
    /// Nothing in it is wrong.
    pub(super) good: bool,
}

impl Shelf {
    /// Reads what is there. What is wrong with single values is told and kept.
    pub(super) fn open(here: &Here, ui: &Ui) -> anyhow::Result<Self> {
        let Place::Tool(place) = place::look(&here.folder)? else {
            let hint = "Values belong to a tool: name its folder with `-C`.";
            return Err(wrong_use(format!("{} is no tool's folder", here.folder.display())).hint(hint).into());
        };
        let tool = place::inferred_name(here.tool.as_ref(), &place);
        let path = place.folder.join(FILE);
        let Some(bytes) = place::read_if_there(&path)? else {
            return Ok(Self { place: *place, tool, path, file: None, good: true });
        };
        let name = path.display().to_string();
        let (file, report) = renderer::secrets::parse(&bytes, &name);
        tell(&report, &[(name.clone(), bytes.as_slice())], ui);
        if file.is_none() {
            return Err(wrong_use(format!("{name} can't be used")).hint("Correct the errors above.").into());
        }
        Ok(Self { place: *place, tool, path, file, good: report.is_good() })
    }

    /// For which tool values are set: under any other name they are worth nothing.
    pub(super) fn tool(&self) -> Result<&ToolName, Failure> {
        let none = || wrong_use(format!("{} does not say which tool's it is", self.place.folder.display()));
        self.tool.as_ref().ok_or_else(|| {
            none().hint("Name the tool as the platform knows it: `--tool NAME`; values count for no other.")
        })
    }

    /// That the file has no value of this name.
    pub(super) fn none_of(&self, key: &str) -> Failure {
        let there = self.file.iter().flat_map(|file| file.values.keys());
        let hint = match nearest(key, there.map(String::as_str)) {
            Some(near) => format!("Did you mean `{near}`?"),
            None => "Run `toolforge secrets list` to see what there is.".to_owned(),
        };
        wrong_use(format!("{} holds no `{key}`", self.path.display())).hint(hint)
    }

    /// The file, which has to be there.
    pub(super) fn file(&self) -> Result<&SecretsFile, Failure> {
        let none = || wrong_use(format!("there is no {} yet", self.path.display()));
        self.file.as_ref().ok_or_else(|| none().hint("Set a first value: `toolforge secrets set NAME`."))
    }

    /// The ciphertext of a variable.
    pub(super) fn sealed(&self, key: &str) -> Result<&Sealed, Failure> {
        let standing = self.file()?.values.get(key).ok_or_else(|| self.none_of(key))?;
        standing.sealed.as_ref().map_err(|flaw| wrong_use(flaw.told(key)).hint(flaw.hint(key)))
    }

    /// The record of a variable, if it counts for this tool.
    pub(super) fn opened(&self, key: &str, identities: &Identities) -> Result<Record, Failure> {
        let refused = |why: renderer::secrets::Refusal| {
            let hint = match why {
                renderer::secrets::Refusal::NoIdentity => {
                    "Ask somebody whose key is among its recipients; `toolforge secrets recipients` lists them."
                        .to_owned()
                }
                _ => why.hint(key),
            };
            wrong_use(format!("`{key}` can't be read: {}", self.own(&why.to_string()))).hint(hint)
        };
        let record = identities.open(self.sealed(key)?).map_err(refused)?;
        let tools: BTreeSet<ToolName> = record.tools.iter().filter_map(|name| ToolName::new(name).ok()).collect();
        let terms = Terms { platform: &self.file()?.platform, tools: &tools, key };
        let Record { platform, tools, key: own, value } = record;
        let copy = Record { platform: platform.clone(), tools: tools.clone(), key: own.clone(), value };
        let value = copy.value_for(terms).map_err(refused)?;
        Ok(Record { platform, tools, key: own, value })
    }

    /// It was the person's key, and not the platform's, that was tried.
    fn own(&self, why: &str) -> String {
        why.replace("no key of this platform opens it", "this identity is none of its recipients")
    }

    /// A new value of these tools, in its place.
    pub(super) fn put(
        &mut self,
        key: &str,
        tools: &[String],
        value: Secret,
        mut file: SecretsFile,
    ) -> anyhow::Result<()> {
        let record = Record { platform: file.platform.clone(), tools: tools.to_vec(), key: key.to_owned(), value };
        let sealed = seal(&file, &record)?;
        file.values.insert(key.to_owned(), standing(sealed));
        self.file = Some(file);
        Ok(())
    }

    /// Writes the file, unless that would lose what a person has yet to correct.
    pub(super) fn write(&self) -> anyhow::Result<()> {
        let file = self.file()?;
        let flawed = file.values.iter().find(|(_, standing)| standing.sealed.is_err());
        if let Some((key, _)) = flawed {
            let hint = format!("Set `{key}` again, or remove it: `toolforge secrets rm {key}`.");
            let message = format!("{} was left as it is: `{key}` in it can't be used", self.path.display());
            return Err(wrong_use(message).hint(hint).into());
        }
        place::write(&self.path, file.to_yaml().as_bytes())
    }
}

pub(super) fn standing(sealed: Sealed) -> Standing {
    Standing { place: Spot { line: 1, column: 1, width: 1 }, sealed: Ok(sealed) }
}

/// Encrypts to the file's recipients.
pub(super) fn seal(file: &SecretsFile, record: &Record) -> anyhow::Result<Sealed> {
    let recipients = Recipients::read(file.recipients.iter().map(String::as_str)).map_err(|error| {
        let hint =
            "Add one: `toolforge secrets recipients add age1...`, or name the platform's settings with `--platform`.";
        wrong_use("nothing can be encrypted").hint(hint).because(error)
    })?;
    Ok(recipients.seal(record).map_err(|error| failed("the value was not encrypted").because(error))?)
}
