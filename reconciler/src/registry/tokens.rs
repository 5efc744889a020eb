//! Tokens that registries granted. How long and for how many scopes is a stranger's word, so both are bounded here.

use crate::dialer::Secret;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// What a registry grants where it does not say how long.
const UNSAID_SECS: u64 = 60;
/// The longest life that is believed.
const MAX_SECS: u64 = 3600;
/// One for each repository that was asked for lately.
const MAX_TOKENS: usize = 1000;

/// A token is good for one access to one repository of one registry.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Scope {
    pub registry: String,
    pub path: String,
    pub access: Access,
}

/// What a token lets us do, and no more than is needed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Access {
    Pull,
    Push,
    Delete,
    /// Push, with blobs of another repository.
    Mount {
        from: String,
    },
    /// List the registry's repositories.
    Catalog,
}

/// Tokens and until when each is used.
#[derive(Default)]
pub(super) struct Tokens(HashMap<Scope, (Secret, Instant)>);

impl Tokens {
    /// A token that is still good.
    pub(super) fn get(&self, scope: &Scope, now: Instant) -> Option<Secret> {
        let (token, until) = self.0.get(scope)?;
        (*until > now).then(|| token.clone())
    }

    /// Keeps a token for half of its life: it must not run out on the way. Where there are too many, the one that
    /// runs out first makes room.
    pub(super) fn keep(&mut self, scope: Scope, token: Secret, expires_in_secs: Option<u64>, now: Instant) {
        let life = Duration::from_secs(expires_in_secs.unwrap_or(UNSAID_SECS).min(MAX_SECS) / 2);
        let Some(until) = now.checked_add(life) else { return };
        self.0.retain(|_, (_, until)| *until > now);
        self.0.insert(scope, (token, until));
        if self.0.len() > MAX_TOKENS {
            let soonest = self.0.iter().min_by_key(|(_, (_, until))| *until).map(|(scope, _)| scope.clone());
            soonest.and_then(|scope| self.0.remove(&scope));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(n: usize) -> Scope {
        Scope { registry: "registry.example".to_owned(), path: format!("tool-{n}/web"), access: Access::Pull }
    }

    #[test]
    fn a_token_for_ever_is_used_for_half_an_hour() {
        let (mut tokens, now) = (Tokens::default(), Instant::now());
        tokens.keep(scope(0), Secret::new("t"), Some(u64::MAX), now);
        assert!(tokens.get(&scope(0), now + Duration::from_secs(1799)).is_some());
        assert!(tokens.get(&scope(0), now + Duration::from_secs(1800)).is_none());
    }

    #[test]
    fn of_too_many_tokens_the_one_that_runs_out_first_goes() {
        let (mut tokens, now) = (Tokens::default(), Instant::now());
        for n in 0..=MAX_TOKENS {
            let secs = if n == 7 { 60 } else { 300 };
            tokens.keep(scope(n), Secret::new("t"), Some(secs), now);
        }
        assert_eq!(tokens.0.len(), MAX_TOKENS);
        assert!(tokens.get(&scope(7), now).is_none());
        assert!(tokens.get(&scope(MAX_TOKENS), now).is_some());
    }
}
