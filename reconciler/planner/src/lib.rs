//! `Rendered` and `Observed` → `Plan`: the heart of toolforge, and pure.
//!
//! ```text
//! newest, last good ──target──▶ one target per component ─┐
//!                                                         ├─plan──▶ Plan ──check──▶ (shell executes)
//! observed ──kinds, schema, drift, readiness, prune───────┘           └─explain, conditions
//! ```
//! A plan holds every decision: execution has no choices left. Waiting is data (`held`), never a sleep.

pub mod fields;
pub mod kinds;
pub mod merge;
pub mod observed;
pub mod readiness;
pub mod schema;
pub mod stored;
