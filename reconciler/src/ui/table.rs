//! A table with no lines: columns two spaces apart, the last one as long as it likes.

use super::{Style, Ui};
use renderer::diagnostic::on_one_line;

/// Rows under a heading.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<(String, Option<Style>)>>,
}

impl Table {
    /// A table with this heading.
    pub fn new(heading: &[&str]) -> Self {
        Self { rows: vec![heading.iter().map(|cell| ((*cell).to_owned(), Some(Style::Title))).collect()] }
    }

    /// One more row: a line, whatever its cells hold.
    pub fn row(&mut self, cells: Vec<(String, Option<Style>)>) {
        self.rows.push(cells.into_iter().map(|(cell, style)| (on_one_line(&cell), style)).collect());
    }

    /// As text for stdout.
    pub fn print(&self, ui: &Ui) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|at| self.rows.iter().filter_map(|row| row.get(at)).map(|(cell, _)| cell.chars().count()).max())
            .map(|width| width.unwrap_or(0))
            .collect();
        self.rows.iter().map(|row| line(row, &widths, ui)).collect()
    }
}

fn line(row: &[(String, Option<Style>)], widths: &[usize], ui: &Ui) -> String {
    let mut out = String::new();
    for (at, (cell, style)) in row.iter().enumerate() {
        let last = at + 1 == row.len();
        let gap = if last { 0 } else { widths[at].saturating_sub(cell.chars().count()) + 2 };
        out.push_str(&style.map_or_else(|| cell.clone(), |style| ui.data_in(style, cell)));
        out.push_str(&" ".repeat(gap));
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::ColourChoice;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_have_no_tail() {
        let mut table = Table::new(&["TOOL", "READY"]);
        table.row(vec![("wordcount".to_owned(), None), ("True".to_owned(), Some(Style::Good))]);
        table.row(vec![("a".to_owned(), None), (String::new(), None)]);
        table.row(vec![("b\nfake".to_owned(), None), ("True".to_owned(), None)]);
        let text = "TOOL        READY\nwordcount   True\na\nb\\u{a}fake  True\n";
        assert_eq!(table.print(&Ui::new(ColourChoice::Never, false)), text);
    }
}
