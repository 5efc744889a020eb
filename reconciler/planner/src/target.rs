//! Each component has exactly one target: the new revision when nothing holds it, else the last good one (invariant 2).
//! Both are rendered the same way; only where the image's digest comes from differs.

use crate::admission::Tenant;
use crate::decide::Input;
use crate::image;
use crate::observed::{ImageSeen, Observed};
use crate::plan::{Held, Why};
use crate::promotion::{self, Offer};
use crate::readiness::{self, Readiness};
use crate::stored::{StoredImage, StoredRevision};
use renderer::render::secret_name;
use renderer::rendered::{ComponentKind, PinnedImage};
use renderer::{
    CommitId, ComponentName, Diagnostic, Digest, Files, Image, Object, ObjectId, Rendered, RenderedComponent,
};
use std::collections::{BTreeMap, BTreeSet};

/// What a tool's components should be now.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    /// Objects to have, by component.
    pub components: BTreeMap<ComponentName, Vec<Object>>,
    /// Components that are not at the new revision, and why.
    pub held: Vec<Held>,
    /// Component names whose live objects stay, whatever is desired.
    pub kept: BTreeSet<String>,
    /// The image of each component that is at the new revision.
    pub images: BTreeMap<ComponentName, StoredImage>,
    /// Keys of the new revision's one-offs that have succeeded.
    pub one_offs: BTreeSet<String>,
}

/// A component of one revision with its image filled in.
struct Resolved {
    objects: Vec<Object>,
    image: StoredImage,
    key: Option<String>,
}

/// Decides the target of every component.
pub(crate) fn targets(newest: &Rendered, input: &Input, tenant: &mut Tenant<'_>) -> Targets {
    let mut targets = Targets::default();
    let (commit, observed) = (input.newest_commit(), input.observed);
    let mut resolved = BTreeMap::new();
    for component in &newest.components {
        let found = resolve(component, commit, observed);
        let found = admitted(newest, component, tenant, (found, observed));
        resolved.insert(&component.name, (component, found));
    }
    let gate = gate(newest, &resolved, observed, &mut targets);
    for (name, (component, result)) in resolved {
        let gated = if component.kind == ComponentKind::OneOff { None } else { gate.clone() };
        match (result, gated) {
            (Ok(_), Some(why)) | (Err(why), _) => {
                targets.hold(newest, name, held_id(newest, component), why);
            }
            (Ok(resolved), None) => targets.aim(name, component, resolved, observed),
        }
    }
    for withheld in &newest.withheld {
        let id = component_id(&newest.namespace, &withheld.component);
        let errors = || newest.report.errors();
        let own = errors().find(|error| error.component.as_ref() == Some(&withheld.component));
        let first = own.or_else(|| errors().find(|error| error.component.is_none()));
        let why = first.map_or_else(|| withheld.why.clone(), Diagnostic::located);
        targets.held.push(Held { id, action: None, why: Why::Invalid(why) });
        targets.kept.insert(withheld.component.clone());
    }
    targets.fall_back(input.last_good, observed);
    targets
}

impl Targets {
    /// The targets while the newest revision as a whole can't be used: everything stays at the last good one.
    pub(crate) fn of_last_good(last_good: Option<&Rendered>, observed: &Observed) -> Self {
        let mut targets = Self::default();
        targets.kept.extend(last_good.iter().flat_map(|r| &r.components).map(|c| c.name.to_string()));
        targets.fall_back(last_good, observed);
        targets
    }

    fn hold(&mut self, newest: &Rendered, name: &ComponentName, id: ObjectId, why: Why) {
        debug_assert!(newest.components.iter().any(|c| c.name == *name));
        self.held.push(Held { id, action: None, why });
        self.kept.insert(name.to_string());
    }

    fn aim(&mut self, name: &ComponentName, component: &RenderedComponent, resolved: Resolved, observed: &Observed) {
        if let Some(key) = &resolved.key
            && one_off_state(component, &resolved, observed) == OneOff::Done
        {
            self.one_offs.insert(key.clone());
        }
        self.images.insert(name.clone(), resolved.image.clone());
        let objects = wanted_objects(component, resolved, observed);
        self.components.insert(name.clone(), objects);
    }

    /// Keeps a component that is at the new revision back, as if it had been held from the start. Where the last good
    /// revision has the very same objects nothing is kept back, and the answer is false.
    pub(crate) fn keep_back(&mut self, newest: &Rendered, name: &ComponentName, why: Why, input: &Input) -> bool {
        let Some(component) = newest.components.iter().find(|component| component.name == *name) else { return false };
        let ahead = self.components.remove(name);
        self.kept.insert(name.to_string());
        self.fall_back(input.last_good, input.observed);
        if ahead.is_some() && self.components.get(name) == ahead.as_ref() {
            self.kept.remove(name.as_str());
            return false;
        }
        self.images.remove(name);
        self.held.push(Held { id: held_id(newest, component), action: None, why });
        true
    }

    /// Gives every kept component the objects of the last good revision, if it had any.
    fn fall_back(&mut self, last_good: Option<&Rendered>, observed: &Observed) {
        let stored = observed.stored.first();
        for component in last_good.iter().flat_map(|rendered| &rendered.components) {
            if !self.kept.contains(component.name.as_str()) || component.blind {
                continue;
            }
            let Some(image) = stored.and_then(|s| s.images.get(&component.name)) else { continue };
            let resolved = fill_in(component, image.clone());
            let objects = wanted_objects(component, resolved, observed);
            self.components.insert(component.name.clone(), objects);
        }
    }
}

/// A one-off that has run stays as it is while its Job is there, and is not made again when it is gone. A Job that is
/// there keeps its spec: it can't be changed, and what is not part of the key (limits, the platform's variables) is no
/// reason to run again.
fn wanted_objects(component: &RenderedComponent, resolved: Resolved, observed: &Observed) -> Vec<Object> {
    if component.kind != ComponentKind::OneOff {
        return resolved.objects;
    }
    let recorded = is_recorded(resolved.key.as_deref(), observed);
    let wanted = resolved.objects.into_iter().filter(|object| !recorded || observed.live(&object.id).is_some());
    wanted.map(|object| with_live_spec(object, observed)).collect()
}

fn with_live_spec(mut object: Object, observed: &Observed) -> Object {
    if let Some(spec) = observed.live(&object.id).and_then(|live| live.get("spec"))
        && object.id.kind == "Job"
    {
        object.value["spec"] = spec.clone();
    }
    object
}

/// What the other components wait for, if they wait for a one-off.
fn gate(
    newest: &Rendered,
    resolved: &BTreeMap<&ComponentName, (&RenderedComponent, Result<Resolved, Why>)>,
    observed: &Observed,
    targets: &mut Targets,
) -> Option<Why> {
    // What may be a one-off and can't be read has not run: nothing goes past it.
    let unread = newest.withheld.iter().find(|withheld| withheld.gates);
    let mut gate = unread.map(|withheld| Why::AwaitingStep(component_id(&newest.namespace, &withheld.component)));
    for (component, result) in resolved.values().filter(|(c, _)| c.kind == ComponentKind::OneOff) {
        let why = match result {
            Err(_) => Some(Why::AwaitingStep(held_id(newest, component))),
            Ok(resolved) => match one_off_state(component, resolved, observed) {
                OneOff::Done => None,
                OneOff::Running(id) => Some(Why::AwaitingReady(id)),
                OneOff::Waiting(id) => Some(Why::AwaitingStep(id)),
                OneOff::Failed(job, why) => Some(Why::GateFailed { job, why }),
            },
        };
        if let (Some(Why::GateFailed { job, .. }), true) = (&why, gate.is_none()) {
            // The failed Job itself is shown once, as the row everything else points at.
            targets.held.push(Held { id: job.clone(), action: None, why: why.clone().unwrap_or(Why::NotOurs) });
        }
        gate = gate.or(why);
    }
    gate
}

#[derive(Debug, PartialEq)]
enum OneOff {
    Done,
    Running(ObjectId),
    Waiting(ObjectId),
    Failed(ObjectId, String),
}

fn one_off_state(component: &RenderedComponent, resolved: &Resolved, observed: &Observed) -> OneOff {
    if component.kind == ComponentKind::OneOff && is_recorded(resolved.key.as_deref(), observed) {
        return OneOff::Done;
    }
    let Some(job) = resolved.objects.iter().find(|object| object.id.kind == "Job") else { return OneOff::Done };
    let Some(live) = observed.live(&job.id) else { return OneOff::Waiting(job.id.clone()) };
    match readiness::job(live) {
        Readiness::Ready => OneOff::Done,
        Readiness::InProgress(_) => OneOff::Running(job.id.clone()),
        Readiness::Failed(why) => OneOff::Failed(job.id.clone(), why),
    }
}

fn is_recorded(key: Option<&str>, observed: &Observed) -> bool {
    key.is_some_and(|key| observed.stored.iter().any(|stored| stored.one_offs.contains(key)))
}

/// Unless a rule refuses it. That is told first: what is refused needs no image and no secret. What has run, and does not
/// run again, is past being refused.
fn admitted(
    newest: &Rendered,
    component: &RenderedComponent,
    tenant: &mut Tenant<'_>,
    (found, observed): (Result<Resolved, Why>, &Observed),
) -> Result<Resolved, Why> {
    let refusal = match &found {
        Ok(resolved) if is_recorded(resolved.key.as_deref(), observed) => None,
        Ok(resolved) => tenant.refusal(&resolved.objects),
        Err(_) => {
            let image = tenant.stand_in(component, image_source(&component.image));
            image.and_then(|image| tenant.refusal(&component.at(&image).0))
        }
    };
    refusal.map_or(found, |refusal| Err(refusal.why(newest, component)))
}

fn resolve(component: &RenderedComponent, commit: Option<&CommitId>, observed: &Observed) -> Result<Resolved, Why> {
    let image = digest_of(component, commit, observed)?;
    if !component.lacks.is_empty() {
        return Err(Why::MissingCredential(component.lacks.join(", ")));
    }
    if let Some(missing) = missing_secrets(component, observed)? {
        return Err(Why::MissingSecret(missing));
    }
    Ok(fill_in(component, image))
}

fn fill_in(component: &RenderedComponent, image: StoredImage) -> Resolved {
    let pinned = PinnedImage { reference: image.source.clone(), digest: image.digest.clone() };
    let (objects, key) = component.at(&pinned);
    Resolved { objects, image, key: key.map(|key| key.as_str().to_owned()) }
}

/// The images of a revision that are known.
pub(crate) fn images_of(
    rendered: &Rendered,
    commit: Option<&CommitId>,
    observed: &Observed,
) -> BTreeMap<ComponentName, StoredImage> {
    let known =
        |component: &RenderedComponent| Some((component.name.clone(), digest_of(component, commit, observed).ok()?));
    rendered.components.iter().filter_map(known).collect()
}

/// Whether a registry has yet to say what an image of this revision is. That it has none is an answer.
pub(crate) fn images_unknown(rendered: &Rendered, commit: Option<&CommitId>, observed: &Observed) -> bool {
    rendered.components.iter().any(|c| matches!(digest_of(c, commit, observed), Err(Why::NotObserved(_))))
}

/// The digest first seen for a build is the one that counts, for as long as it is stored: a tag may move, a build not.
pub(crate) fn digest_of(
    component: &RenderedComponent,
    commit: Option<&CommitId>,
    observed: &Observed,
) -> Result<StoredImage, Why> {
    let source = image_source(&component.image).ok_or_else(|| match &component.image {
        Image::Unresolved { why } => Why::SourceUnavailable(why.clone()),
        _ => Why::NotObserved("an image without a reference".to_owned()),
    })?;
    if let Some(digest) = named_digest(&source) {
        return Ok(StoredImage { source, digest });
    }
    if let Some(image) = chosen(component, observed) {
        return Ok(image.clone());
    }
    if let Some(image) = stored_digest(component, commit, &source, observed) {
        return Ok(image.clone());
    }
    match observed.images.get(&source) {
        Some(ImageSeen::Found(digest)) => Ok(StoredImage { digest: digest.clone(), source }),
        Some(ImageSeen::Unfit { why, .. }) => Err(Why::Unfit { image: source, why: why.clone() }),
        Some(ImageSeen::Missing) => Err(taken_over(&component.image, observed, source)),
        Some(ImageSeen::Unknown(why)) => Err(Why::NotObserved(format!("registry: {why}"))),
        None => Err(Why::NotObserved("registry: not asked".to_owned())),
    }
}

/// The image is not in its place: it is taken over, or has to be built.
fn taken_over(image: &Image, observed: &Observed, source: String) -> Why {
    match (promotion::offer(image, observed), promotion::image_id(image)) {
        (Offer::Image(_), Some(id)) => Why::AwaitingStep(id),
        (Offer::Unknown(why), _) => Why::NotObserved(format!("registry: {why}")),
        (Offer::Image(_) | Offer::None, _) => Why::AwaitingBuild { image: source },
    }
}

/// What somebody chose for the component's build: an image of that very build, among the tool's own. A one-off keeps the
/// image it has, for another one would make it run again.
pub(crate) fn chosen<'a>(component: &RenderedComponent, observed: &'a Observed) -> Option<&'a StoredImage> {
    let Image::Built { build, .. } = &component.image else { return None };
    let image = observed.chosen.get(build.as_str()).filter(|_| component.kind != ComponentKind::OneOff)?;
    is_same_build(&image.source, &image_source(&component.image)?).then_some(image)
}

/// A build's digest is stored under its tag, in whichever revision. A prebuilt tag means what it meant when this very
/// commit became Ready; for another commit the registry is asked again.
fn stored_digest<'a>(
    component: &RenderedComponent,
    commit: Option<&CommitId>,
    source: &str,
    observed: &'a Observed,
) -> Option<&'a StoredImage> {
    let is_build = matches!(component.image, Image::Built { .. });
    let same = |stored: &&StoredRevision| is_build || (commit.is_some() && stored.revision.commit.as_ref() == commit);
    let fits = |image: &&StoredImage| image.source == source || (is_build && is_same_build(&image.source, source));
    // Under which of the tool's components a build stands says nothing: a renamed one has its image already.
    observed.stored.iter().filter(same).find_map(|stored| {
        stored.images.get(&component.name).filter(fits).or_else(|| stored.images.values().find(fits))
    })
}

/// Whether two references name one build of one tool, on whichever run image: all but the last part of the path, and the
/// build in the tag.
fn is_same_build(one: &str, other: &str) -> bool {
    let parts = |reference: &'_ str| {
        let (name, tag) = reference.rsplit_once(':')?;
        Some((name.rsplit_once('/')?.0.to_owned(), image::build_of(tag)?))
    };
    parts(one).is_some_and(|one| Some(one) == parts(other))
}

/// `repository:tag`, or the reference as written; none where the source could not be resolved.
pub(crate) fn image_source(image: &Image) -> Option<String> {
    match image {
        Image::Prebuilt { reference } => Some(reference.clone()),
        Image::Built { repository, build } => Some(format!("{repository}:{build}")),
        Image::Unresolved { .. } => None,
    }
}

fn named_digest(reference: &str) -> Option<Digest> {
    Digest::new(reference.split_once('@')?.1).ok()
}

fn missing_secrets(component: &RenderedComponent, observed: &Observed) -> Result<Option<Vec<String>>, Why> {
    if component.secrets.is_empty() {
        return Ok(None);
    }
    let Some(known) = &observed.secrets else {
        return Err(Why::NotObserved("secrets could not be listed".to_owned()));
    };
    let missing: Vec<_> =
        component.secrets.iter().filter(|variable| !known.contains(&secret_name(variable))).cloned().collect();
    Ok((!missing.is_empty()).then_some(missing))
}

/// References the registry must be asked about before planning: those that no stored revision already answers.
#[must_use]
pub fn images_needed(newest: &Rendered, commit: Option<&CommitId>, observed: &Observed) -> BTreeSet<String> {
    let open = |component: &&RenderedComponent| {
        matches!(
            digest_of(component, commit, observed),
            Err(Why::NotObserved(_) | Why::AwaitingBuild { .. } | Why::Unfit { .. })
        )
    };
    let places =
        |component: &RenderedComponent| [image_source(&component.image), promotion::source(&component.image, observed)];
    newest.components.iter().filter(open).flat_map(places).flatten().collect()
}

/// A held component is shown by its main object: the workload.
fn held_id(newest: &Rendered, component: &RenderedComponent) -> ObjectId {
    let workload = component.objects.iter().find(|o| matches!(o.id.kind.as_str(), "Deployment" | "CronJob"));
    workload.map_or_else(|| component_id(&newest.namespace, component.name.as_str()), |object| object.id.clone())
}

/// `component/<namespace>/<name>`: a component that has no object to show.
pub(crate) fn component_id(namespace: &str, name: &str) -> ObjectId {
    ObjectId {
        group: "toolforge.org".to_owned(),
        kind: "Component".to_owned(),
        namespace: Some(namespace.to_owned()),
        name: name.to_owned(),
    }
}

/// The files that count. A Procfile or `service.template` describes a tool only while no explicit file was ever stored
/// for it: afterwards a missing `toolforge.yaml` is an accident, not a wish.
#[must_use]
pub fn files_that_count(files: &Files, stored: &[StoredRevision]) -> Files {
    if stored.iter().any(|stored| stored.revision.files.config.is_some()) {
        Files { procfile: None, service_template: None, ..files.clone() }
    } else {
        files.clone()
    }
}
