//! The harness.

pub mod control_plane;
pub mod git_server;
pub mod platform;
pub mod registry;
