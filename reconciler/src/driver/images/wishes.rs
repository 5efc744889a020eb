//! Which images each tool needs to know, for what, and what is known of them. A value: time is an argument.

use crate::queue::Moment;
use planner::observed::ImageSeen;
use renderer::{CommitId, ToolName};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// An answer that takes longer is told as trouble. Below it is only on its way: a commit that is answered in the usual
/// moment changes no condition twice.
const PATIENCE: Duration = Duration::from_secs(5);
/// A tag can be moved while a rollout goes on: what it meant is gone by, and asked again after this.
const FRESH: Duration = Duration::from_secs(60);

/// What a tag is resolved for. For another commit, and for another try, it is asked again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Occasion {
    pub commit: Option<CommitId>,
    pub retry: Option<String>,
    /// Builds that say that they have made their images.
    pub built: BTreeSet<String>,
}

/// What all tools need.
#[derive(Debug, Default)]
pub(super) struct Wishes(BTreeMap<ToolName, Wish>);

#[derive(Debug, Default)]
struct Wish {
    occasion: Occasion,
    /// Since when something is open, whatever it is: who asks for something else all the time is not kept waiting.
    open: Option<Moment>,
    images: BTreeMap<String, Image>,
}

#[derive(Debug)]
struct Image {
    /// None while nothing was said yet.
    answer: Option<ImageSeen>,
    asked: Moment,
}

/// What is known of what a pass needs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub images: BTreeMap<String, ImageSeen>,
    /// What nothing is known of yet.
    pub open: BTreeSet<String>,
    /// How long a pass waits for that; none where nothing is open, or it has waited long enough.
    pub patience: Option<Duration>,
    /// What is to be asked now, and whether that is news.
    pub ask: Vec<(String, bool)>,
}

impl Wishes {
    /// A tool needs to know these images now, and no others any more.
    pub(super) fn needs(
        &mut self,
        tool: &ToolName,
        occasion: Occasion,
        needed: BTreeSet<String>,
        now: Moment,
    ) -> Known {
        let mut known = Known::default();
        if needed.is_empty() {
            self.forget(tool);
            return known;
        }
        let wish = self.0.entry(tool.clone()).or_default();
        if wish.occasion != occasion {
            (wish.occasion, wish.images) = (occasion, BTreeMap::new());
        }
        wish.images.retain(|reference, _| needed.contains(reference));
        for reference in needed {
            let image = wish.images.entry(reference.clone()).or_insert_with(|| {
                known.ask.push((reference.clone(), true));
                Image { answer: None, asked: now }
            });
            match &image.answer {
                Some(answer) => {
                    if matches!(answer, ImageSeen::Found(_)) && now.saturating_sub(image.asked) >= FRESH {
                        image.asked = now;
                        known.ask.push((reference.clone(), false));
                    }
                    known.images.insert(reference, answer.clone());
                }
                None => drop(known.open.insert(reference)),
            }
        }
        wish.open = (!known.open.is_empty()).then(|| wish.open.unwrap_or(now));
        known.patience = wish.open.and_then(|since| (since + PATIENCE).checked_sub(now)).filter(|left| !left.is_zero());
        known
    }

    /// What was said of an image when it was asked at `asked`. Returns whether that is news for the tool.
    pub(super) fn answered(&mut self, tool: &ToolName, reference: &str, answer: &ImageSeen, asked: Moment) -> bool {
        let image = self.0.get_mut(tool).and_then(|wish| wish.images.get_mut(reference));
        // What was asked for another occasion is asked once more for this one.
        let Some(image) = image.filter(|image| image.asked <= asked) else { return false };
        let no_answer = matches!(answer, ImageSeen::Unknown(_));
        if image.answer.as_ref() == Some(answer) || no_answer && matches!(image.answer, Some(ImageSeen::Found(_))) {
            return false;
        }
        image.answer = Some(answer.clone());
        true
    }

    /// Whether the tool still needs to know.
    pub(super) fn wants(&self, tool: &ToolName, reference: &str) -> bool {
        self.0.get(tool).is_some_and(|wish| wish.images.contains_key(reference))
    }

    /// Those of which this was said.
    pub(super) fn with(&self, said: impl Fn(&ImageSeen) -> bool) -> Vec<(ToolName, String)> {
        let of_wish = |(tool, wish): (&ToolName, &Wish)| {
            let images = wish.images.iter().filter(|(_, image)| image.answer.as_ref().is_some_and(&said));
            images.map(|(reference, _)| (tool.clone(), reference.clone())).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(of_wish).collect()
    }

    /// The tool needs nothing any more.
    pub(super) fn forget(&mut self, tool: &ToolName) {
        self.0.remove(tool);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use renderer::Digest;

    const WEB: &str = "quay.example/web:1";

    fn tool() -> ToolName {
        ToolName::new("a").expect("a name")
    }

    fn of(digit: char) -> Occasion {
        Occasion { commit: CommitId::new(digit.to_string().repeat(40)).ok(), ..Occasion::default() }
    }

    fn found(digit: char) -> ImageSeen {
        ImageSeen::Found(Digest::new(format!("sha256:{}", digit.to_string().repeat(64))).expect("a digest"))
    }

    fn down() -> ImageSeen {
        ImageSeen::Unknown("quay.example did not answer in 10 s".to_owned())
    }

    const fn at(secs: u64) -> Moment {
        Duration::from_secs(secs)
    }

    fn needs(wishes: &mut Wishes, occasion: char, secs: u64) -> Known {
        wishes.needs(&tool(), of(occasion), [WEB.to_owned()].into(), at(secs))
    }

    #[test]
    fn an_answer_is_waited_for_but_not_for_long_and_not_anew_with_each_commit() {
        let mut wishes = Wishes::default();
        let first = needs(&mut wishes, '1', 0);
        assert_eq!((first.patience, first.ask), (Some(PATIENCE), vec![(WEB.to_owned(), true)]));
        let again = needs(&mut wishes, '1', 1);
        assert_eq!((again.patience, again.ask.len(), again.open.len()), (Some(at(4)), 0, 1), "it is asked once");
        let next = needs(&mut wishes, '2', 4);
        assert_eq!((next.patience, next.ask.len()), (Some(at(1)), 1));
        let late = needs(&mut wishes, '2', 5);
        assert_eq!((late.patience, late.open.len()), (None, 1));
        assert!(wishes.answered(&tool(), WEB, &found('a'), at(4)));
        let known = needs(&mut wishes, '2', 6);
        assert_eq!((known.patience, known.open.len(), &known.images[WEB]), (None, 0, &found('a')));
        assert_eq!(needs(&mut wishes, '3', 7).patience, Some(PATIENCE), "that one is over");
    }

    #[test]
    fn what_was_asked_for_one_commit_answers_no_other() {
        let mut wishes = Wishes::default();
        needs(&mut wishes, '1', 0);
        needs(&mut wishes, '2', 2);
        assert!(!wishes.answered(&tool(), WEB, &found('a'), at(1)), "the tag may have been moved since");
        assert_eq!(needs(&mut wishes, '2', 3).open.len(), 1);
        assert!(wishes.answered(&tool(), WEB, &found('b'), at(2)));
        let retry = Occasion { retry: Some("now".to_owned()), ..of('2') };
        assert_eq!(wishes.needs(&tool(), retry, [WEB.to_owned()].into(), at(4)).ask.len(), 1, "nor another try");
    }

    #[test]
    fn what_was_found_stays_while_the_registry_fails_and_is_asked_again_later() {
        let mut wishes = Wishes::default();
        needs(&mut wishes, '1', 0);
        assert!(wishes.answered(&tool(), WEB, &down(), at(0)));
        assert!(!wishes.answered(&tool(), WEB, &down(), at(1)), "the same again is no news");
        assert!(wishes.answered(&tool(), WEB, &found('a'), at(2)));
        assert!(!wishes.answered(&tool(), WEB, &down(), at(3)));
        let later = needs(&mut wishes, '1', FRESH.as_secs());
        assert_eq!((&later.images[WEB], later.ask), (&found('a'), vec![(WEB.to_owned(), false)]));
        assert!(needs(&mut wishes, '1', FRESH.as_secs() + 1).ask.is_empty());
        assert!(wishes.answered(&tool(), WEB, &found('b'), FRESH), "the tag was moved");
        wishes.needs(&tool(), of('1'), BTreeSet::new(), FRESH);
        assert!(!wishes.wants(&tool(), WEB) && wishes.0.is_empty(), "nothing is kept of what nobody needs");
    }
}
