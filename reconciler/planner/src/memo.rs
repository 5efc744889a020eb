//! What was found out and need not be found out again: that a live object, in exactly this state, is as it should be.
//!
//! A memo is a set of proofs. A proof is the hash of everything that judging one object reads: the live object's stamp, and
//! all of [`Terms`](crate::terms::Terms), which is the judging function's only other argument. Only one outcome is
//! remembered, that nothing is to be done and nothing to be said, so a proof needs no answer beside it. With a memo, with an
//! older one or with none, a plan is the same.

use crate::live::half;

/// The hash of everything that one judgement read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Proof([u8; 16]);

impl Proof {
    pub(crate) fn of(inputs: &[u8]) -> Self {
        Self(half(inputs))
    }
}

/// Proofs about one tool's objects: 16 bytes for each object that is as it should be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memo(Box<[Proof]>);

impl Memo {
    pub(crate) fn new(mut proofs: Vec<Proof>) -> Self {
        proofs.sort_unstable();
        Self(proofs.into())
    }

    pub(crate) fn holds(&self, proof: &Proof) -> bool {
        self.0.binary_search(proof).is_ok()
    }

    /// Nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many objects it speaks of.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}
