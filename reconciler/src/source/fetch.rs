//! One exchange with a server by gix: refs over git and ssh, and a shallow pack of exactly one commit.
//!
//! No clone, no refs, no configuration: the pack goes into a bare object folder that is read and, when its commit is
//! no longer followed, removed whole. Where the server allows filters, blobs are left out and the few we read are
//! asked for by name, so that a gigabyte of data beside a `toolforge.yaml` costs its trees.

pub(super) mod pack;

use self::pack::{MAX_OBJECT_BYTES, Meter, Taken};
use super::SourceError;
use super::refs::{Refs, is_plain};
use super::transport::{self, Endpoint, Watch};
use crate::dialer::{USER_AGENT, innermost};
use gix::ObjectId;
use gix::odb::pack as gix_pack;
use gix::progress::Discard;
use gix::protocol::fetch::{self, negotiate};
use gix::protocol::handshake::Ref;
use gix::protocol::ls_refs::RefPrefixes;
use gix::protocol::transport::client::blocking_io::Transport;
use gix::protocol::transport::{Protocol, Service};
use gix::protocol::{Handshake, LsRefsCommand};
use renderer::CommitId;
use std::io::{self, BufRead, BufReader, Read};
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What to leave out of a pack, where the server can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filter {
    /// Everything at depth 1.
    Nothing,
    /// All blobs.
    Blobs,
    /// All trees and blobs: the commit alone.
    Trees,
}

/// A connection after its handshake.
pub(super) struct Session {
    transport: Box<dyn Transport + Send>,
    handshake: Handshake,
    repository: String,
    watch: Arc<Watch>,
}

impl Session {
    pub(super) fn open(endpoint: Endpoint, watch: &Arc<Watch>) -> Result<Self, SourceError> {
        let repository = endpoint.url.to_string();
        let mut transport = transport::connect(endpoint, watch)?;
        let handshake = gix::protocol::handshake(
            &mut transport,
            Service::UploadPack,
            // Credentials are the transport's; nobody is ever asked.
            |_| Ok(None),
            Vec::new(),
            &mut Discard,
        )
        .map_err(|error| explain(&error, &repository, watch))?;
        Ok(Self { transport, handshake, repository, watch: watch.clone() })
    }

    fn explain(&self, error: &gix::Error) -> SourceError {
        explain(error, &self.repository, &self.watch)
    }

    /// Lists HEAD and the refs under `prefixes`.
    pub(super) fn ls_refs(&mut self, prefixes: &[String]) -> Result<Refs, SourceError> {
        let listed = match self.handshake.refs.take() {
            Some(refs) => refs,
            None => {
                let mut wanted = RefPrefixes::new();
                wanted.extend(["HEAD".into()]);
                wanted.extend(prefixes.iter().map(|prefix| prefix.as_str().into()));
                LsRefsCommand::new(Some(wanted), &self.handshake.capabilities, agent())
                    .invoke_blocking(&mut self.transport, &mut Discard, false)
                    .map_err(|error| explain(&error, &self.repository, &self.watch))?
            }
        };
        refs(listed, prefixes)
    }

    /// Whether [`Filter`]s are honoured, and single objects can be asked for.
    pub(super) fn can_filter(&self) -> bool {
        self.handshake.server_protocol_version == Protocol::V2
            && self
                .handshake
                .capabilities
                .capability("fetch")
                .and_then(|fetch| fetch.supports("filter"))
                .unwrap_or_default()
    }

    /// Fetches `wants` into the object folder of `repository`, at depth 1 where they are commits.
    pub(super) fn fetch(&mut self, wants: &[ObjectId], filter: Filter, folder: &Path) -> Result<(), SourceError> {
        let shallow = if folder.join("shallow").exists() {
            fetch::Shallow::NoChange
        } else {
            fetch::Shallow::DepthAtRemote(NonZeroU32::MIN)
        };
        let filter = filter.spec().filter(|_| self.can_filter());
        let watch = self.watch.clone();
        let packs = folder.join("objects").join("pack");
        let outcome = gix::protocol::fetch(
            &mut Wants { wants, filter },
            |reader, _, interrupt| {
                let mut metered = BufReader::new(Metered::new(reader, &watch));
                gix_pack::Bundle::write_to_directory(
                    &mut metered,
                    Some(&packs),
                    &mut Discard,
                    interrupt,
                    None::<gix::odb::Handle>,
                    gix::hash::Kind::Sha1,
                    gix_pack::bundle::write::Options {
                        thread_limit: Some(1),
                        alloc_limit_bytes: Some(MAX_OBJECT_BYTES as usize),
                        ..Default::default()
                    },
                )?;
                Ok(true)
            },
            Discard,
            &watch.interrupt,
            fetch::Context {
                handshake: &mut self.handshake,
                transport: &mut self.transport,
                user_agent: agent(),
                trace_packetlines: false,
            },
            fetch::Options {
                shallow_file: folder.join("shallow"),
                shallow: &shallow,
                tags: fetch::Tags::None,
                reject_shallow_remote: false,
            },
        );
        match outcome {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(SourceError::Corrupt { why: format!("{} sent no pack", self.repository) }),
            Err(error) => Err(self.explain(&error)),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // A courtesy: the server would notice the closed connection, too.
        if self.handshake.server_protocol_version == Protocol::V2 && !self.watch.interrupt.load(Ordering::Relaxed) {
            drop(gix::protocol::indicate_end_of_interaction(&mut self.transport, false));
        }
    }
}

impl Filter {
    fn spec(self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::Blobs => Some("blob:none"),
            Self::Trees => Some("tree:0"),
        }
    }
}

fn agent() -> (&'static str, Option<String>) {
    ("agent", Some(USER_AGENT.to_owned()))
}

fn explain(error: &gix::Error, repository: &str, watch: &Watch) -> SourceError {
    watch.verdict().unwrap_or_else(|| {
        // The innermost cause is the fact; what is around it retells gix's call stack.
        let why = innermost(error);
        SourceError::Corrupt { why: format!("{repository} does not answer as a git server would: {why}") }
    })
}

fn refs(listed: Vec<Ref>, prefixes: &[String]) -> Result<Refs, SourceError> {
    let mut refs = Refs::default();
    for listed in listed {
        let (name, object) = match listed {
            Ref::Peeled { full_ref_name, object, .. } | Ref::Direct { full_ref_name, object } => {
                (full_ref_name, object)
            }
            Ref::Symbolic { full_ref_name, target, object, .. } => {
                if full_ref_name == "HEAD" {
                    refs.head = branch(&target);
                }
                (full_ref_name, object)
            }
            Ref::Unborn { full_ref_name, target } => {
                if full_ref_name == "HEAD" {
                    refs.head = branch(&target);
                }
                continue;
            }
        };
        // A name that is not UTF-8 is one that no file can name.
        let Ok(name) = std::str::from_utf8(&name) else {
            continue;
        };
        refs.insert(name, commit_id(object)?);
    }
    Ok(refs.only(prefixes))
}

fn branch(target: &[u8]) -> Option<String> {
    let target = std::str::from_utf8(target).ok()?;
    target.strip_prefix("refs/heads/").filter(|name| is_plain(name)).map(str::to_owned)
}

pub(super) fn commit_id(id: ObjectId) -> Result<CommitId, SourceError> {
    CommitId::new(id.to_string()).map_err(|error| SourceError::Corrupt { why: error.to_string() })
}

struct Wants<'a> {
    wants: &'a [ObjectId],
    filter: Option<&'static str>,
}

/// No negotiation: we have nothing, and want exactly this.
impl fetch::Negotiate for Wants<'_> {
    fn mark_complete_and_common_ref(&mut self) -> gix::Result<negotiate::Action> {
        Ok(negotiate::Action::MustNegotiate { remote_ref_target_known: Vec::new() })
    }

    fn add_wants(&mut self, arguments: &mut fetch::Arguments, _known: &[bool]) -> bool {
        if let Some(filter) = self.filter {
            arguments.filter(filter);
        }
        for want in self.wants {
            arguments.want(want);
        }
        !self.wants.is_empty()
    }

    fn one_round(
        &mut self,
        _state: &mut negotiate::one_round::State,
        _arguments: &mut fetch::Arguments,
        _previous: Option<&fetch::Response>,
    ) -> gix::Result<(negotiate::Round, bool)> {
        let round = negotiate::Round {
            haves_sent: 0,
            in_vain: 0,
            haves_to_send: 0,
            previous_response_had_at_least_one_in_common: false,
        };
        Ok((round, true))
    }
}

/// What gix reads, measured before gix sees it.
struct Metered<'a> {
    inner: &'a mut dyn BufRead,
    meter: Meter,
    watch: &'a Watch,
    /// What the pack will hold while its deltas are resolved: until gix is done with it.
    room: Option<Taken>,
}

impl<'a> Metered<'a> {
    fn new(inner: &'a mut dyn BufRead, watch: &'a Watch) -> Self {
        Self { inner, meter: Meter::new(watch.limits), watch, room: None }
    }
}

impl Read for Metered<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.inner.read(buffer)?;
        self.meter.feed(buffer.get(..bytes).unwrap_or_default()).map_err(|error| self.watch.fail(error))?;
        if self.meter.is_whole() && self.room.is_none() {
            self.room = Some(self.watch.room_for(self.meter.need_bytes())?);
        }
        Ok(bytes)
    }
}
