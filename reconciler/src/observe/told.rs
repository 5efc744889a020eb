//! What the watch says of one Secret of the platform's namespace: so that nobody reads one that is not there, or is as it
//! was.

use super::raw::Key;
use super::{World, lock};
use std::sync::Arc;

/// What a watch says of an object. It may be late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Nothing: it is not in step.
    Unknown,
    /// It is not there.
    Absent,
    /// It is there, in this version.
    At(u64),
}

/// To be asked for a Secret of the platform's namespace that is named after somebody, as `deploy-key.wordcount` is.
pub type SecretTold = Arc<dyn Fn(&str) -> Told + Send + Sync>;

impl World {
    /// To be asked from now on.
    #[must_use]
    pub fn secret_told(&self) -> SecretTold {
        let inner = Arc::clone(&self.inner);
        Arc::new(move |name| {
            let key = Key { namespace: Some(inner.scope.platform_namespace.as_str().into()), name: name.into() };
            let Some(secrets) = inner.shelves.iter().map(lock).find(|shelf| shelf.row.kind == "Secret") else {
                return Told::Unknown;
            };
            if !secrets.is_listed() || secrets.gap().is_some() {
                return Told::Unknown;
            }
            match secrets.version_told(&key) {
                None => Told::Absent,
                // One that can't be ordered can't be told from another either.
                Some(0) => Told::Unknown,
                Some(version) => Told::At(version),
            }
        })
    }
}
