//! How a kind is read: lists page by page, and watches line by line. The API's own protocol, without any policy.

use super::raw::Raw;
use crate::cluster::address;
use crate::cluster::call::{self, CallError};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::BoxStream;
use http::{Request, header};
use http_body_util::BodyExt;
use kube::Client;
use planner::kinds::{Kind, Watched};
use planner::observed::MARK;
use renderer::render::PLATFORM_MARK;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Objects per page of a list.
const PAGE: &str = "500";
/// A line longer than this is no object: etcd takes 1.5 MiB.
const LINE_BYTES: usize = 8 << 20;
/// The annotation of the bookmark that ends a streamed list.
const LIST_ENDS: &str = "k8s.io/initial-events-end";

/// Which objects of a kind.
#[derive(Debug, Clone)]
pub(super) struct Selection {
    pub(super) row: &'static Kind,
    /// None for the whole cluster.
    pub(super) namespace: Option<String>,
    /// None for all.
    pub(super) label: Option<String>,
}

/// Everything selected, at one version.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) version: String,
    pub(super) objects: Vec<Raw>,
}

/// One line of a watch.
#[derive(Debug)]
pub(super) enum Told {
    /// Added or changed.
    Put(Raw),
    /// Gone, or out of our selection.
    Gone(Raw),
    /// Nothing else until this version.
    Bookmark {
        version: String,
        /// It ends a streamed list.
        list_ends: bool,
    },
    /// The server's reason to end the watch.
    Error(CallError),
}

/// Where a watch begins.
#[derive(Debug, Clone, Copy)]
pub(super) enum Begin<'a> {
    /// With all objects, in one stream.
    List,
    /// After this version.
    Version(&'a str),
}

impl Selection {
    /// Everything of a kind that is watched, over the whole cluster.
    pub(super) fn watched(row: &'static Kind, platform: &str) -> Self {
        let label = match row.watched {
            // Of another platform's own objects nothing is ours to know.
            Watched::Own => Some(format!("{PLATFORM_MARK}={platform}")),
            _ => row.is_marked().then(|| MARK.to_owned()),
        };
        Self { row, namespace: None, label }
    }

    fn accept(&self, list: bool) -> Option<&'static str> {
        match (self.row.watched, list) {
            (Watched::Metadata, true) => Some(call::METADATA_LIST),
            (Watched::Metadata, false) => Some(call::METADATA),
            _ => None,
        }
    }

    fn path<'a>(&'a self, mut pairs: Vec<(&'a str, &'a str)>) -> String {
        pairs.extend(self.label.as_deref().map(|label| ("labelSelector", label)));
        address::query(&address::collection(self.row, self.namespace.as_deref()), &pairs)
    }
}

#[derive(Deserialize)]
struct Page {
    metadata: PageMeta,
    #[serde(default)]
    items: Option<Vec<Box<RawValue>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageMeta {
    resource_version: String,
    #[serde(rename = "continue", default)]
    next: Option<String>,
}

/// Everything selected: as it is now, or exactly as it was at a version. Each object goes through `pack` as it comes,
/// so that no more than a page lies around unpacked.
pub(super) async fn list(
    client: &Client,
    of: &Selection,
    at: Option<&str>,
    pack: impl Fn(Raw) -> Raw,
) -> Result<Listed, CallError> {
    let mut objects = Vec::new();
    let mut next: Option<String> = None;
    loop {
        let mut pairs = vec![("limit", PAGE)];
        match (&next, at) {
            (Some(token), _) => pairs.push(("continue", token)),
            (None, Some(version)) => pairs.extend([("resourceVersion", version), ("resourceVersionMatch", "Exact")]),
            (None, None) => {}
        }
        let bytes = call::get(client, &of.path(pairs), of.accept(true)).await?;
        let page: Page = call::parse(&bytes)?;
        for item in page.items.unwrap_or_default() {
            objects.push(pack(read(of.row, item.get())?));
        }
        next = page.metadata.next.filter(|token| !token.is_empty());
        if next.is_none() {
            return Ok(Listed { version: page.metadata.resource_version, objects });
        }
    }
}

/// Opens a watch that the server ends after `secs`.
pub(super) async fn watch(client: &Client, of: &Selection, from: Begin<'_>, secs: u64) -> Result<Lines, CallError> {
    let secs = secs.to_string();
    let mut pairs = vec![("watch", "1"), ("allowWatchBookmarks", "true"), ("timeoutSeconds", &*secs)];
    match from {
        Begin::List => pairs.extend([("sendInitialEvents", "true"), ("resourceVersionMatch", "NotOlderThan")]),
        Begin::Version(version) => pairs.push(("resourceVersion", version)),
    }
    let request = Request::get(of.path(pairs)).header(header::ACCEPT, of.accept(false).unwrap_or("application/json"));
    let request = request.body(Vec::new()).map_err(|error| CallError::NoAnswer(error.to_string()))?;
    let body = call::open(client, request).await?;
    Ok(Lines { row: of.row, body: body.into_data_stream().boxed(), rest: BytesMut::new(), searched: 0 })
}

/// The lines of an open watch.
pub(super) struct Lines {
    row: &'static Kind,
    body: BoxStream<'static, Result<Bytes, kube::Error>>,
    rest: BytesMut,
    /// How much of `rest` is known to have no line end.
    searched: usize,
}

impl Lines {
    /// The next line; none where the stream ends. Losing this future loses no data.
    pub(super) async fn next(&mut self) -> Result<Option<Told>, CallError> {
        loop {
            if let Some(length) = self.rest[self.searched..].iter().position(|byte| *byte == b'\n') {
                let line = self.rest.split_to(self.searched + length + 1);
                self.searched = 0;
                if self.rest.is_empty() {
                    // What a list needed would stay with a watch that tells a line an hour.
                    self.rest = BytesMut::new();
                }
                match line.trim_ascii() {
                    b"" => continue,
                    text => return told(self.row, text).map(Some),
                }
            }
            self.searched = self.rest.len();
            if self.searched > LINE_BYTES {
                return Err(CallError::Garbage("a line without an end".to_owned()));
            }
            match self.body.next().await {
                Some(Ok(bytes)) => self.rest.extend_from_slice(&bytes),
                // A half line is a cut connection: the next watch tells it whole.
                None => return Ok(None),
                Some(Err(error)) => return Err(CallError::NoAnswer(call::words(&error))),
            }
        }
    }
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    word: String,
    object: Box<RawValue>,
}

#[derive(Deserialize)]
struct Bookmark {
    metadata: BookmarkMeta,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BookmarkMeta {
    resource_version: String,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

fn told(row: &'static Kind, text: &[u8]) -> Result<Told, CallError> {
    let line: Line = call::parse(text)?;
    let object = line.object.get();
    match line.word.as_str() {
        "ADDED" | "MODIFIED" => Ok(Told::Put(read(row, object)?)),
        "DELETED" => Ok(Told::Gone(read(row, object)?)),
        "BOOKMARK" => {
            let Bookmark { metadata } = call::parse(object.as_bytes())?;
            let list_ends = metadata.annotations.contains_key(LIST_ENDS);
            Ok(Told::Bookmark { version: metadata.resource_version, list_ends })
        }
        "ERROR" => Ok(Told::Error(CallError::of_status(call::parse(object.as_bytes())?))),
        _ => Err(CallError::Garbage("an event of an unknown type".to_owned())),
    }
}

fn read(row: &'static Kind, json: &str) -> Result<Raw, CallError> {
    Raw::read(row, json).map_err(|error| CallError::Garbage(call::place(&error)))
}
