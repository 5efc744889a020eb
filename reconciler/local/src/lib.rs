//! A platform on one machine, for one person: what a cluster's container runtime, builder and registry do, done by
//! ordinary processes of an unprivileged user. It isolates nobody from anybody who means harm: the network is the
//! machine's, and so is every file that its user may read. What it holds is order: a process sees a cleared environment
//! and a home of its own, has limits, and goes with whoever started it.
//!
//! The arrows: `planner → sandbox → local → reconciler`. Nothing here knows the reconciler; a cluster is a client that
//! is given.

pub mod build;
pub mod cell;
mod file;
pub mod node;
pub mod registry;
pub mod router;
mod variables;
