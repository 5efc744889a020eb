//! When a revision is Ready it is stored, once; the oldest beyond [`KEPT`] go.
//!
//! A tool may be a folder among others, and a commit elsewhere in their repository is none of its own, as `git log --
//! <folder>` has it: see [`under_known_commit`].

use crate::decide::{Input, Newest, tool_id};
use crate::deployments::{self, State};
use crate::kinds::Identity;
use crate::observed::Observed;
use crate::plan::{Action, Cause, Request, Step};
use crate::prune::one_off_key;
use crate::readiness;
use crate::stored::{KEPT, StoredRevision};
use crate::target::Targets;
use renderer::length_prefixed::hex;
use renderer::{ObjectId, Platform, Rendered, Revision, Tool};
use sha2::{Digest as _, Sha256};

/// The steps that store the revision and drop what is beyond the number kept; none where it is stored already.
pub(crate) fn steps(revision: &Revision, targets: &Targets, input: &Input) -> Vec<Step> {
    let stored = &input.observed.stored;
    // A working tree is nobody's revision.
    if revision.commit.is_none() {
        return Vec::new();
    }
    let known = stored.iter().flat_map(|s| &s.one_offs).chain(&targets.one_offs).cloned();
    let ready = StoredRevision {
        number: stored.first().map_or(1, |newest| newest.number + 1),
        revision: revision.clone(),
        path: Some(input.tool.path.clone()),
        images: targets.images.clone(),
        platform: platform_digest(input.platform),
        one_offs: known.chain(finished(input)).collect(),
        rendered: newest_digest(input),
    };
    if stored.first().is_some_and(|newest| newest.says_the_same(&ready)) {
        return Vec::new();
    }
    let object = ready.to_object(&input.tool.name, &input.platform.namespace);
    let create = Step {
        id: object.id,
        action: Action::Create,
        cause: Cause::NewRevision,
        identity: Identity::Platform,
        changes: Vec::new(),
        requests: vec![Request::Create { body: object.value }],
    };
    let old = stored.iter().skip(KEPT - 1).filter_map(|old| drop_old(old, input));
    std::iter::once(create).chain(old).collect()
}

/// What was read, under the commit by which it is known: where a tool is a folder of a repository, and a newer commit left
/// that folder, and whatever it builds from elsewhere, as they were when its last deployment became Ready, then it is that
/// deployment still. Nothing is to be done, asked or said; the ten revisions that are kept are ten of the tool's own. After
/// another deployment, whatever became of it, the newer commit counts: it takes something back.
///
/// A commit of a tool with a repository of its own is always its own, also one that changes nothing.
#[must_use]
pub fn under_known_commit(read: Revision, tool: &Tool, observed: &Observed) -> Revision {
    let (Some(stored), false) = (observed.stored.first(), tool.path.is_empty()) else { return read };
    let known = &stored.revision;
    if read.commit.is_none() || known.commit.is_none() || stored.path.as_ref() != Some(&tool.path) {
        return read;
    }
    let read_as_known = Revision { commit: known.commit.clone(), facts: known.facts.clone(), ..read.clone() };
    let status = observed.live(&tool_id(&tool.name)).and_then(|live| live.get("status"));
    let last = deployments::listed(status).into_iter().next().map(|entry| entry.deployment);
    let runs = last.is_some_and(|last| last.state == State::Ready && known.commit.as_ref() == Some(&last.commit));
    if runs && read_as_known == *known { read_as_known } else { read }
}

/// Keys of one-offs that have succeeded in revisions that never became Ready.
fn finished<'a>(input: &'a Input) -> impl Iterator<Item = String> + 'a {
    let observed = input.observed;
    let jobs = observed.objects.keys().filter(|id| id.kind == "Job" && id.namespace.as_ref() == Some(&input.namespace));
    let jobs = jobs.filter(|id| observed.is_ours(id, input.tool.name.as_str(), input.field_manager));
    let jobs = jobs.filter_map(|id| observed.live(id)).filter(|job| readiness::job(job).is_ready());
    jobs.filter_map(one_off_key).map(str::to_owned)
}

/// What the newest revision is rendered to, hashed; none where there is none.
pub(crate) fn newest_digest(input: &Input) -> Option<String> {
    match input.newest {
        Newest::Revision(_, rendered) => Some(rendered_digest(rendered)),
        Newest::Unavailable(_) | Newest::Nothing => None,
    }
}

/// What a revision is rendered to, images aside, hashed: half a sha256 in hexadecimal. While it stays, whatever differs in
/// the cluster was done there; a new version of ours that renders otherwise changes it.
#[must_use]
pub fn rendered_digest(rendered: &Rendered) -> String {
    let mut hash = Sha256::new();
    let parts = rendered.components.iter().map(|component| (Some(&component.name), &component.objects));
    for (name, objects) in parts.chain([(None, &rendered.objects)]) {
        let objects: Vec<_> = objects.iter().map(|object| &object.value).collect();
        // Values of ours have text keys only, so serialising them does not fail.
        hash.update(serde_json::to_vec(&(name, objects)).unwrap_or_default());
    }
    hex(&hash.finalize()[..16])
}

fn drop_old(old: &StoredRevision, input: &Input) -> Option<Step> {
    let id = ObjectId {
        group: "apps".to_owned(),
        kind: "ControllerRevision".to_owned(),
        namespace: Some(input.platform.namespace.clone()),
        name: format!("{}-{}", input.tool.name, old.number),
    };
    let uid = input.observed.uid(&id).filter(|uid| !uid.is_empty())?.to_owned();
    Some(Step {
        id,
        action: Action::Prune,
        cause: Cause::NewRevision,
        identity: Identity::Platform,
        changes: Vec::new(),
        requests: vec![Request::Delete { uid }],
    })
}

/// sha256 of the platform's settings, in hexadecimal. The allowed hosts are left out: they decide what a file may say,
/// not what it means, and they grow with every tool. So are the context and the credentials' variable, which only the
/// reconciler's machine knows: `diff` elsewhere reads the settings as they are published, without them.
#[must_use]
pub fn platform_digest(platform: &Platform) -> String {
    let mut platform = Platform { allowed_hosts: Vec::new(), cluster: None, ..platform.clone() };
    platform.registry.credentials = None;
    // Who builds, and how much at once, changes nothing that runs.
    platform.builds = None;
    // Nor does it what commits must bring: it was brought before anything was rendered.
    platform.commits = renderer::signers::Commits::default();
    platform.licence = renderer::licence::Wanted::default();
    // Nor does it who opens values: which are opened stands in what is rendered.
    platform.secrets = None;
    // A Platform has text keys only, so serialising it does not fail.
    let bytes = serde_json::to_vec(&platform).unwrap_or_default();
    hex(&Sha256::digest(&bytes))
}
