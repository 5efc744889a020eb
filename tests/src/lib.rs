//! The harness.

pub mod control_plane;
pub mod git_server;
pub mod registry;
