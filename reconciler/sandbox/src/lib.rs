//! An in-process Kubernetes API: the default where there is no cluster, and the fast test double.
//!
//! It keeps objects, validates, merges, watches and collects garbage as the real API server does. It runs no containers:
//! it marks workloads ready the way their controllers would, unless a node is attached ([`Sandbox::attach_node`]) that
//! runs them and says how they are. What it serves is the table in [`resource`]; anything else is a 404.
//! `docs/sandbox.md` lists what differs from a real server.
//!
//! ```text
//! kube client ──tower──┐
//! kubectl ──loopback───┴─▶ service ──Call──▶ cluster (pure) ──changes──▶ journal
//!                            ▲                  │    ▲
//!                            └──lines── watch ◀─┘    └── controllers (pure, a moment later)
//! ```
//! The core (`cluster` and below) has no clock, no files and no sockets: time and seed are arguments.

mod addresses;
pub mod call;
mod certificate;
mod change;
mod clock;
pub mod cluster;
pub mod controllers;
mod create;
pub mod discovery;
mod events;
mod ids;
pub mod journal;
mod listen;
mod lock;
mod logs;
pub mod managed;
pub mod normal;
pub mod openapi;
pub mod patch;
pub mod quantity;
mod read;
mod remove;
pub mod resource;
pub mod route;
mod sandbox;
mod scale;
pub mod select;
mod server;
mod service;
pub mod status;
pub mod store;
pub mod table;
pub mod validate;
pub mod value;
pub mod view;
mod watch;
pub mod write;

pub use controllers::NODE;
pub use listen::Listening;
pub use lock::Taken;
pub use sandbox::{OpenError, Sandbox};
pub use service::{Body, SandboxService};
