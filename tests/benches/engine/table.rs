//! The one table, and the talk beside it.

/// Above the first row.
pub fn head() {
    println!("| figure | aim | min | median | max | of |\n|---|---|---|---|---|---|");
}

/// One row; `of` says what the figures are of, such as `3 runs`.
pub fn row(figure: &str, aim: &str, values: &[f64], of: &str) {
    let Some((min, median, max)) = spread(values) else { return };
    println!("| {figure} | {aim} | {} | {} | {} | {of} |", shown(min), shown(median), shown(max));
}

/// A row about runs.
pub fn runs(figure: &str, aim: &str, values: &[f64]) {
    let plural = if values.len() == 1 { "" } else { "s" };
    row(figure, aim, values, &format!("{} run{plural}", values.len()));
}

/// What goes on, and where time went.
pub fn talk(text: &str) {
    eprintln!("{text}");
}

/// Least, middle and greatest; the lower middle of an even number.
fn spread(values: &[f64]) -> Option<(f64, f64, f64)> {
    let sorted = sorted(values);
    Some((*sorted.first()?, *sorted.get((sorted.len() - 1) / 2)?, *sorted.last()?))
}

/// The value that this share of all does not exceed.
pub fn percentile(values: &[f64], percent: usize) -> f64 {
    let sorted = sorted(values);
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or_default()
}

/// Pair by pair.
pub fn ratios(ours: &[f64], theirs: &[f64]) -> Vec<f64> {
    ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect()
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// Three digits that count.
fn shown(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 || value.fract() == 0.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}
