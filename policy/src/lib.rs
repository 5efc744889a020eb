//! What is allowed, as data: `ValidatingAdmissionPolicy` documents, evaluated here as the API server evaluates them.
//!
//! One source, two judges. The documents in `policy/vap/` (and an operator's own) are applied to the cluster, where the
//! API server holds them against everyone, and evaluated by [`Rules::denials`] before anything is sent, so that a tool
//! hears of a violation from `check` and not from a rollout that stands still. Two judges are worth something only if
//! they never disagree. So whatever we could not evaluate exactly as the server does is refused when it is loaded, with
//! its place, and never guessed: unknown fields, functions and variables, patterns that two regular-expression engines
//! read differently, facts that only the server knows (the clock of the request, a uid, an authorizer). What is left is
//! held to the server's answers by `tests/tests/policy.rs`.
//!
//! The stages: [`Rules::load`] reads (`read`, `document`) and compiles (`compile`, `language`, `pattern`);
//! `matching` and `selector` decide whether a policy speaks about a request; `judge` evaluates it. [`Cases`] are the
//! examples beside each policy. `fields` says at which fields a rule looks, so that a person can be shown the line that
//! wrote them.
//!
//! The crate sees JSON and knows no other crate of ours.

mod cases;
mod compile;
mod document;
mod fields;
mod judge;
mod language;
mod matching;
mod pattern;
mod problem;
mod quantity;
mod read;
mod request;
mod rules;
mod selector;
mod shipped;
mod value;

pub use cases::{Case, Cases};
pub use judge::Denial;
pub use language::words;
pub use problem::Problem;
pub use request::{Operation, Params, Request, User};
pub use rules::{EXCEPTION, Rules};
pub use shipped::{PARAMS, SHIPPED, documents as shipped_documents};
