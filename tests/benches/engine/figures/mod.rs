//! One file, one question.

pub mod diff;
pub mod edits;
pub mod failing;
pub mod idle;
pub mod restart;
pub mod rollout;
