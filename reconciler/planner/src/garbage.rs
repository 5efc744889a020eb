//! Which images of a tool may go?
//!
//! Kept is what anything refers to: pods and objects in the cluster, every stored revision (so that each `rollback`
//! finds its image), a pinned commit. Kept besides are the newest few of each component, because one of them may be on
//! its way to its first deployment, and what hangs on a kept image: its signatures, the parts of an index. All else goes.
//!
//! An input that could not be read says nothing, so everything of that tool stays. Age is the date an image gives
//! itself; one without a date is kept unless somebody says otherwise.

use crate::image::Blob;
use crate::moment::Moment;
use crate::pin::Pin;
use crate::stored::StoredRevision;
use renderer::{Digest, ToolName};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// One manifest in one repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shelved {
    /// With the registry's host: `registry.example/tool-x/web`.
    pub repository: String,
    /// The manifest's digest.
    pub digest: Digest,
    /// Its tags; none where it is known only as part of an index.
    pub tags: BTreeSet<String>,
    /// When the image was made, where it says so.
    pub created: Option<Moment>,
    /// What it takes: its manifest, configuration and layers.
    pub blobs: Vec<Blob>,
    /// The manifests it lists, where it is an index.
    pub parts: Vec<Digest>,
}

/// What a registry holds of one tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shelf {
    /// The tool.
    pub tool: ToolName,
    /// In all of its repositories.
    pub images: Vec<Shelved>,
    /// What could not be read, and why.
    pub unread: Vec<String>,
}

/// Which images a tool still needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct References {
    digests: BTreeMap<Digest, Keep>,
    /// `repository:tag`, where a pod names no digest.
    tags: BTreeSet<String>,
}

/// Why an image is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Keep {
    /// A pod or another object names it.
    Runs,
    /// The tool is pinned to it.
    Pinned,
    /// A stored revision ran it.
    Stored,
    /// One of the newest of its component.
    Newest,
    /// It does not say how old it is.
    Undated,
    /// It hangs on an image that is kept.
    Attached,
    /// Not everything could be read.
    Unread,
}

impl Keep {
    /// As people read it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Runs => "runs",
            Self::Pinned => "pinned",
            Self::Stored => "stored revision",
            Self::Newest => "newest",
            Self::Undated => "undated",
            Self::Attached => "attached",
            Self::Unread => "not everything could be read",
        }
    }
}

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How many of the newest images of a component are kept, besides those that are referred to.
    pub newest: usize,
    /// What becomes of images without a date.
    pub undated: Undated,
}

/// What becomes of images without a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undated {
    /// They stay.
    Keep,
    /// They count as oldest.
    Oldest,
}

/// One image and what is decided of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// The image.
    pub image: &'a Shelved,
    /// Why it is kept; none where it goes.
    pub keep: Option<Keep>,
}

impl References {
    /// What the cluster says: the tool itself, its stored revisions, and every object of its namespace.
    #[must_use]
    pub fn of<'a>(
        tool: Option<&Value>,
        stored: &[StoredRevision],
        objects: impl IntoIterator<Item = &'a Value>,
        now: Moment,
    ) -> Self {
        let mut found = Self::default();
        for object in objects {
            found.named_in(object);
        }
        // What is pinned is among the stored, but that of it which is pinned is the better reason. So a pin that can't be
        // read lets nothing go.
        let Pin { commit: pinned, images, .. } = Pin::of(tool, now);
        // What was chosen and is not deployed yet is nobody's but the pin's.
        found.digests.extend(images.into_values().map(|image| (image.digest, Keep::Pinned)));
        for revision in stored {
            let commit = revision.revision.commit.as_ref().map(renderer::CommitId::as_str);
            let is_pinned =
                pinned.as_ref().is_some_and(|pin| commit.is_some_and(|commit| commit.starts_with(pin.as_str())));
            let keep = if is_pinned { Keep::Pinned } else { Keep::Stored };
            for image in revision.images.values() {
                let known = found.digests.entry(image.digest.clone()).or_insert(keep);
                *known = keep.min(*known);
            }
        }
        found
    }

    /// Every `image` and `imageID`, wherever it stands: pods have three lists of containers, and templates hold pods.
    fn named_in(&mut self, value: &Value) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    match value {
                        Value::String(text) if key == "image" || key == "imageID" => self.named(text),
                        other => self.named_in(other),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.named_in(item)),
            _ => {}
        }
    }

    fn named(&mut self, reference: &str) {
        match reference.rsplit_once('@') {
            Some((_, digest)) => {
                if let Ok(digest) = Digest::new(digest) {
                    self.digests.insert(digest, Keep::Runs);
                }
            }
            None => drop(self.tags.insert(reference.to_owned())),
        }
    }

    fn of_image(&self, image: &Shelved) -> Option<Keep> {
        let by_tag = || image.tags.iter().any(|tag| self.tags.contains(&format!("{}:{tag}", image.repository)));
        self.digests.get(&image.digest).copied().or_else(|| by_tag().then_some(Keep::Runs))
    }
}

/// Decides about every image of a shelf, in its order. `references` says why, where they could not be read.
#[must_use]
pub fn sort<'a>(shelf: &'a Shelf, references: Result<&References, &str>, policy: Policy) -> Vec<Verdict<'a>> {
    let references = match references {
        Ok(references) if shelf.unread.is_empty() => references,
        _ => return shelf.images.iter().map(|image| Verdict { image, keep: Some(Keep::Unread) }).collect(),
    };
    let mut kept: BTreeMap<Place<'a>, Keep> = BTreeMap::new();
    for image in &shelf.images {
        if let Some(keep) = references.of_image(image) {
            kept.insert(place(image), keep);
        }
    }
    newest(shelf, policy, &mut kept);
    attached(shelf, references, &mut kept);
    shelf.images.iter().map(|image| Verdict { image, keep: kept.get(&place(image)).copied() }).collect()
}

/// A manifest is deleted from one repository, whatever others have.
type Place<'a> = (&'a str, &'a Digest);

fn place(image: &Shelved) -> Place<'_> {
    (&image.repository, &image.digest)
}

fn newest<'a>(shelf: &'a Shelf, policy: Policy, kept: &mut BTreeMap<Place<'a>, Keep>) {
    let mut of: BTreeMap<&str, Vec<&'a Shelved>> = BTreeMap::new();
    let own = shelf.images.iter().filter(|image| !image.tags.is_empty() && subject(image).is_none());
    for image in own.filter(|image| !kept.contains_key(&place(image))).collect::<Vec<_>>() {
        if image.created.is_none() && policy.undated == Undated::Keep {
            kept.insert(place(image), Keep::Undated);
        } else {
            of.entry(&image.repository).or_default().push(image);
        }
    }
    for mut images in of.into_values() {
        images.sort_by(|one, other| other.created.cmp(&one.created).then_with(|| one.digest.cmp(&other.digest)));
        kept.extend(images.into_iter().take(policy.newest).map(|image| (place(image), Keep::Newest)));
    }
}

/// Signatures of signatures are not followed: they hang on something that hangs.
fn attached<'a>(shelf: &'a Shelf, references: &References, kept: &mut BTreeMap<Place<'a>, Keep>) {
    let parts: Vec<Place<'a>> = shelf
        .images
        .iter()
        .filter(|image| kept.contains_key(&place(image)))
        .flat_map(|index| index.parts.iter().map(|part| (index.repository.as_str(), part)))
        .collect();
    for part in parts {
        kept.entry(part).or_insert(Keep::Attached);
    }
    for image in &shelf.images {
        let Some(subject) = subject(image) else { continue };
        // What runs may have lost its tag, and with it its place on the shelf.
        if kept.contains_key(&(image.repository.as_str(), &subject)) || references.digests.contains_key(&subject) {
            kept.entry(place(image)).or_insert(Keep::Attached);
        }
    }
}

/// The image that this one says something about, by the tags that cosign and the referrers' fallback use:
/// `sha256-<digest>`, or the same with `.sig`, `.att` or `.sbom`.
fn subject(image: &Shelved) -> Option<Digest> {
    let of_tag = |tag: &String| {
        let (digest, _) = tag.split_once('.').unwrap_or((tag, ""));
        Digest::new(digest.strip_prefix("sha256-").map(|hex| format!("sha256:{hex}"))?).ok()
    };
    let mut all = image.tags.iter().map(of_tag);
    let first = all.next()??;
    all.all(|other| other.as_ref() == Some(&first)).then_some(first)
}

/// What some images take, each blob counted once.
pub fn size<'a>(images: impl IntoIterator<Item = &'a Shelved>) -> u64 {
    blobs(images).values().fold(0, |sum: u64, size| sum.saturating_add(*size))
}

/// What becomes free when everything goes that is to go, as far as these verdicts see: a blob that an image elsewhere
/// shares stays. The registry gives the space back when it collects what nothing names.
pub fn freed(verdicts: &[Verdict<'_>]) -> u64 {
    let of = |goes: bool| blobs(verdicts.iter().filter(move |v| v.keep.is_none() == goes).map(|v| v.image));
    let stays = of(false);
    let goes = of(true).into_iter().filter(|(digest, _)| !stays.contains_key(digest));
    goes.fold(0, |sum: u64, (_, size)| sum.saturating_add(size))
}

fn blobs<'a>(images: impl IntoIterator<Item = &'a Shelved>) -> BTreeMap<&'a Digest, u64> {
    images.into_iter().flat_map(|image| &image.blobs).map(|blob| (&blob.digest, blob.size_bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::digest_of;
    use crate::stored::StoredImage;
    use renderer::{CommitId, ComponentName, Files, Revision};
    use serde_json::json;

    const REPOSITORY: &str = "registry.example/tool-x/web";
    const FEW: Policy = Policy { newest: 1, undated: Undated::Keep };

    fn digest(name: &str) -> Digest {
        digest_of(name.as_bytes())
    }

    fn image(name: &str, day: Option<i64>) -> Shelved {
        let blob = |text: &str, size_bytes| Blob { digest: digest(text), size_bytes };
        Shelved {
            repository: REPOSITORY.to_owned(),
            digest: digest(name),
            tags: [name.to_owned()].into(),
            created: day.map(|day| Moment::from_unix_secs(day * 86_400)),
            blobs: vec![blob("base", 100), blob(&format!("{name} layer"), 10)],
            parts: Vec::new(),
        }
    }

    fn shelf(images: Vec<Shelved>) -> Shelf {
        Shelf { tool: ToolName::new("x").expect("a name"), images, unread: Vec::new() }
    }

    fn stored(number: i64, commit: &str, image: &str) -> StoredRevision {
        let revision = Revision {
            commit: CommitId::new(commit.repeat(40)).ok(),
            branch: "main".to_owned(),
            tree: None,
            files: Files::default(),
            resolved: BTreeMap::new(),
            facts: Default::default(),
        };
        let images = [(
            ComponentName::new("web").expect("a name"),
            StoredImage { source: "s".to_owned(), digest: digest(image) },
        )];
        StoredRevision {
            number,
            revision,
            path: None,
            images: images.into(),
            platform: String::new(),
            one_offs: BTreeSet::new(),
            rendered: None,
        }
    }

    /// What is decided, by the first tag of each image; `-` where there is none.
    fn told(shelf: &Shelf, references: &References, policy: Policy) -> Vec<(String, Option<Keep>)> {
        let name = |image: &Shelved| image.tags.first().map_or("-", String::as_str).chars().take(8).collect::<String>();
        sort(shelf, Ok(references), policy).iter().map(|v| (name(v.image), v.keep)).collect()
    }

    fn row(name: &str, keep: impl Into<Option<Keep>>) -> (String, Option<Keep>) {
        (name.to_owned(), keep.into())
    }

    #[test]
    fn what_anything_refers_to_stays_and_the_newest_and_nothing_else() {
        let pod = json!({"spec": {"initContainers": [{"image": format!("{REPOSITORY}@{}", digest("init"))}],
            "containers": [{"image": format!("{REPOSITORY}:by-tag")}]},
            "status": {"containerStatuses": [{"imageID": format!("{REPOSITORY}@{}", digest("started"))}]}});
        let cron = json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": {"containers": [
            {"image": format!("{REPOSITORY}@{}", digest("nightly"))}]}}}}}});
        let tool = json!({"spec": {"pin": {"commit": "aaaa"}}});
        let revisions = [stored(2, "b", "last-good"), stored(1, "a", "pinned")];
        let references = References::of(Some(&tool), &revisions, [&pod, &cron], Moment::from_unix_secs(0));
        let names = ["init", "by-tag", "started", "nightly", "last-good", "pinned"];
        let mut images: Vec<_> = names.iter().map(|name| image(name, Some(20_000))).collect();
        images.extend([image("old", Some(20_001)), image("new", Some(20_002)), image("no-date", None)]);
        let rows = told(&shelf(images), &references, FEW);
        let runs = ["init", "by-tag", "started", "nightly"].map(|name| row(name, Keep::Runs));
        let rest = [
            row("last-goo", Keep::Stored),
            row("pinned", Keep::Pinned),
            row("old", None),
            row("new", Keep::Newest),
            row("no-date", Keep::Undated),
        ];
        assert_eq!(rows, runs.into_iter().chain(rest).collect::<Vec<_>>());
    }

    #[test]
    fn the_newest_are_counted_for_each_component_and_the_undated_go_only_when_told() {
        let mut other = image("bot", Some(20_000));
        other.repository = "registry.example/tool-x/bot".to_owned();
        let all = shelf(vec![image("new", Some(20_002)), image("old", Some(20_001)), image("no-date", None), other]);
        let policy = Policy { newest: 2, undated: Undated::Oldest };
        let rows = told(&all, &References::default(), policy);
        let newest = Keep::Newest;
        assert_eq!(rows, [row("new", newest), row("old", newest), row("no-date", None), row("bot", newest)]);
    }

    #[test]
    fn what_hangs_on_an_image_shares_its_fate() {
        let hung = |name: &str, on: &str, suffix: &str| {
            let tag = format!("sha256-{}{suffix}", &digest(on).as_str()[7..]);
            Shelved { tags: [tag].into(), ..image(name, None) }
        };
        let index = Shelved { parts: vec![digest("amd64"), digest("arm64")], ..image("index", Some(20_001)) };
        let part = |name: &str| Shelved { tags: BTreeSet::new(), ..image(name, Some(1)) };
        let all = shelf(vec![
            index,
            part("amd64"),
            part("left-over"),
            hung("1", "index", ".sig"),
            image("gone", Some(20_000)),
            hung("2", "gone", ".att"),
            hung("3", "never-seen", ""),
            hung("4", "lost-its-tag", ".sig"),
        ]);
        let references = References::of(None, &[stored(1, "a", "lost-its-tag")], [], Moment::from_unix_secs(0));
        let rows: Vec<_> = told(&all, &references, FEW).into_iter().map(|(_, keep)| keep).collect();
        let (newest, attached) = (Some(Keep::Newest), Some(Keep::Attached));
        assert_eq!(rows, [newest, attached, None, attached, None, None, None, attached]);
    }

    #[test]
    fn where_something_could_not_be_read_everything_stays() {
        let mut all = shelf(vec![image("a", Some(20_000)), image("b", Some(20_001))]);
        let unread = |verdicts: Vec<Verdict<'_>>| verdicts.iter().all(|verdict| verdict.keep == Some(Keep::Unread));
        assert!(unread(sort(&all, Err("stored revision x-3: no data"), FEW)));
        all.unread.push("tag c: 500".to_owned());
        assert!(unread(sort(&all, Ok(&References::default()), FEW)));
    }

    #[test]
    fn shared_layers_are_counted_once_and_freed_with_their_last_image() {
        let all = shelf(vec![image("a", Some(20_000)), image("b", Some(20_001)), image("c", Some(20_002))]);
        assert_eq!(size(&all.images), 130);
        assert_eq!(freed(&sort(&all, Ok(&References::default()), FEW)), 20, "the base stays for the newest");
        let none = Policy { newest: 0, undated: Undated::Keep };
        assert_eq!(freed(&sort(&all, Ok(&References::default()), none)), 130);
    }
}
