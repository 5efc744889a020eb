//! From a spanned tree to values, finding by finding: every function answers with the value or has said why not.
//!
//! A function that answers `None` for a value that is there has always added an error, so that "bad" and "absent"
//! cannot be mixed up by a reader of the report.

mod resource;
mod scalars;
mod section;

pub(crate) use resource::{duration_secs, frame, open, quantities, quantity, seconds};
pub(crate) use scalars::{boolean, one_of, text, text_map, text_or_number, texts, whole};
pub(crate) use section::{Advice, Level, Section};
