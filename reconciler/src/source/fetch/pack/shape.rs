//! The tree of bases and deltas in a pack, and what resolving it holds.
//!
//! gix resolves depth first, on one thread here: an object is kept while a delta upon it is still to come. So what is
//! held is, at worst, the objects with more than one delta on one way from a root to a leaf. Where a delta names its
//! base by id, the tree is known only after hashing: then all objects count.

/// What gix keeps of each object, whatever its size: its place in the tree, its work item, its line of the index.
pub(super) const OBJECT_BYTES: u64 = 200;

/// Upon what an entry builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    /// It is whole.
    None,
    /// Upon the entry at this offset.
    At(u64),
    /// Upon an object named by its id, anywhere in the pack.
    Named,
}

#[derive(Debug)]
struct Node {
    at: u64,
    bytes: u64,
    base: Option<usize>,
    depth: u32,
    deltas: u32,
}

/// All entries so far.
#[derive(Debug, Default)]
pub(super) struct Shape {
    nodes: Vec<Node>,
    has_named: bool,
    total_bytes: u64,
    largest_bytes: u64,
    largest_delta_bytes: u64,
}

impl Shape {
    /// One more entry, which makes `made_bytes`, by a delta of `packed_bytes` where it has a base. Says how many deltas
    /// stand upon one another there; none where there is no such base.
    pub(super) fn add(&mut self, at: u64, base: Base, made_bytes: u64, packed_bytes: u64) -> Option<u32> {
        let base = match base {
            Base::At(offset) => Some(self.nodes.binary_search_by_key(&offset, |node| node.at).ok()?),
            Base::Named => {
                self.has_named = true;
                None
            }
            Base::None => None,
        };
        let depth = match base.and_then(|base| self.nodes.get_mut(base)) {
            Some(base) => {
                base.deltas += 1;
                base.depth + 1
            }
            None => 0,
        };
        self.nodes.push(Node { at, bytes: made_bytes, base, depth, deltas: 0 });
        self.total_bytes = self.total_bytes.saturating_add(made_bytes);
        self.largest_bytes = self.largest_bytes.max(made_bytes);
        self.largest_delta_bytes = self.largest_delta_bytes.max(packed_bytes);
        Some(depth)
    }

    /// What waits for further deltas at one time, at worst.
    pub(super) fn held_bytes(&self) -> u64 {
        if self.has_named {
            return self.total_bytes;
        }
        let mut held: Vec<u64> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            // A base stands before its deltas.
            let below = node.base.and_then(|base| held.get(base)).copied().unwrap_or(0);
            let own = if node.deltas > 1 { node.bytes } else { 0 };
            held.push(below.saturating_add(own));
        }
        held.into_iter().max().unwrap_or(0)
    }

    /// With the object and its delta that are being made, and its base.
    pub(super) fn need_bytes(&self) -> u64 {
        let each = OBJECT_BYTES * self.nodes.len() as u64;
        let made = self.largest_bytes.saturating_mul(2).saturating_add(self.largest_delta_bytes);
        self.held_bytes().saturating_add(made).saturating_add(each)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(entries: &[(u64, Base, u64)]) -> Shape {
        let mut shape = Shape::default();
        for (at, base, bytes) in entries {
            shape.add(*at, *base, *bytes, 1).expect("a base");
        }
        shape
    }

    #[test]
    fn a_chain_holds_nothing_and_a_chain_with_branches_all_of_it() {
        let chain = [(12, Base::None, 100), (20, Base::At(12), 100), (30, Base::At(20), 100)];
        assert_eq!(shape(&chain).held_bytes(), 0);
        let mut branched = chain.to_vec();
        branched.extend([(40, Base::At(12), 1), (50, Base::At(20), 1)]);
        assert_eq!(shape(&branched).held_bytes(), 200);
        let wide = [(12, Base::None, 100), (20, Base::At(12), 1), (30, Base::At(12), 1), (40, Base::None, 70)];
        assert_eq!(shape(&wide).held_bytes(), 100);
    }

    #[test]
    fn deltas_upon_names_hold_everything() {
        assert_eq!(shape(&[(12, Base::None, 100), (20, Base::Named, 50)]).held_bytes(), 150);
    }

    #[test]
    fn a_delta_upon_nothing_is_refused() {
        assert_eq!(Shape::default().add(12, Base::At(5), 1, 1), None);
    }
}
