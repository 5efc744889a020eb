//! `toolforge.yaml` → what should exist.
//!
//! Pure: the same [`Platform`], [`Tool`] and [`Revision`] give the same bytes, on any machine and at any time.
//! Reading files, resolving refs and asking the registry happen elsewhere; their answers are arguments.
//!
//! ```text
//! bytes ──yaml──▶ spanned tree ──config──▶ Config ──render──▶ Rendered ──at(image)──▶ objects
//! ```
//! Every stage is total: what is wrong becomes a [`Diagnostic`] with a place, and the component it belongs to is
//! *withheld*; nothing vanishes and nothing panics.

pub mod build;
pub mod config;
pub mod credentials;
mod decode;
pub mod diagnostic;
pub mod infer;
pub mod json_schema;
pub mod length_prefixed;
pub mod licence;
pub mod names;
pub mod object;
mod origin;
pub mod platform;
pub mod quantity;
pub mod render;
pub mod rendered;
pub mod request;
pub mod revision;
pub mod schedule;
pub mod secret;
pub mod secrets;
pub mod signers;
pub mod tool;
pub mod yaml;

pub use build::{BuildInputs, Siblings, sources_needed};
pub use config::Config;
pub use diagnostic::{Diagnostic, Report, Severity};
pub use names::{BuildId, CommitId, ComponentName, Digest, ToolName, TreeId};
pub use object::{Object, ObjectId};
pub use platform::Platform;
pub use quantity::Quantity;
pub use render::{render, render_config, render_known, render_platform, render_revision, to_yaml};
pub use rendered::{Image, OneOffKey, PinnedImage, Rendered, RenderedComponent, Withheld};
pub use request::BuildRequest;
pub use revision::{Files, Revision};
pub use secret::Secret;
pub use tool::Tool;
