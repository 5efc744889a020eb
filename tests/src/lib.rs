//! The harness.

pub mod api_suite;
pub mod control_plane;
pub mod faults;
pub mod git_server;
mod go_module;
pub mod golden;
pub mod lifecycle;
pub mod platform;
pub mod program;
pub mod registry;
pub mod rights;
pub mod ssh_server;
pub mod stilled;
