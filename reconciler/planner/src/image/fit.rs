//! Whether an image runs on the platform: asked before it is deployed, and not of its crashing pods.

use super::{Image, LOCAL_ONLY, Target};
use renderer::Platform;
use renderer::platform::Backend;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where an image runs, as it says itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MadeFor {
    /// The machines; none where it does not say.
    pub machines: Vec<Target>,
    /// Only on the machine that built it.
    pub local_only: bool,
}

/// Why an image does not run on the platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Misfit {
    /// It is for other machines.
    Machines {
        /// What it is for: `linux/arm64, linux/s390x`.
        has: String,
        /// What the platform's machines are.
        wanted: String,
    },
    /// It was built by `backend: local`, without a run image, and the platform's builds are others.
    LocalOnly,
}

impl MadeFor {
    /// What one image says.
    #[must_use]
    pub fn of(image: &Image) -> Self {
        Self { local_only: image.label(LOCAL_ONLY) == Some("true"), ..Self::machines([image.target()]) }
    }

    /// What the entries of an index say.
    #[must_use]
    pub fn machines(all: impl IntoIterator<Item = Target>) -> Self {
        // What describes an image of the index, and is none, says `unknown/unknown`.
        let says = |target: &Target| !target.os.is_empty() && target.os != "unknown";
        Self { machines: all.into_iter().filter(says).collect(), local_only: false }
    }

    /// Why it does not run on this platform; none where it does, or says nothing.
    #[must_use]
    pub fn misfit(&self, platform: &Platform) -> Option<Misfit> {
        let builds_here = platform.builds.as_ref().is_some_and(|builds| builds.backend == Backend::Local);
        if self.local_only {
            // Whatever machine made it, it is the one that runs it.
            return (!builds_here).then_some(Misfit::LocalOnly);
        }
        let wanted = Target::parse(&platform.builder.target);
        if self.machines.is_empty() || self.machines.iter().any(|machine| machine.runs(&wanted)) {
            return None;
        }
        let has: Vec<_> = self.machines.iter().map(Target::to_string).collect();
        Some(Misfit::Machines { has: has.join(", "), wanted: wanted.to_string() })
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machines { has, wanted } => {
                write!(f, "it is for {has}, and the platform's machines are {wanted}; push one for {wanted}")
            }
            Self::LocalOnly => f.write_str(
                "it runs only on the machine that built it; push one that stands on a run image, or set `build.nonce` to \
                 have it built",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use renderer::platform::Builds;

    fn on(backend: Option<Backend>) -> Platform {
        let mut platform = Platform::builtin();
        platform.builder.target = "linux/amd64".to_owned();
        platform.builds = backend.map(Builds::by);
        platform
    }

    fn machines(all: &[&str]) -> MadeFor {
        MadeFor::machines(all.iter().map(|text| Target::parse(text)))
    }

    #[test]
    fn an_image_runs_where_one_of_its_machines_is_the_platform_s() {
        for fits in [&[][..], &["linux/amd64"], &["linux/arm64/v8", "linux/amd64"], &["unknown/unknown"], &["/"]] {
            assert_eq!(machines(fits).misfit(&on(None)), None, "{fits:?}");
        }
        let other = machines(&["linux/arm64/v8", "linux/s390x", "unknown/unknown"]).misfit(&on(None));
        let told = other.expect("a misfit").to_string();
        assert!(told.starts_with("it is for linux/arm64/v8, linux/s390x, and the platform's machines are"), "{told}");
        assert!(machines(&["windows/amd64"]).misfit(&on(None)).is_some());
    }

    #[test]
    fn an_image_of_one_machine_runs_where_that_machine_is_the_platform() {
        let own = MadeFor { local_only: true, ..machines(&["linux/arm64"]) };
        assert_eq!(own.misfit(&on(Some(Backend::Local))), None);
        assert_eq!(own.misfit(&on(None)), Some(Misfit::LocalOnly));
    }
}
