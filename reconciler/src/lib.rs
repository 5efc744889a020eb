//! The shell.

pub mod dialer;
pub mod source;
