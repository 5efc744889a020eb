//! The shell's side of the API server: one binary, so that the scripted server is built once.

mod deploy_keys;
mod execute;
mod fake;
mod faults;
mod grace;
mod lease;
mod sandbox;
mod web;
mod words;
