//! The shell.

pub mod cluster;
pub mod dialer;
pub mod observe;
pub mod source;
