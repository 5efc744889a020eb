//! Rules about what may exist, as data. Empty until the policy issue; it sees JSON only and knows no other crate of ours.
