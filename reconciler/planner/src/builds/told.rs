//! Builds as people are told of them: whose, of what, how each stands and how long it took.

use super::is_build_in;
use super::state::{BuildState, end};
use crate::moment::Moment;
use crate::observed::{MARK, Observed, label, metadata, uid_of};
use crate::pods;
use renderer::ObjectId;
use renderer::request::{BUILD_COMMIT, BUILD_COMPONENTS, BUILD_ID, BUILD_IMAGE};
use serde_json::{Value, json};

/// One build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// The Job or PipelineRun.
    pub object: ObjectId,
    /// Its uid: another try of the same build is another object.
    pub uid: String,
    /// Whose.
    pub tool: String,
    /// Components that waited for it when it was asked for.
    pub components: Vec<String>,
    /// The whole id; the image's tag.
    pub id: String,
    /// `repository:tag` that it makes.
    pub image: String,
    /// The commit it fetches.
    pub commit: String,
    /// How it stands.
    pub state: BuildState,
    /// Why it failed, with the end of its log where its pods still say so.
    pub why: Option<String>,
    /// When it was asked for.
    pub asked_at: Option<Moment>,
    /// When a controller took it up.
    pub began_at: Option<Moment>,
    /// When it was over.
    pub ended_at: Option<Moment>,
}

/// The builds that were observed, newest first. `namespace` is that of the builds.
#[must_use]
pub fn told(observed: &Observed, namespace: &str) -> Vec<Build> {
    let here = observed.objects.keys().filter(|id| is_build_in(id, namespace));
    let mut builds: Vec<_> = here.filter_map(|id| Build::of(id, observed.live(id)?, observed)).collect();
    builds.sort_by(|a, b| (b.asked_at, &a.object).cmp(&(a.asked_at, &b.object)));
    builds
}

impl Build {
    fn of(id: &ObjectId, live: &Value, observed: &Observed) -> Option<Self> {
        let text = |key| annotation(live, key).unwrap_or_default().to_owned();
        let time = |pointer| live.pointer(pointer).and_then(Value::as_str).and_then(Moment::parse);
        let (state, image) = (BuildState::of(live), text(BUILD_IMAGE));
        let ended_at = time("/status/completionTime").or_else(|| transition(end(live)?));
        let why = match &state {
            BuildState::Failed(why) => Some(pods::last_words(id, observed).unwrap_or_else(|| why.clone())),
            BuildState::TimedOut => pods::last_words(id, observed),
            _ => None,
        };
        Some(Self {
            object: id.clone(),
            uid: uid_of(live)?.to_owned(),
            tool: label(live, MARK)?.to_owned(),
            components: components(live, &image),
            id: text(BUILD_ID),
            commit: text(BUILD_COMMIT),
            asked_at: time("/metadata/creationTimestamp"),
            began_at: time("/status/startTime"),
            ended_at: ended_at.filter(|_| state.is_over()),
            state,
            why,
            image,
        })
    }

    /// Seconds from its beginning to its end, or to now; none where it has not begun.
    #[must_use]
    pub fn took_secs(&self, now: Moment) -> Option<u64> {
        u64::try_from(self.ended_at.unwrap_or(now).unix_secs() - self.began_at?.unix_secs()).ok()
    }

    /// Seconds it waited for its beginning.
    #[must_use]
    pub fn waited_secs(&self, now: Moment) -> Option<u64> {
        let until = self.began_at.or(self.ended_at).unwrap_or(now);
        u64::try_from(until.unix_secs() - self.asked_at?.unix_secs()).ok()
    }

    /// The first digits of its id.
    #[must_use]
    pub fn short(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }

    /// For machines.
    #[must_use]
    pub fn as_json(&self, now: Moment) -> Value {
        json!({
            "tool": self.tool, "components": self.components, "build": self.id, "object": self.object.to_string(),
            "image": self.image, "commit": self.commit, "state": self.state.word(), "why": self.why,
            "askedAt": self.asked_at, "beganAt": self.began_at, "endedAt": self.ended_at,
            "waitedSecs": self.waited_secs(now), "tookSecs": self.took_secs(now),
        })
    }
}

pub(super) fn annotation<'v>(live: &'v Value, key: &str) -> Option<&'v str> {
    metadata(live, "annotations")?.get(key)?.as_str()
}

/// One that says nothing of its components was asked for by a version that did not: its image's path names the first.
fn components(live: &Value, image: &str) -> Vec<String> {
    let of_image = || image.rsplit_once(':').and_then(|(path, _)| path.rsplit('/').next()).unwrap_or_default();
    let written = annotation(live, BUILD_COMPONENTS).unwrap_or_else(of_image);
    written.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn transition(condition: &Value) -> Option<Moment> {
    Moment::parse(condition.get("lastTransitionTime")?.as_str()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observed::Seen;

    fn observed(times: &[(&str, &str)], status: &Value, annotations: &Value) -> Observed {
        let id = ObjectId {
            group: "batch".into(),
            kind: "Job".into(),
            namespace: Some("toolforge-builds".into()),
            name: "wordcount-0123456789ab".into(),
        };
        let mut status = status.clone();
        for (key, time) in times.iter().filter(|(key, _)| *key != "asked") {
            status[*key] = json!(time);
        }
        let asked = times.iter().find(|(key, _)| *key == "asked").map(|(_, time)| *time);
        let labels = json!({(MARK): "wordcount"});
        let metadata = json!({"name": id.name, "uid": "u1", "creationTimestamp": asked, "labels": labels, "annotations": annotations});
        let live = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "status": status});
        let mut observed = Observed::default();
        observed.objects.insert(id, Seen::Live(live.into()));
        observed
    }

    fn one(times: &[(&str, &str)], status: &Value) -> Build {
        let annotations = json!({
            (BUILD_ID): "0123456789abcdef", (BUILD_IMAGE): "registry.example/tool-wordcount/web:0123456789abcdef",
            (BUILD_COMMIT): "c", (BUILD_COMPONENTS): "refresh,web",
        });
        told(&observed(times, status, &annotations), "toolforge-builds").remove(0)
    }

    const NOW: Moment = Moment::from_unix_secs(1_767_225_720);

    #[test]
    fn a_build_is_told_with_how_long_it_waited_and_how_long_it_took() {
        let times = [("asked", "2026-01-01T00:00:00Z")];
        let build = one(&times, &json!({}));
        assert_eq!((build.state.word(), build.waited_secs(NOW), build.took_secs(NOW)), ("pending", Some(120), None));
        let times = [("asked", "2026-01-01T00:00:00Z"), ("startTime", "2026-01-01T00:00:05Z")];
        let build = one(&times, &json!({"active": 1}));
        assert_eq!((build.state.word(), build.waited_secs(NOW), build.took_secs(NOW)), ("running", Some(5), Some(115)));
        assert_eq!((build.components.join(" "), build.short()), ("refresh web".to_owned(), "0123456789ab"));
        // A Job that failed says nowhere else when it ended.
        let late = json!({"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "lastTransitionTime": "2026-01-01T00:01:05Z"});
        let build = one(&times, &json!({"conditions": [late]}));
        assert_eq!((build.state.word(), build.took_secs(NOW)), ("timed out", Some(60)));
    }

    #[test]
    fn a_build_of_an_earlier_version_names_the_component_in_its_image() {
        let annotations = json!({(BUILD_IMAGE): "registry.example:5000/tool-wordcount/web:0123"});
        let found = observed(&[], &json!({}), &annotations);
        assert_eq!(told(&found, "toolforge-builds")[0].components, ["web"]);
        assert_eq!(told(&found, "elsewhere"), []);
    }
}
