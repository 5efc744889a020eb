//! Why there is no image, and what to do about it.

use super::detect::Tried;
use crate::cell::CellError;
use std::io;
use std::path::{Path, PathBuf};

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The machine.
    #[error("{}: {error}", path.display())]
    Folder {
        /// What could not be read or written.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// No process can be started as it should be.
    #[error(transparent)]
    Cell(#[from] CellError),
    /// Another build of the same name has its layers.
    #[error("another build of {name} is running on this machine")]
    Busy {
        /// Whose.
        name: String,
    },
    /// A buildpack that is none of ours.
    #[error("there is no buildpack {name} on this machine; it has {}", known.join(", "))]
    UnknownBuildpack {
        /// As it is asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Every buildpack was asked, and none takes part.
    #[error("no buildpack knows what to do with this repository:{}", told(tried))]
    NoneDetected {
        /// What each said.
        tried: Vec<Tried>,
    },
    /// A buildpack could not say whether it is needed.
    #[error("detect of {pack} failed with status {code}: {said}")]
    DetectFailed {
        /// Its id.
        pack: String,
        /// The exit status.
        code: i32,
        /// The last line it said.
        said: String,
    },
    /// A buildpack did not come to an end.
    #[error("{phase} of {pack} did not end within {limit_secs} s{}", after(last))]
    TimedOut {
        /// Its id.
        pack: String,
        /// `detect` or `build`.
        phase: &'static str,
        /// How long it had.
        limit_secs: u64,
        /// The last line it said.
        last: String,
    },
    /// A buildpack said that it can't; its words are in the log.
    #[error("build of {pack} failed with status {code}")]
    BuildFailed {
        /// Its id.
        pack: String,
        /// The exit status.
        code: i32,
    },
    /// A buildpack left something that no buildpack may leave.
    #[error("{pack} left {what}: {why}")]
    BadResult {
        /// Its id.
        pack: String,
        /// The file or folder.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// The image would be out of proportion.
    #[error("{what} has more than {limit} {unit}")]
    TooLarge {
        /// A part of the image.
        what: String,
        /// The limit.
        limit: u64,
        /// `bytes` or `files`.
        unit: &'static str,
    },
}

fn after(last: &str) -> String {
    if last.is_empty() { String::new() } else { format!("; it said last: {last}") }
}

fn told(tried: &[Tried]) -> String {
    tried.iter().map(|one| format!("\n  {}: {}", one.id, one.reason)).collect()
}

impl BuildError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Cell(error) => error.hint(),
            Self::Folder { .. } => "Make room or choose another state folder.".to_owned(),
            Self::Busy { .. } => "Wait for it, or end it.".to_owned(),
            Self::UnknownBuildpack { .. } => {
                "Name one of these under `build.buildpacks`, or none: then each says whether it is needed.".to_owned()
            }
            Self::NoneDetected { .. } => {
                "Add a Procfile with a line such as `web: python app.py`, or one of the files named above.".to_owned()
            }
            Self::DetectFailed { .. } | Self::TimedOut { phase: "detect", .. } => {
                "See what `toolforge detect` says of this folder; if it is a buildpack's fault, tell the operators."
                    .to_owned()
            }
            Self::TimedOut { .. } => {
                "See in the log what it waits for; a build script must come to an end by itself.".to_owned()
            }
            Self::BuildFailed { .. } => {
                "The reason stands above, with the next step; what is in the repository decides.".to_owned()
            }
            Self::BadResult { .. } => "See which build script of the repository writes into layers.".to_owned(),
            Self::TooLarge { .. } => {
                "Leave out what the tool does not need at run time, or fetch it when it starts.".to_owned()
            }
        }
    }
}

/// An error of the machine, at this path.
pub(super) fn at(path: &Path) -> impl Fn(io::Error) -> BuildError + use<> {
    let path = path.to_owned();
    move |error| BuildError::Folder { path: path.clone(), error }
}
