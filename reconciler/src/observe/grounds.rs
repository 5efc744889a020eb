//! Where nobody has been but us: a namespace that this process has made. Only with that, and before anything was Ready,
//! objects are made that nobody has looked for ([`Observed::untrodden`]).
//!
//! It is a guess and may be one: a create that finds its name taken is refused by the server and changes nothing. From then
//! on every name there is read first, and so it is in the namespaces of another process.

use super::lock;
use crate::cluster::call::Answer;
use planner::observed::{Observed, uid_of};
use renderer::ObjectId;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Mutex;

/// What is known of namespaces, by name.
#[derive(Debug, Default)]
pub(super) struct Grounds(Mutex<BTreeMap<String, Ground>>);

#[derive(Debug)]
enum Ground {
    /// We made it, under this uid.
    Made(String),
    /// Somebody was there before us.
    Trodden,
}

impl Grounds {
    /// Takes in the answer to a write.
    pub(super) fn learn(&self, id: &ObjectId, answer: &Answer) {
        let (ground, namespace) = match (answer, &id.namespace) {
            (Answer::Made(json), None) if id.kind == "Namespace" => {
                let made = serde_json::from_slice::<Value>(json).ok();
                let uid = made.as_ref().and_then(uid_of).unwrap_or_default();
                (Ground::Made(uid.to_owned()), id.name.clone())
            }
            (Answer::Taken, Some(namespace)) => (Ground::Trodden, namespace.clone()),
            (Answer::Taken, None) if id.kind == "Namespace" => (Ground::Trodden, id.name.clone()),
            _ => return,
        };
        let mut known = lock(&self.0);
        // A refusal among creates that go side by side with it counts more than they do.
        if !matches!((known.get(&namespace), &ground), (Some(Ground::Trodden), Ground::Made(_))) {
            known.insert(namespace, ground);
        }
    }

    /// Whether nobody is known to have been in this namespace, as it is observed.
    pub(super) fn is_untrodden(&self, name: &str, observed: &Observed) -> bool {
        let id =
            ObjectId { group: String::new(), kind: "Namespace".to_owned(), namespace: None, name: name.to_owned() };
        let live = observed.uid(&id);
        let mut known = lock(&self.0);
        let untrodden = match (known.get(name), live) {
            (Some(Ground::Made(uid)), Some(live)) => uid == live,
            (None, None) => true,
            _ => false,
        };
        // Nobody asks any more.
        if !observed.stored.is_empty() {
            known.remove(name);
        }
        untrodden
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use planner::observed::Seen;
    use planner::stored::StoredRevision;
    use renderer::Revision;
    use serde_json::json;
    use std::collections::BTreeSet;

    fn id(kind: &str, namespace: Option<&str>, name: &str) -> ObjectId {
        ObjectId { group: String::new(), kind: kind.into(), namespace: namespace.map(Into::into), name: name.into() }
    }

    fn namespace(uid: &str) -> Value {
        json!({"metadata": {"name": "tool-a", "uid": uid}})
    }

    fn seen(uid: Option<&str>) -> Observed {
        let mut observed = Observed::default();
        observed.objects.extend(uid.map(|uid| (id("Namespace", None, "tool-a"), Seen::Live(namespace(uid).into()))));
        observed
    }

    fn after(answers: &[(ObjectId, Answer)]) -> Grounds {
        let grounds = Grounds::default();
        answers.iter().for_each(|(id, answer)| grounds.learn(id, answer));
        grounds
    }

    fn made(uid: &str) -> (ObjectId, Answer) {
        (id("Namespace", None, "tool-a"), Answer::Made(namespace(uid).to_string().into()))
    }

    #[test]
    fn only_a_namespace_that_is_not_there_or_that_we_have_made_is_untrodden() {
        let untrodden = |answers: &[_], uid| after(answers).is_untrodden("tool-a", &seen(uid));
        assert!(untrodden(&[], None));
        assert!(!untrodden(&[], Some("1")), "made by another process, or by somebody else");
        assert!(untrodden(&[made("1")], Some("1")));
        assert!(!untrodden(&[made("1")], Some("2")), "another one under its name");
        assert!(!untrodden(&[made("1")], None), "somebody deleted it");
        let (there, json) = made("1");
        let Answer::Made(json) = json else { unreachable!("as made above") };
        assert!(!untrodden(&[(there, Answer::Object(json))], Some("1")), "it was there");
    }

    #[test]
    fn a_name_that_was_taken_ends_it_and_nothing_begins_it_again() {
        for taken in [id("Service", Some("tool-a"), "web"), id("Namespace", None, "tool-a")] {
            let grounds = after(&[made("1"), (taken, Answer::Taken), made("1")]);
            assert!(!grounds.is_untrodden("tool-a", &seen(Some("1"))));
            assert!(!grounds.is_untrodden("tool-a", &seen(None)));
        }
        let elsewhere = after(&[made("1"), (id("Service", Some("tool-b"), "web"), Answer::Taken)]);
        assert!(elsewhere.is_untrodden("tool-a", &seen(Some("1"))));
    }

    #[test]
    fn of_tools_that_were_ready_nothing_is_kept() {
        let grounds = after(&[made("1")]);
        let stored = StoredRevision {
            number: 1,
            revision: Revision::nothing("main"),
            images: BTreeMap::new(),
            path: Default::default(),
            platform: String::new(),
            one_offs: BTreeSet::new(),
            rendered: None,
        };
        grounds.is_untrodden("tool-a", &Observed { stored: vec![stored], ..seen(Some("1")) });
        assert!(lock(&grounds.0).is_empty());
    }
}
