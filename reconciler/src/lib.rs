//! The shell around the planner: everything with an effect, behind three doors.
//!
//! ```text
//! source, registry, observe ── read ──▶ pass ──▶ execute ── changes
//!                                        └─────▶ status, events, web ── speak
//! ```
//! [`pass`] is the one path from a tool's name to the cluster; [`driver`] decides when it is taken.

pub mod cluster;
pub mod dialer;
pub mod driver;
pub mod dry_run;
pub mod events;
pub mod execute;
pub mod lease;
pub mod observe;
pub mod pass;
pub mod queue;
pub mod registry;
pub mod secrets;
pub mod source;
pub mod status;
pub mod web;
