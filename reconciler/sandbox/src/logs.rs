//! What containers said, from the files in which the node keeps it: `GET pods/<name>/log`. Each line of a file is a time,
//! the stream, `F` (or `P` where the line goes on in the next one), and the text, as a container runtime writes it.

use crate::route::Target;
use crate::server::Shared;
use crate::service::{Body, answered, json};
use crate::status::ApiError;
use crate::store::Key;
use crate::value::{self, Object};
use bytes::Bytes;
use futures::stream;
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::convert::Infallible;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// Between looks at a file that is followed.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Read of a file at once.
const CHUNK_BYTES: u64 = 1 << 20;

/// What somebody wants to read.
#[derive(Debug, Default)]
struct Wish {
    container: Option<String>,
    follow: bool,
    previous: bool,
    timestamps: bool,
    tail_lines: Option<usize>,
    since: Option<Timestamp>,
    limit_bytes: Option<usize>,
}

impl Wish {
    fn parse(query: &str, now: Timestamp) -> Result<Self, ApiError> {
        let mut wish = Self::default();
        for (key, text) in url::form_urlencoded::parse(query.as_bytes()) {
            let flag = matches!(&*text, "true" | "1" | "");
            let bad = || ApiError::bad_request(format!("invalid value for {key}: \"{text}\""));
            let number = || text.parse::<u32>().map_err(|_| bad());
            match &*key {
                "container" => wish.container = Some(text.clone().into_owned()).filter(|name| !name.is_empty()),
                "follow" => wish.follow = flag,
                "previous" => wish.previous = flag,
                "timestamps" => wish.timestamps = flag,
                "tailLines" => wish.tail_lines = usize::try_from(number()?).ok(),
                "limitBytes" => wish.limit_bytes = usize::try_from(number()?).ok(),
                "sinceSeconds" => {
                    let secs = SignedDuration::from_secs(i64::from(number()?));
                    wish.since = now.checked_sub(secs).ok();
                }
                "sinceTime" => wish.since = Some(text.parse().map_err(|_| bad())?),
                // The server ignores what it does not know, too.
                _ => {}
            }
        }
        Ok(wish)
    }
}

/// One run of one container.
struct Run {
    key: Key,
    uid: String,
    container: String,
    attempt: u64,
    file: PathBuf,
}

/// Answers with text, for as long as the container runs where that is asked for.
pub(crate) async fn respond(shared: &Arc<Shared>, target: &Target, query: &str) -> Response<Body> {
    match begin(shared, target, query).await {
        Ok(body) => answered(200, "text/plain", body),
        Err(error) => json(&error.into()),
    }
}

async fn begin(shared: &Arc<Shared>, target: &Target, query: &str) -> Result<Body, ApiError> {
    let wish = Wish::parse(query, shared.now())?;
    let run = find(shared, target, &wish).await?;
    let broken = |error: io::Error| ApiError::internal(format!("the log can't be read: {error}"));
    let mut reader = Reader::new(&run.file, &wish);
    let text = reader.so_far(&run.file, wish.tail_lines).await.map_err(broken)?;
    if !wish.follow {
        return Ok(Full::new(Bytes::from(text)).boxed_unsync());
    }
    let following = Following { shared: shared.clone(), run, reader, first: Some(text), over: false };
    let chunks = stream::unfold(following, |mut following| async move {
        let chunk = following.next().await?;
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from(chunk))), following))
    });
    Ok(StreamBody::new(chunks).boxed_unsync())
}

/// Which run is meant: the newest, or the one before it.
async fn find(shared: &Shared, target: &Target, wish: &Wish) -> Result<Run, ApiError> {
    let name = target.name.clone().unwrap_or_default();
    let key = Key::new("Pod", target.namespace.as_deref().unwrap_or_default(), &name);
    let entry = shared.with(|cluster| cluster.store.get(&key).cloned());
    let entry = entry.ok_or_else(|| ApiError::not_found(target.resource, &name))?;
    let pod = entry.object();
    let container = container(&pod, wish.container.as_deref())?;
    let folder =
        shared.logs().unwrap_or(Path::new("/")).join(format!("{}_{name}_{}/{container}", key.namespace, entry.uid));
    let runs = attempts(&folder).await;
    let waits = status_of(&pod, &container).is_some_and(|status| status.pointer("/state/waiting").is_some());
    // The last run of a container that waits to be started again is its newest and its previous one.
    let back = usize::from(wish.previous && !waits);
    let Some(attempt) = runs.iter().rev().nth(back).copied() else {
        let refused = |text: String| Err(ApiError::bad_request(text));
        if wish.previous {
            return refused(format!("previous terminated container \"{container}\" in pod \"{name}\" not found"));
        }
        let reason = status_of(&pod, &container).and_then(|status| status.pointer("/state/waiting/reason")?.as_str());
        let reason = reason.unwrap_or("ContainerCreating");
        return refused(format!("container \"{container}\" in pod \"{name}\" is waiting to start: {reason}"));
    };
    let file = folder.join(format!("{attempt}.log"));
    Ok(Run { key, uid: entry.uid.clone(), container, attempt, file })
}

fn container(pod: &Object, wanted: Option<&str>) -> Result<String, ApiError> {
    let names = |path: &str| {
        let list = value::at(pod, path).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(|one| one["name"].as_str()).map(str::to_owned).collect::<Vec<_>>()
    };
    let (own, pod_name) = (names("spec.containers"), value::name(pod));
    match (wanted, own.as_slice()) {
        (Some(wanted), _) => {
            let known = own.iter().chain(&names("spec.initContainers")).any(|name| name == wanted);
            let text = format!("container {wanted} is not valid for pod {pod_name}");
            if known { Ok(wanted.to_owned()) } else { Err(ApiError::bad_request(text)) }
        }
        (None, [one]) => Ok(one.clone()),
        (None, several) => Err(ApiError::bad_request(format!(
            "a container name must be specified for pod {pod_name}, choose one of: [{}]",
            several.join(" ")
        ))),
    }
}

fn status_of<'a>(pod: &'a Object, container: &str) -> Option<&'a Value> {
    let lists = ["status.containerStatuses", "status.initContainerStatuses"].into_iter();
    let mut all = lists.filter_map(|path| value::at(pod, path)?.as_array()).flatten();
    all.find(|status| status["name"] == container)
}

/// The runs of which there are files, in order; none where the container was never started.
async fn attempts(folder: &Path) -> Vec<u64> {
    let mut found = Vec::new();
    let Ok(mut entries) = tokio::fs::read_dir(folder).await else { return found };
    while let Ok(Some(entry)) = entries.next_entry().await {
        let name = entry.file_name();
        found.extend(name.to_str().and_then(|name| name.strip_suffix(".log")?.parse::<u64>().ok()));
    }
    found.sort_unstable();
    found
}

/// Reads lines and writes them as they were said.
struct Reader {
    path: PathBuf,
    open: Option<tokio::fs::File>,
    /// The beginning of a line that is not whole yet.
    rest: Vec<u8>,
    /// The last line was only a part.
    goes_on: bool,
    since: Option<Timestamp>,
    timestamps: bool,
    left_bytes: Option<usize>,
}

impl Reader {
    fn new(path: &Path, wish: &Wish) -> Self {
        let Wish { since, timestamps, limit_bytes, .. } = *wish;
        Self {
            path: path.to_owned(),
            open: None,
            rest: Vec::new(),
            goes_on: false,
            since,
            timestamps,
            left_bytes: limit_bytes,
        }
    }

    /// What is there, without what came before the last lines.
    async fn so_far(&mut self, path: &Path, tail_lines: Option<usize>) -> io::Result<Vec<u8>> {
        let mut rotated = path.as_os_str().to_owned();
        rotated.push(".1");
        let mut all = match tokio::fs::read(&rotated).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read?,
        };
        while let Some(mut more) = self.read().await? {
            all.append(&mut more);
        }
        let all = last_lines(&all, tail_lines);
        Ok(self.said(all))
    }

    /// More of the file; none where there is no more now.
    async fn read(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.open.is_none() {
            self.open = match tokio::fs::File::open(&self.path).await {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                opened => Some(opened?),
            };
        }
        let Some(file) = &mut self.open else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(CHUNK_BYTES).read_to_end(&mut bytes).await?;
        if bytes.is_empty() {
            let (held, named) = (file.metadata().await?, tokio::fs::metadata(&self.path).await);
            if named.is_ok_and(|named| named.ino() != held.ino()) {
                // It was rotated away: the next look is at the new one.
                self.open = None;
            }
            return Ok(None);
        }
        Ok(Some(bytes))
    }

    /// Lines of the file as they were said.
    fn said(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.rest.extend_from_slice(bytes);
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines: Vec<u8> = self.rest.drain(..whole).collect();
        let mut out = Vec::with_capacity(lines.len());
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            self.say(line, &mut out);
        }
        if let Some(left) = &mut self.left_bytes {
            out.truncate(*left);
            *left -= out.len();
        }
        out
    }

    fn say(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let mut parts = line.splitn(4, |byte| *byte == b' ');
        let (Some(time), Some(_stream), Some(tag), Some(text)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return;
        };
        let at = || std::str::from_utf8(time).ok()?.parse::<Timestamp>().ok();
        if self.since.is_some_and(|since| at().is_none_or(|at| at < since)) {
            return;
        }
        if self.timestamps && !self.goes_on {
            out.extend_from_slice(time);
            out.push(b' ');
        }
        self.goes_on = tag == b"P";
        out.extend_from_slice(if self.goes_on { text.strip_suffix(b"\n").unwrap_or(text) } else { text });
    }

    fn is_full(&self) -> bool {
        self.left_bytes == Some(0)
    }
}

fn last_lines(all: &[u8], wanted: Option<usize>) -> &[u8] {
    let Some(wanted) = wanted else { return all };
    let mut ends = all.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
    // The end of the line before the first one that is wanted.
    ends.nth(wanted).map_or(all, |at| &all[at + 1..])
}

/// A log that is read while it is written.
struct Following {
    shared: Arc<Shared>,
    run: Run,
    reader: Reader,
    first: Option<Vec<u8>>,
    over: bool,
}

impl Following {
    async fn next(&mut self) -> Option<Vec<u8>> {
        if let Some(first) = self.first.take().filter(|first| !first.is_empty()) {
            return Some(first);
        }
        let mut news = self.shared.revisions();
        while !self.reader.is_full() {
            match self.reader.read().await {
                Ok(Some(bytes)) => {
                    let said = self.reader.said(&bytes);
                    if !said.is_empty() {
                        return Some(said);
                    }
                }
                Ok(None) if self.over => return None,
                Ok(None) => {
                    // What was said before the end is in the file before the end is told.
                    self.over = self.is_over();
                    if !self.over {
                        tokio::select! {
                            () = tokio::time::sleep(LOOK_AGAIN) => {}
                            changed = news.changed() => if changed.is_err() { return None },
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "a log can't be followed any further");
                    return None;
                }
            }
        }
        None
    }

    fn is_over(&self) -> bool {
        let Run { key, uid, container, attempt, .. } = &self.run;
        let entry = self.shared.with(|cluster| cluster.store.get(key).cloned()).filter(|entry| entry.uid == *uid);
        let Some(entry) = entry.filter(|_| !self.shared.is_stopped()) else { return true };
        let pod = entry.object();
        status_of(&pod, container).is_some_and(|status| {
            let started_again = status["restartCount"].as_u64().is_some_and(|count| count > *attempt);
            started_again || status.pointer("/state/running").is_none()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] = b"2026-01-01T00:00:00.5Z stdout F one\n2026-01-01T00:00:01Z stderr P tw\n\
        2026-01-01T00:00:01Z stderr F o\n2026-01-01T00:00:02Z stdout F three\n2026-01-01T00:00:03Z stdout F ha";

    fn said(query: &str) -> String {
        let now = "2026-01-01T00:00:03Z".parse().expect("a time");
        let wish = Wish::parse(query, now).expect("a wish");
        let mut reader = Reader::new(Path::new("/nowhere"), &wish);
        let text = reader.said(last_lines(FILE, wish.tail_lines));
        String::from_utf8(text).expect("text")
    }

    #[test]
    fn lines_come_whole_with_times_and_limits_as_asked() {
        assert_eq!(said(""), "one\ntwo\nthree\n");
        assert_eq!(said("sinceSeconds=2"), "two\nthree\n");
        assert_eq!(said("tailLines=1"), "three\n");
        assert_eq!(said("tailLines=0"), "");
        assert_eq!(said("limitBytes=5"), "one\nt");
        assert_eq!(said("timestamps=true&tailLines=1"), "2026-01-01T00:00:02Z three\n");
        assert!(Wish::parse("tailLines=-1", Timestamp::UNIX_EPOCH).is_err());
    }
}
