//! The harness.

pub mod api_suite;
pub mod control_plane;
pub mod git_server;
pub mod platform;
pub mod registry;
