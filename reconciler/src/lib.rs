//! The shell.

pub mod cluster;
pub mod dialer;
pub mod events;
pub mod execute;
pub mod lease;
pub mod observe;
pub mod source;
pub mod status;
pub mod web;
