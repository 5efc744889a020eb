//! The stock lifecycle of the Cloud Native Buildpacks: the programs that a builder image has, as their project builds them,
//! and enough of a kubelet to run a build's Job with them, by the words that stand in the Job.
//!
//! `tests/lifecycle/go.sum` pins the module; the first use builds it (a minute and a half of CPU time). [`Builder`] is a
//! builder image as a folder, with our buildpacks. [`Pod`] runs a Job's containers one after another, each where its mounts
//! stand at their real places ([`Place`]) and as the user that the Job says. [`Unpacked`] is an image that was exported, to
//! be started with the launcher that it carries.
//!
//! Tests may be root or not: root becomes somebody else, anybody else makes a user namespace of their own.

mod builder;
mod place;
mod pod;
mod unpacked;

use std::path::PathBuf;

use crate::go_module::Module;

pub use builder::Builder;
pub use place::{Mount, Place, Ran};
pub use pod::{Image, Phase, Pod};
pub use unpacked::Unpacked;

const MODULE: Module =
    Module { name: "lifecycle", what: "the stock lifecycle for tests, two to five minutes", without_go: "" };

/// The folder with `analyzer`, `detector`, `restorer`, `builder`, `exporter`, `rebaser` and `launcher`, built first if
/// need be.
pub fn programs() -> anyhow::Result<PathBuf> {
    MODULE.built()
}
