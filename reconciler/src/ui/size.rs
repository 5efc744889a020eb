//! Sizes for people.

/// `999 B`, `1.2 kB`, `35 MB`: two digits say enough.
pub fn size(bytes: u64) -> String {
    let mut unit_bytes = 1;
    for unit in ["B", "kB", "MB", "GB"] {
        if bytes / unit_bytes < 1000 {
            return with_unit(bytes, unit_bytes, unit);
        }
        unit_bytes *= 1000;
    }
    with_unit(bytes, unit_bytes, "TB")
}

fn with_unit(bytes: u64, unit_bytes: u64, unit: &str) -> String {
    let (whole, tenths) = (bytes / unit_bytes, bytes % unit_bytes * 10 / unit_bytes);
    if whole < 10 && unit_bytes > 1 { format!("{whole}.{tenths} {unit}") } else { format!("{whole} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_are_short() {
        let all = [0, 999, 1_000, 1_250, 35_000_000, 2_100_000_000, 9_900_000_000_000, u64::MAX].map(size);
        assert_eq!(all, ["0 B", "999 B", "1.0 kB", "1.2 kB", "35 MB", "2.1 GB", "9.9 TB", "18446744 TB"]);
    }
}
