//! toolforge.
fn main() {}
