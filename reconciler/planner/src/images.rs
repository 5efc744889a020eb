//! From source to rollout, in one row a component: where its image comes from, why, and what follows from it.
//!
//! Nothing is decided here: the rows say of the components of the newest revision what the plan makes of their images, and
//! look beyond it. What waits for an image is compared with the world as it would be with one, so that a person sees before
//! the build what the rollout after it will do.

use crate::autoscale;
use crate::compare::{Verdict, compare};
use crate::decide::{Input, Newest};
use crate::explain::short_digests;
use crate::image::build_of;
use crate::observed::Observed;
use crate::plan::{Action, Plan, Why};
use crate::promotion::{self, Offer};
use crate::stored::StoredImage;
use crate::target::{component_id, digest_of, image_source};
use renderer::diagnostic::on_one_line;
use renderer::rendered::{ComponentKind, Image, PinnedImage};
use renderer::{BuildInputs, ComponentName, Digest, ObjectId, RenderedComponent, ToolName};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// What each component's image is built from, by component.
pub type Inputs = BTreeMap<ComponentName, BuildInputs>;

/// A component's image, and what follows from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageRow {
    /// The component.
    pub component: ComponentName,
    /// Where its image comes from.
    pub supply: Supply,
    /// `repository:tag`, or the reference as written; none where its source is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The digest that runs, or will; none where it is not made yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// What its tag points to by now, where somebody moved it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag_now: Option<Digest>,
    /// What differs from the build that runs; empty where nothing does, or nothing was built.
    pub changed: Vec<Part>,
    /// It runs already.
    pub runs: bool,
    /// What changes on the cluster when the image is there.
    pub then: Vec<Follows>,
}

/// Where an image comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "is", content = "of")]
pub enum Supply {
    /// It is there.
    Reuse,
    /// It is there, and stands on an older run image than the platform's.
    Rebase,
    /// The tool that this one is promoted from has it.
    Promote(ToolName),
    /// The platform builds it.
    Build,
    /// Somebody else has to bring it: the platform builds nothing, or the file names it.
    Await,
    /// It is there, and does not run on this platform.
    Unfit,
    /// It can't be told.
    Unknown(String),
}

/// A part of what a build is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Part {
    /// The files.
    Tree,
    /// `build:` in toolforge.yaml: packages, buildpacks, environment, nonce.
    Section,
    /// The platform's builder, or the buildpacks it allows.
    Builder,
}

/// What changes on the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Follows {
    /// The object.
    pub id: ObjectId,
    /// How.
    pub action: Action,
}

/// A row for each component of the newest revision, in name order. `inputs` are of the newest and of the last good
/// revision, both by the platform's settings of today.
#[must_use]
pub fn images(input: &Input, plan: &Plan, inputs: (&Inputs, &Inputs)) -> Vec<ImageRow> {
    let Newest::Revision(revision, rendered) = input.newest else { return Vec::new() };
    let row = |component: &RenderedComponent| {
        let found = digest_of(component, revision.commit.as_ref(), input.observed);
        let runs = running(component, input.observed);
        let digest = match (&found, promotion::offer(&component.image, input.observed)) {
            (Ok(image), _) => Some(image.digest.clone()),
            (Err(_), Offer::Image(image)) => Some(image.digest),
            (Err(_), _) => None,
        };
        ImageRow {
            component: component.name.clone(),
            image: image_source(&component.image),
            changed: changed(component, runs, inputs),
            tag_now: None,
            runs: digest.is_some() && digest.as_ref() == runs.map(|image| &image.digest),
            then: if found.is_ok() { steps_of(component, plan) } else { ahead(component, digest.as_ref(), input) },
            supply: supply(found.map(drop), component, input),
            digest,
        }
    };
    rendered.components.iter().map(row).collect()
}

fn running<'a>(component: &RenderedComponent, observed: &'a Observed) -> Option<&'a StoredImage> {
    observed.stored.first()?.images.get(&component.name)
}

fn supply(found: Result<(), Why>, component: &RenderedComponent, input: &Input) -> Supply {
    let builds = input.platform.builds.is_some() && matches!(component.image, Image::Built { .. });
    match (found, &input.observed.forerunner) {
        (Ok(()), _) => Supply::Reuse,
        (Err(Why::AwaitingStep(_)), Some(forerunner)) => Supply::Promote(forerunner.name.clone()),
        (Err(Why::AwaitingBuild { .. }), _) if builds => Supply::Build,
        (Err(Why::AwaitingBuild { .. }), _) => Supply::Await,
        (Err(Why::Unfit { .. }), _) => Supply::Unfit,
        (Err(why), _) => Supply::Unknown(why.to_string()),
    }
}

/// What a build is made of otherwise than the one that runs. The builder of that one is known by its id alone.
fn changed(component: &RenderedComponent, runs: Option<&StoredImage>, (newest, last): (&Inputs, &Inputs)) -> Vec<Part> {
    let (Some(new), Some(old), Some(runs)) = (newest.get(&component.name), last.get(&component.name), runs) else {
        return Vec::new();
    };
    let section = |inputs: &BuildInputs| {
        let names: Vec<_> = inputs.buildpacks.iter().map(|(name, _)| name.clone()).collect();
        (inputs.packages.clone(), names, inputs.envvars.clone(), inputs.latest, inputs.nonce.clone())
    };
    let built_as_today = runs.source.rsplit_once(':').and_then(|(_, tag)| build_of(tag)) == Some(old.id());
    let parts = [
        (new.tree != old.tree, Part::Tree),
        (section(new) != section(old), Part::Section),
        (!built_as_today, Part::Builder),
    ];
    parts.into_iter().filter_map(|(differs, part)| differs.then_some(part)).collect()
}

/// What the plan does for a component whose image is there.
fn steps_of(component: &RenderedComponent, plan: &Plan) -> Vec<Follows> {
    let is_its = |id: &ObjectId| component.objects.iter().any(|object| object.id == *id);
    let steps = plan.steps.iter().map(|step| (&step.id, Some(step.action)));
    let held = plan.held.iter().map(|held| (&held.id, held.action));
    let all = steps.chain(held).filter(|(id, _)| is_its(id));
    all.filter_map(|(id, action)| Some(Follows { id: id.clone(), action: action? })).collect()
}

/// What would be done for a component with its image there. A digest that nobody knows yet is like no other.
fn ahead(component: &RenderedComponent, digest: Option<&Digest>, input: &Input) -> Vec<Follows> {
    let unknown = || Digest::of_sha256(&[0; 32]);
    let Some(reference) = image_source(&component.image) else { return Vec::new() };
    if component.kind == ComponentKind::OneOff {
        let id = component_id(&input.namespace, component.name.as_str());
        return vec![Follows { id, action: Action::Create }];
    }
    let image = PinnedImage { reference, digest: digest.cloned().unwrap_or_else(unknown) };
    let (objects, _) = component.at(&image);
    let follows = |object: &renderer::Object| {
        let object = autoscale::desired(object, input.observed, input.field_manager);
        let action = match compare(&object, input).0 {
            Verdict::Step(step) => step.action,
            Verdict::Held(held) => held.action?,
            Verdict::Unconfirmed(_) => Action::Create,
            Verdict::Asks(_) => Action::Configure,
            Verdict::Same(_) => return None,
        };
        Some(Follows { id: object.id.clone(), action })
    };
    objects.iter().filter_map(follows).collect()
}

impl ImageRow {
    /// Whether it was built, and is there: then a registry can say more of it.
    #[must_use]
    pub fn is_build(&self) -> bool {
        let tag = self.image.as_ref().and_then(|image| image.rsplit_once(':'));
        self.supply == Supply::Reuse && tag.is_some_and(|(_, tag)| build_of(tag).is_some())
    }

    /// Takes in what the registry says: the run image that the image stands on, and what its tag points to.
    pub fn learn(&mut self, stands_on: Option<&str>, tag: Option<Digest>, run_image: &str) {
        let digest = |reference: &str| reference.split_once('@').map(|(_, digest)| digest.to_owned());
        let (old, new) = (stands_on.and_then(digest), digest(run_image));
        if old.is_some() && new.is_some() && old != new {
            self.supply = Supply::Rebase;
        }
        self.tag_now = tag.filter(|tag| Some(tag) != self.digest.as_ref());
    }
}

/// The rows in words, below the plan; a component whose image runs and stays takes no line.
#[must_use]
pub fn told(rows: &[ImageRow]) -> String {
    let lines = rows.iter().filter(|row| !row.runs || row.supply != Supply::Reuse || row.tag_now.is_some());
    lines.map(|row| format!("  {}\n", on_one_line(&short_digests(&row.to_string())))).collect()
}

impl fmt::Display for ImageRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "image {}: {}", self.component, self.supply)?;
        match (&self.digest, &self.image) {
            (Some(digest), _) => write!(f, " {digest}")?,
            (None, Some(image)) if !matches!(self.supply, Supply::Unknown(_)) => {
                write!(f, " {}", crate::explain::short_build(image))?;
            }
            _ => {}
        }
        if let Supply::Promote(from) = &self.supply {
            write!(f, " of {from}")?;
        }
        if self.supply == Supply::Rebase {
            f.write_str(", the platform has a newer run image")?;
        }
        if let Some(tag) = &self.tag_now {
            write!(f, ", whose tag was moved to {tag}")?;
        }
        if !self.changed.is_empty() {
            let parts: Vec<_> = self.changed.iter().map(ToString::to_string).collect();
            write!(f, ", another {}", parts.join(" and "))?;
        }
        let then: Vec<_> = self.then.iter().map(|follows| format!("{} {}", follows.action, follows.id)).collect();
        if then.is_empty() { Ok(()) } else { write!(f, "; then {}", then.join(", ")) }
    }
}

impl fmt::Display for Supply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reuse => f.write_str("reuse"),
            Self::Rebase => f.write_str("rebase"),
            Self::Promote(_) => f.write_str("promote"),
            Self::Build => f.write_str("build"),
            Self::Await => f.write_str("await"),
            Self::Unfit => f.write_str("unfit"),
            Self::Unknown(why) => write!(f, "unknown: {why}"),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tree => "tree",
            Self::Section => "build section",
            Self::Builder => "builder",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use renderer::TreeId;
    use std::collections::BTreeSet;

    fn inputs(tree: char) -> BuildInputs {
        BuildInputs {
            tree: TreeId::new(tree.to_string().repeat(40)).expect("a tree"),
            packages: BTreeSet::new(),
            buildpacks: vec![("python".to_owned(), "sha256:1".to_owned())],
            envvars: BTreeMap::new(),
            builder: "sha256:2".to_owned(),
            target: "linux/amd64".to_owned(),
            latest: false,
            nonce: None,
        }
    }

    fn web() -> ComponentName {
        ComponentName::new("web").expect("a name")
    }

    fn digest(digit: u8) -> Digest {
        Digest::of_sha256(&[digit; 32])
    }

    /// What differs between a build and the one that runs, whose id is that of `built`.
    fn differs(new: BuildInputs, old: BuildInputs, built: &BuildInputs) -> Vec<Part> {
        let component = RenderedComponent {
            lacks: Vec::new(),
            blind: false,
            name: web(),
            kind: ComponentKind::Continuous,
            image: Image::Built { repository: "r.example/tool-x/web".to_owned(), build: new.id() },
            secrets: Vec::new(),
            objects: Vec::new(),
            one_off_key: None,
        };
        let runs = StoredImage { source: format!("r.example/tool-x/web:{}", built.id()), digest: digest(1) };
        let of = |inputs| Inputs::from([(web(), inputs)]);
        changed(&component, Some(&runs), (&of(new), &of(old)))
    }

    #[test]
    fn the_part_that_makes_it_another_build_is_named() {
        let old = inputs('a');
        assert_eq!(differs(old.clone(), old.clone(), &old), []);
        assert_eq!(differs(inputs('b'), old.clone(), &old), [Part::Tree]);
        for change in [
            |new: &mut BuildInputs| new.packages.extend(["tesseract-ocr".to_owned()]),
            |new: &mut BuildInputs| new.nonce = Some("1".to_owned()),
            |new: &mut BuildInputs| new.buildpacks.clear(),
            |new: &mut BuildInputs| new.envvars.extend([("A".to_owned(), "b".to_owned())]),
        ] {
            let mut new = inputs('a');
            change(&mut new);
            assert_eq!(differs(new, old.clone(), &old), [Part::Section]);
        }
        // By today's settings the same source has another id than it was built under.
        let built = BuildInputs { builder: "sha256:0".to_owned(), ..inputs('a') };
        assert_eq!(differs(old.clone(), old.clone(), &built), [Part::Builder]);
        assert_eq!(differs(inputs('b'), old, &built), [Part::Tree, Part::Builder]);
    }

    fn row(supply: Supply, runs: bool) -> ImageRow {
        let id = ObjectId {
            group: "apps".into(),
            kind: "Deployment".into(),
            namespace: Some("tool-x".into()),
            name: "web".into(),
        };
        let digest = (!matches!(supply, Supply::Build | Supply::Await | Supply::Unknown(_))).then(|| digest(1));
        let changed = if runs { Vec::new() } else { vec![Part::Tree, Part::Section] };
        let then = if runs { Vec::new() } else { vec![Follows { id, action: Action::Configure }] };
        let image = Some(format!("r.example/tool-x/web:{}", "0123456789abcdef".repeat(4)));
        ImageRow { component: web(), supply, image, digest, tag_now: None, changed, runs, then }
    }

    #[test]
    fn each_way_of_an_image_reads_as_a_line_and_one_that_stays_takes_none() {
        let beta = ToolName::new("x-beta").expect("a name");
        let rows = [
            row(Supply::Reuse, true),
            row(Supply::Reuse, false),
            row(Supply::Rebase, true),
            row(Supply::Promote(beta), false),
            row(Supply::Build, false),
            row(Supply::Unknown("registry: 503".to_owned()), true),
        ];
        let (digest, tail) =
            ("sha256:010101010101", "another tree and build section; then configure deployment/tool-x/web");
        let expected = [
            format!("  image web: reuse {digest}, {tail}\n"),
            format!("  image web: rebase {digest}, the platform has a newer run image\n"),
            format!("  image web: promote {digest} of x-beta, {tail}\n"),
            format!("  image web: build 012345, {tail}\n"),
            "  image web: unknown: registry: 503\n".to_owned(),
        ];
        assert_eq!(told(&rows), expected.concat());
    }

    #[test]
    fn an_image_on_another_run_image_than_today_s_is_to_be_rebased() {
        let on = |digit: char| format!("registry.example/run@sha256:{}", digit.to_string().repeat(64));
        let learnt = |stands_on: Option<&str>, run: &str| {
            let mut row = row(Supply::Reuse, true);
            row.learn(stands_on, Some(digest(1)), run);
            assert_eq!(row.tag_now, None);
            row.supply
        };
        assert_eq!(learnt(Some(&on('a')), &on('b')), Supply::Rebase);
        assert_eq!(learnt(Some(&on('a')), &on('a')), Supply::Reuse);
        assert_eq!(learnt(None, &on('b')), Supply::Reuse, "nobody knows");
        assert_eq!(learnt(Some("run:latest"), &on('b')), Supply::Reuse);
    }

    #[test]
    fn a_tag_that_was_moved_is_told_also_of_an_image_that_stays() {
        let mut row = row(Supply::Reuse, true);
        assert!(row.is_build() && told(&[row.clone()]).is_empty());
        row.learn(None, Some(digest(2)), "run");
        let expected = "  image web: reuse sha256:010101010101, whose tag was moved to sha256:020202020202\n";
        assert_eq!(told(&[row]), expected);
    }
}
