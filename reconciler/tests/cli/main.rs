//! The command line, as a person or a script meets it: streams, exit codes, words.

mod buildpack;
mod builds;
mod deploy_key;
mod dev;
mod examples;
mod files;
mod harness;
mod help;
mod pins;
mod plans;
mod promote;
mod secrets;
mod server;
mod signatures;
mod world;
