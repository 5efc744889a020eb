//! `Rendered` and `Observed` → `Plan`: the heart of toolforge, and pure.
//!
//! ```text
//! newest, last good ──target──▶ one target per component ─┐
//!                                                         ├─plan──▶ Plan ──check──▶ (shell executes)
//! observed ──kinds, schema, drift, readiness, prune───────┘           └─explain, conditions
//! ```
//! A plan holds every decision: execution has no choices left. Waiting is data (`held`), never a sleep.

pub mod admission;
pub mod audit;
pub mod builds;
pub mod check;
pub mod conditions;
pub mod contract;
pub mod decide;
pub mod deployments;
pub mod drift;
pub mod explain;
pub mod fields;
pub mod fight;
pub mod garbage;
pub mod identity;
pub mod image;
pub mod images;
pub mod install;
pub mod kinds;
mod licensed;
pub mod live;
pub mod markdown;
pub mod memo;
pub mod merge;
pub mod moment;
pub mod observed;
pub mod outcome;
pub mod pin;
pub mod plan;
pub mod pods;
pub mod promotion;
pub mod prune;
pub mod question;
pub mod quota;
pub mod readiness;
pub mod rights;
pub mod schema;
pub mod settled;
pub mod stored;
pub mod tags;
pub mod waves;

mod autoscale;
mod compare;
mod course;
mod draft;
mod rebased;
mod record;
mod removal;
pub mod replace;
mod signed;
mod target;
mod terms;
mod why;

pub use admission::Admission;
pub use check::Judge;
pub use course::pinned_revision;
pub use decide::{Circumstances, Input, Newest, Wave, is_anothers, plan, plan_and_memo, tool_id};
pub use fight::Fight;
pub use live::{Live, Stamp};
pub use memo::Memo;
pub use moment::Moment;
pub use promotion::Forerunner;
pub use rebased::run_image_chosen;
pub use record::{platform_digest, rendered_digest, under_known_commit};
pub use removal::{left_alone, left_recently};
pub use target::{files_that_count, images_needed};
pub use why::{field_verdicts, told};
