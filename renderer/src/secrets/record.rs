//! What is inside a ciphertext, and for whom it counts.

use super::limits;
use crate::Secret;
use crate::diagnostic::shown;
use crate::names::ToolName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The only format there is.
pub const FORMAT: u32 = 1;

/// A value with everything it was made for.
pub struct Record {
    /// Name of the platform.
    pub platform: String,
    /// Tools it was made for.
    pub tools: Vec<String>,
    /// The variable.
    pub key: String,
    /// The value.
    pub value: Secret,
}

/// For whom a record is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// Name of the platform.
    pub platform: &'a str,
    /// The tool and whom it is joined with by promotion: a record for any of them counts.
    pub tools: &'a BTreeSet<ToolName>,
    /// The variable.
    pub key: &'a str,
}

/// Why a value does not count here. Nothing of the value is ever in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No key of the platform is among its recipients.
    #[error("no key of this platform opens it")]
    NoIdentity,
    /// It was changed after it was encrypted.
    #[error("it was changed after it was encrypted, or is cut off")]
    Damaged,
    /// Somebody encrypted something else.
    #[error("what is encrypted is no record of `toolforge secrets`")]
    NoRecord,
    /// Of a later version.
    #[error("it has the format {0}; this version knows {FORMAT}")]
    Format(u32),
    /// Made for another platform.
    #[error("it was encrypted for the platform {}", shown(.0))]
    OtherPlatform(String),
    /// Made for other tools.
    #[error("it was encrypted for the tool {}", tools(.0))]
    OtherTools(Vec<String>),
    /// Made for another variable.
    #[error("it was encrypted as {}", shown(.0))]
    OtherKey(String),
    /// Too long.
    #[error("its value has {0} bytes; at most {most} are allowed", most = limits::VALUE_BYTES)]
    TooLong(usize),
    /// No program can be given it.
    #[error("its value holds a NUL character")]
    Nul,
}

fn tools(names: &[String]) -> String {
    names.iter().take(limits::TOOLS).map(|name| shown(name)).collect::<Vec<_>>().join(", ")
}

impl Refusal {
    /// A sentence with a next step.
    #[must_use]
    pub fn hint(&self, key: &str) -> String {
        match self {
            Self::NoIdentity => format!(
                "Somebody who can read it runs `toolforge secrets rotate`; else set it again: `toolforge secrets set {key}`."
            ),
            Self::Format(_) => "Use a newer version of toolforge.".to_owned(),
            _ => format!("Set it again: `toolforge secrets set {key}`."),
        }
    }
}

#[derive(Serialize)]
struct Written<'a> {
    format: u32,
    platform: &'a str,
    tools: &'a [String],
    key: &'a str,
    value: &'a str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    format: u32,
    platform: String,
    tools: Vec<String>,
    key: String,
    value: String,
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

impl Record {
    /// As it is encrypted.
    #[must_use]
    pub fn to_json(&self) -> Secret {
        let Self { platform, tools, key, value } = self;
        // Room for every byte escaped: a text that grows leaves copies of itself behind.
        let names = tools.iter().map(String::len).sum::<usize>() + platform.len() + key.len();
        let mut bytes = Vec::with_capacity(6 * (value.len() + names) + 256);
        let written = Written { format: FORMAT, platform, tools, key, value: value.reveal() };
        // Texts and a number into memory: this does not fail; what is empty would be refused when it is read.
        if serde_json::to_writer(&mut bytes, &written).is_err() {
            bytes.clear();
        }
        Secret::new(String::from_utf8(bytes).unwrap_or_default())
    }

    /// Reads one, whoever it is for. What serde would say of a wrong one is not repeated: it quotes.
    ///
    /// # Errors
    /// Where it is none, or of another format.
    pub fn read(plaintext: &[u8]) -> Result<Self, Refusal> {
        let Format { format } = serde_json::from_slice(plaintext).map_err(|_| Refusal::NoRecord)?;
        if format != FORMAT {
            return Err(Refusal::Format(format));
        }
        let read: Read = serde_json::from_slice(plaintext).map_err(|_| Refusal::NoRecord)?;
        debug_assert_eq!(read.format, FORMAT);
        let Read { platform, tools, key, value, .. } = read;
        Ok(Self { platform, tools, key, value: Secret::new(value) })
    }

    /// The value, if it was made for these terms.
    ///
    /// # Errors
    /// Where it was made for anything else, or can be no variable's value.
    pub fn value_for(self, terms: Terms<'_>) -> Result<Secret, Refusal> {
        if self.platform != terms.platform {
            return Err(Refusal::OtherPlatform(self.platform));
        }
        if self.tools.len() > limits::TOOLS
            || !self.tools.iter().any(|name| terms.tools.iter().any(|t| t.as_str() == name))
        {
            return Err(Refusal::OtherTools(self.tools));
        }
        if self.key != terms.key {
            return Err(Refusal::OtherKey(self.key));
        }
        if self.value.len() > limits::VALUE_BYTES {
            return Err(Refusal::TooLong(self.value.len()));
        }
        if self.value.reveal().contains('\0') {
            return Err(Refusal::Nul);
        }
        Ok(self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let tools = vec!["wordcount".to_owned()];
        Record { platform: "tools".into(), tools, key: "API_KEY".into(), value: Secret::new("canary \"\u{1b}\u{e9}") }
    }

    fn judged(record: Record) -> Result<Secret, Refusal> {
        let tools: BTreeSet<ToolName> =
            ["wordcount", "wordcount-beta"].map(|name| ToolName::new(name).expect("a name")).into();
        record.value_for(Terms { platform: "tools", tools: &tools, key: "API_KEY" })
    }

    #[test]
    fn a_record_counts_for_its_tool_its_partner_its_key_and_its_platform_alone() {
        type Case = (&'static str, fn(&mut Record), Option<Refusal>);
        let cases: [Case; 8] = [
            ("as it was made", |_| {}, None),
            ("for the partner", |r| r.tools = vec!["wordcount-beta".into()], None),
            (
                "for a stranger",
                |r| r.tools = vec!["word".into(), "wordcount2".into()],
                Some(Refusal::OtherTools(vec!["word".into(), "wordcount2".into()])),
            ),
            ("for nobody", |r| r.tools.clear(), Some(Refusal::OtherTools(Vec::new()))),
            ("another platform", |r| r.platform = "toolsbeta".into(), Some(Refusal::OtherPlatform("toolsbeta".into()))),
            ("another key", |r| r.key = "API_KEY2".into(), Some(Refusal::OtherKey("API_KEY2".into()))),
            ("too long", |r| r.value = Secret::new("x".repeat(16_385)), Some(Refusal::TooLong(16_385))),
            ("NUL", |r| r.value = Secret::new("a\0b"), Some(Refusal::Nul)),
        ];
        for (name, change, refused) in cases {
            let mut one = record();
            change(&mut one);
            assert_eq!(judged(one).err(), refused, "{name}");
        }
    }

    #[test]
    fn a_record_comes_back_and_garbage_is_told_without_a_word_of_it() {
        let json = record().to_json();
        let back = Record::read(json.reveal().as_bytes()).expect("it was written so");
        assert!(back.value == record().value && back.key == "API_KEY" && back.tools == ["wordcount"]);
        for (text, refused) in [
            ("canary".to_owned(), Refusal::NoRecord),
            (json.reveal().replace("\"value\":", "\"values\":"), Refusal::NoRecord),
            (json.reveal().replace("\"key\":", "\"more\":1,\"key\":"), Refusal::NoRecord),
            (json.reveal().replace("\"format\":1", "\"format\":2"), Refusal::Format(2)),
            (json.reveal().replace("\"format\":1", "\"format\":\"canary\""), Refusal::NoRecord),
        ] {
            let told = Record::read(text.as_bytes()).err();
            assert!(!format!("{told:?}").contains("canary"));
            assert_eq!(told, Some(refused));
        }
    }
}
