//! Config → objects: what a tool should have on the cluster, complete but for the digests of its images.
//!
//! Total: a component that cannot be rendered is withheld with a diagnostic, and its neighbours are rendered.
//! Nothing here knows the commit: a revision that changes only what is not built and not configured renders the same
//! bytes, so nothing restarts.
//!
//! A component kind is a variant of [`RunKind`] with its arm in the parser, an arm in [`component_objects`] with a module
//! beside it, a word in `docs/toolforge-yaml.md`, and, if it makes a new Kubernetes kind, a row in the planner's table.

mod command;
mod continuous;
mod egress;
mod image;
mod meta;
mod network;
mod one_off;
mod parameters;
mod platform_wide;
mod pod;
mod print;
mod probes;
mod resources;
mod scheduled;
mod sealed;
mod size;
mod tool_wide;

pub use command::{BadCommand, launched, words};
pub use meta::{
    APPLYSET_ID, COMPONENT, COMPONENT_TYPE, DEPLOYER, MARK, PART_OF, PLATFORM_MARK, SECRET_KEY, USER, applyset_id,
    platform_labels, secret_name,
};
pub use parameters::policy_parameters;
pub use platform_wide::{PLATFORM_CONFIG_MAP, PLATFORM_KEY, render_platform};
pub use print::to_yaml;
pub use scheduled::SCHEDULE;
pub use sealed::{SEALED, VALUES, sealed_name};

use crate::build::{BuildInputs, Siblings};
use crate::config::{self, Component, Config, ParseContext, Parsed, Places, RunKind};
use crate::diagnostic::{Code, Diagnostic, Place};
use crate::names::ComponentName;
use crate::object::{Gvk, Head, Object};
use crate::platform::{Limits, Platform, SystemUser};
use crate::rendered::{ComponentKind, Rendered, RenderedComponent, Withheld};
use crate::revision::Revision;
use crate::secrets::{self, Known};
use crate::tool::Tool;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything a tool should have at a revision, from its files: read with what this platform allows, then rendered.
/// The caller adds the hosts of the config repository to `platform.allowed_hosts` first.
#[must_use]
pub fn render_revision(platform: &Platform, tool: &Tool, revision: &Revision, siblings: &Siblings) -> Rendered {
    render_known(platform, tool, revision, siblings, &Known::default())
}

/// The same where somebody tried the platform's keys on the revision's encrypted values, and looked for its credentials.
#[must_use]
pub fn render_known(
    platform: &Platform,
    tool: &Tool,
    revision: &Revision,
    siblings: &Siblings,
    known: &Known,
) -> Rendered {
    let parsed = config::parse(&revision.files, &ParseContext::new(platform, tool));
    let frame = Frame::new(platform, tool, revision, &parsed.config, siblings, known);
    with_findings(rendered(&frame, &parsed.places), &parsed)
}

/// What the images of a revision's components are built from, by component; those that are not built are left out.
#[must_use]
pub fn build_inputs(
    platform: &Platform,
    tool: &Tool,
    revision: &Revision,
    siblings: &Siblings,
) -> BTreeMap<ComponentName, BuildInputs> {
    let parsed = config::parse(&revision.files, &ParseContext::new(platform, tool));
    let known = Known::default();
    let frame = Frame::new(platform, tool, revision, &parsed.config, siblings, &known);
    let components = parsed.config.components.iter();
    components.filter_map(|(name, component)| Some((name.clone(), image::inputs(&frame, component)?))).collect()
}

/// Everything a tool should have, from what its files said: what reading withheld stays withheld, and the report has
/// the findings of both, each at its place.
#[must_use]
pub fn render(platform: &Platform, tool: &Tool, revision: &Revision, parsed: &Parsed, siblings: &Siblings) -> Rendered {
    let known = Known::default();
    let frame = Frame::new(platform, tool, revision, &parsed.config, siblings, &known);
    with_findings(rendered(&frame, &parsed.places), parsed)
}

fn with_findings(mut rendered: Rendered, parsed: &Parsed) -> Rendered {
    rendered.unusable = parsed.unusable;
    rendered.places = Arc::clone(&parsed.places);
    rendered.withheld.splice(..0, parsed.withheld.iter().cloned());
    let findings = &mut rendered.report.diagnostics;
    findings.splice(..0, parsed.report.diagnostics.iter().cloned());
    // Stable, so that findings at one place keep their order.
    findings.sort_by(|a, b| (&a.file, a.place).cmp(&(&b.file, b.place)));
    rendered
}

/// Everything a tool should have, from its good components alone; findings have no place then.
#[must_use]
pub fn render_config(
    platform: &Platform,
    tool: &Tool,
    revision: &Revision,
    config: &Config,
    siblings: &Siblings,
) -> Rendered {
    rendered(&Frame::new(platform, tool, revision, config, siblings, &Known::default()), &Places::new())
}

fn rendered(frame: &Frame<'_>, places: &Places) -> Rendered {
    let mut rendered = Rendered {
        tool: frame.tool.name.clone(),
        namespace: frame.namespace.clone(),
        objects: tool_wide::objects(frame),
        builds: Vec::new(),
        components: Vec::new(),
        withheld: Vec::new(),
        unusable: false,
        report: frame.sealed.report.clone(),
        places: Arc::default(),
    };
    rendered.report.diagnostics.extend(frame.sealed.notes(frame));
    for (name, component) in &frame.config.components {
        let image = image::image(frame, name, component);
        match image.and_then(|image| component_objects(frame, name, component).map(|made| (image, made))) {
            Ok(((image, request), Made { objects, one_off_key, notes, secrets, lacks, blind })) => {
                let kind = component.run.kind.component_kind();
                let name = name.clone();
                let image = match request {
                    Some(request) => image::requested(&mut rendered.builds, image, request, &name),
                    None => image,
                };
                rendered.report.diagnostics.extend(notes.into_iter().map(|note| note.diagnostic(&name, places)));
                rendered.components.push(RenderedComponent {
                    name,
                    kind,
                    image,
                    secrets,
                    lacks,
                    blind,
                    objects,
                    one_off_key,
                });
            }
            Err(refusal) => {
                let gates = component.run.kind.component_kind() == ComponentKind::OneOff;
                let found = refusal.diagnostic(name, places);
                rendered.withheld.push(Withheld { component: name.to_string(), why: found.message.clone(), gates });
                rendered.report.diagnostics.push(found);
            }
        }
    }
    once(&mut rendered.report.diagnostics);
    size::bound(&mut rendered, frame, places);
    rendered
}

/// What is said of a component is not said of the whole file as well.
fn once(findings: &mut Vec<Diagnostic>) {
    let of_components: Vec<_> = findings.iter().filter(|found| found.component.is_some()).cloned().collect();
    let same = |one: &Diagnostic, other: &Diagnostic| {
        (&one.file, one.place, &one.message) == (&other.file, other.place, &other.message)
    };
    findings.retain(|found| found.component.is_some() || !of_components.iter().any(|other| same(found, other)));
}

/// What a component made.
struct Made {
    objects: Vec<Object>,
    one_off_key: Option<String>,
    notes: Vec<Note>,
    /// Variables whose Secrets somebody else makes.
    secrets: Vec<String>,
    lacks: Vec<String>,
    blind: bool,
}

fn component_objects(frame: &Frame<'_>, name: &ComponentName, component: &Component) -> Result<Made, Refusal> {
    let mut notes = Vec::new();
    let (objects, one_off_key): (Vec<_>, _) = match &component.run.kind {
        RunKind::Continuous { replicas, .. } => {
            let (objects, note) = continuous::objects(frame, name, component, *replicas)?;
            notes.extend(note);
            (objects, None)
        }
        RunKind::Scheduled { schedule, .. } => (scheduled::objects(frame, name, component, schedule)?, None),
        RunKind::OneOff { run_id, .. } => {
            let key = one_off::key_parts(frame, component, run_id.as_deref());
            (one_off::objects(frame, name, component)?, Some(key))
        }
    };
    let sealed = sealed::used(frame, name, component)?;
    let elsewhere = pod::secrets(frame, component).into_iter().filter(|variable| !sealed.has(variable));
    let secrets = elsewhere.map(str::to_owned).collect();
    let objects = sealed::object(frame, name, component, &sealed).into_iter().chain(objects).collect();
    Ok(Made { objects, one_off_key, notes, secrets, lacks: frame.sealed.lacks(), blind: frame.sealed.is_blind() })
}

/// What rendering knows besides the component at hand.
pub(crate) struct Frame<'a> {
    pub(crate) platform: &'a Platform,
    pub(crate) tool: &'a Tool,
    pub(crate) revision: &'a Revision,
    pub(crate) config: &'a Config,
    pub(crate) siblings: &'a Siblings,
    pub(crate) namespace: String,
    /// Of every object of the tool.
    pub(crate) labels: BTreeMap<String, String>,
    /// The platform's limits with the tool's overrides.
    pub(crate) limits: Limits,
    pub(crate) quota: Vec<resources::Used>,
    pub(crate) user: SystemUser,
    pub(crate) sealed: sealed::Shelf<'a>,
}

impl<'a> Frame<'a> {
    fn new(
        platform: &'a Platform,
        tool: &'a Tool,
        revision: &'a Revision,
        config: &'a Config,
        siblings: &'a Siblings,
        known: &'a Known,
    ) -> Self {
        // As today, a tool's group is its user's number.
        let user = tool.uid.map_or(platform.system_user, |uid| SystemUser { uid, gid: uid });
        let limits = resources::limits_of(&platform.limits, &tool.limits);
        let (namespace, labels) = (tool.name.namespace(), meta::tool_labels(&tool.name));
        let quota = resources::quota_use(config, &limits);
        let sealed = sealed::Shelf::new(revision.files.secrets.as_deref(), known);
        Self { platform, tool, revision, config, siblings, namespace, labels, limits, quota, user, sealed }
    }

    /// An object of a component, named like it.
    fn object(&self, kind: Gvk, name: &ComponentName, component: &Component, content: Value) -> Object {
        let head = Head {
            kind,
            namespace: Some(self.namespace.clone()),
            name: name.to_string(),
            labels: meta::component_labels(self, name, component),
            annotations: BTreeMap::new(),
        };
        Object::with(head, fields(content))
    }
}

fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// Something worth knowing, or the reason why a component is withheld; its code says which.
#[derive(Debug, Clone)]
pub(crate) struct Note {
    code: Code,
    /// The key below the component that it is about: `run.command`.
    key: &'static str,
    message: String,
    hint: Cow<'static, str>,
    /// Where it is in the file of encrypted values, if it is there.
    sealed: Option<Place>,
}

/// A [`Note`] that withholds its component.
pub(crate) type Refusal = Note;

impl Note {
    pub(crate) fn new(code: Code, key: &'static str, message: String) -> Self {
        Self { code, key, message, hint: code.fix().into(), sealed: None }
    }

    pub(crate) fn hint(self, hint: impl Into<Cow<'static, str>>) -> Self {
        Self { hint: hint.into(), ..self }
    }

    /// It is about this place of the file of encrypted values.
    pub(crate) fn sealed_at(self, place: Place) -> Self {
        Self { sealed: Some(place), ..self }
    }

    fn diagnostic(self, component: &ComponentName, places: &Places) -> Diagnostic {
        let component = component.as_str();
        let own = || {
            let place = places.get(&format!("components.{component}.{}", self.key));
            place.or_else(|| places.get(&format!("components.{component}"))).copied()
        };
        Diagnostic {
            file: if self.sealed.is_some() { secrets::FILE } else { "toolforge.yaml" }.to_owned(),
            place: self.sealed.or_else(own),
            severity: self.code.severity(),
            code: self.code.id().to_owned(),
            message: self.message,
            hint: Some(self.hint.into_owned()),
            component: Some(component.to_owned()),
        }
    }
}
