//! The tags of builds that run, and what they said when they were last looked at. A value.

use planner::observed::{ImageSeen, Observed};
use renderer::{Digest, ToolName};
use std::collections::BTreeMap;

/// By tool and reference.
#[derive(Debug, Default)]
pub(super) struct Tags(BTreeMap<ToolName, BTreeMap<String, Tag>>);

#[derive(Debug)]
struct Tag {
    counts: Digest,
    /// What it points to in place of that.
    moved: Option<ImageSeen>,
}

impl Tags {
    /// Notes what runs, and adds to what is observed the tags that are known to point elsewhere.
    pub(super) fn add(&mut self, tool: &ToolName, observed: &mut Observed) {
        let mut before = self.0.remove(tool).unwrap_or_default();
        let mut now = BTreeMap::new();
        for image in planner::tags::running(observed) {
            let same = before.remove(&image.source).filter(|tag| tag.counts == image.digest);
            let tag = same.unwrap_or_else(|| Tag { counts: image.digest.clone(), moved: None });
            now.insert(image.source.clone(), tag);
        }
        for (reference, tag) in &now {
            if let Some(moved) = &tag.moved {
                observed.images.entry(reference.clone()).or_insert_with(|| moved.clone());
            }
        }
        if !now.is_empty() {
            self.0.insert(tool.clone(), now);
        }
    }

    /// All that are to be looked at.
    pub(super) fn all(&self) -> Vec<(ToolName, String)> {
        let of_tool = |(tool, tags): (&ToolName, &BTreeMap<String, Tag>)| {
            tags.keys().map(|reference| (tool.clone(), reference.clone())).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(of_tool).collect()
    }

    /// Whether the tool runs what was built under it.
    pub(super) fn has(&self, tool: &ToolName, reference: &str) -> bool {
        self.0.get(tool).is_some_and(|tags| tags.contains_key(reference))
    }

    /// What the registry said. Returns whether that is news for the tool. No answer, and a tag that is gone, are none.
    pub(super) fn answered(&mut self, tool: &ToolName, reference: &str, answer: &ImageSeen) -> bool {
        let Some(tag) = self.0.get_mut(tool).and_then(|tags| tags.get_mut(reference)) else { return false };
        let moved = match answer {
            ImageSeen::Found(digest) | ImageSeen::Unfit { digest, .. } => {
                (*digest != tag.counts).then(|| answer.clone())
            }
            ImageSeen::Missing | ImageSeen::Unknown(_) => return false,
        };
        let is_news = tag.moved != moved;
        tag.moved = moved;
        is_news
    }

    /// The tool is gone.
    pub(super) fn forget(&mut self, tool: &ToolName) {
        self.0.remove(tool);
    }
}
