//! May this run image stand under that application? Only what both say of themselves counts: the CNB platform
//! specification's target data since platform API 0.12, stack and mixins before.

use super::Image;
use serde_json::Value;
use std::collections::BTreeSet;

const REBASABLE: &str = "io.buildpacks.rebasable";
const STACK_ID: &str = "io.buildpacks.stack.id";
const MIXINS: &str = "io.buildpacks.stack.mixins";
const DISTRIBUTION: [&str; 2] = ["io.buildpacks.base.distro.name", "io.buildpacks.base.distro.version"];
/// The platform API by which an image was made.
const PLATFORM_API: &str = "CNB_PLATFORM_API";
/// The first one that knows targets; before, stacks said what is compatible.
const WITH_TARGETS: (u64, u64) = (0, 12);

/// Why a run image may not stand under an application.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Incompatible {
    /// Whoever built the application says that it depends on its run image as it was.
    #[error("its label {REBASABLE} is false")]
    NotRebasable,
    /// Other machines.
    #[error("it is for {app}, and the run image for {run}")]
    Target {
        /// Of the application.
        app: String,
        /// Of the run image.
        run: String,
    },
    /// Another distribution, or another release of it.
    #[error("it is built on {app}, and the run image is {run}")]
    Distribution {
        /// Of the application.
        app: String,
        /// Of the run image.
        run: String,
    },
    /// Another stack.
    #[error("it is built on {app}, and the run image is {run}")]
    Stack {
        /// Of the application.
        app: String,
        /// Of the run image.
        run: String,
    },
    /// The application needs what the run image lacks.
    #[error("it needs mixins that the run image lacks: {}", .0.join(", "))]
    Mixins(Vec<String>),
}

/// Whether the labels of both promise that `app` works on `run`.
pub(super) fn check(app: &Image, run: &Image) -> Result<(), Incompatible> {
    if app.label(REBASABLE) == Some("false") {
        return Err(Incompatible::NotRebasable);
    }
    let (ours, theirs) = (app.target(), run.target());
    if !theirs.runs(&ours) {
        return Err(Incompatible::Target { app: ours.to_string(), run: theirs.to_string() });
    }
    if platform_api(app).is_some_and(|api| api >= WITH_TARGETS) {
        return distribution(app, run);
    }
    stack(app, run)?;
    mixins(app, run)
}

fn platform_api(image: &Image) -> Option<(u64, u64)> {
    let text = image.env(PLATFORM_API)?;
    let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// A run image that has lost its labels promises nothing, so what one of them does not say must be unsaid by both.
fn distribution(app: &Image, run: &Image) -> Result<(), Incompatible> {
    let said = |image: &Image| DISTRIBUTION.map(|label| image.label(label).unwrap_or_default().to_owned());
    let (app, run) = (said(app), said(run));
    if app == run {
        return Ok(());
    }
    let name = |[name, version]: [String; 2]| match format!("{name} {version}").trim() {
        "" => "an unnamed distribution".to_owned(),
        name => name.to_owned(),
    };
    Err(Incompatible::Distribution { app: name(app), run: name(run) })
}

fn stack(app: &Image, run: &Image) -> Result<(), Incompatible> {
    let said = |image: &Image| image.label(STACK_ID).filter(|id| !id.is_empty()).map(|id| format!("stack {id}"));
    match (said(app), said(run)) {
        (Some(app), Some(run)) if app == run => Ok(()),
        (app, run) => {
            let unnamed = || "an unnamed stack".to_owned();
            Err(Incompatible::Stack { app: app.unwrap_or_else(unnamed), run: run.unwrap_or_else(unnamed) })
        }
    }
}

fn mixins(app: &Image, run: &Image) -> Result<(), Incompatible> {
    let has = mixins_of(run);
    let missing: Vec<_> = mixins_of(app).into_iter().filter(|mixin| !has.contains(mixin)).collect();
    if missing.is_empty() { Ok(()) } else { Err(Incompatible::Mixins(missing)) }
}

/// Without the stage they are for. A label that is no list promises none, and needs itself.
fn mixins_of(image: &Image) -> BTreeSet<String> {
    let plain = |mixin: &str| mixin.strip_prefix("build:").or(mixin.strip_prefix("run:")).unwrap_or(mixin).to_owned();
    match image.json_label(MIXINS) {
        None => BTreeSet::new(),
        Some(Ok(Value::Array(all))) => all.iter().filter_map(Value::as_str).map(plain).collect(),
        Some(_) => image.label(MIXINS).map(str::to_owned).into_iter().collect(),
    }
}
