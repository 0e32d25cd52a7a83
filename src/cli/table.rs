//! Tables without borders, as wide as the terminal and no wider.

use std::io::{self, IsTerminal};

use comfy_table::{Cell, ColumnConstraint, ContentArrangement, Table};

use super::text::escaped;

/// The names and values of one thing, a line each; empty values are left out.
#[derive(Default)]
pub(crate) struct Properties(Vec<(&'static str, String)>);

impl Properties {
    /// Adds a line, unless the value is empty.
    pub(crate) fn add(&mut self, name: &'static str, value: impl Into<String>) {
        let value = value.into();
        if !value.is_empty() {
            self.0.push((name, value));
        }
    }

    /// The lines, for a terminal of so many columns.
    pub(crate) fn lines(&self, width: Option<u16>) -> String {
        let mut table = plain(width);
        for (name, value) in &self.0 {
            table.add_row([cell(name), cell(value)]);
        }
        finish(table, &[0])
    }
}

/// Many things, a line each under a header. The columns named by `whole` hold
/// what is to be copied, and are never broken.
pub(crate) fn listing(
    header: &[&str],
    rows: &[Vec<String>],
    whole: &[usize],
    width: Option<u16>,
) -> String {
    let mut table = plain(width);
    table.set_header(header.iter().copied().map(cell));
    for row in rows {
        table.add_row(row.iter().map(|text| cell(text)));
    }
    finish(table, whole)
}

/// The columns of the terminal that stdout is. `None`: it is none, and lines
/// are as long as they are, which programs that read them want.
pub(crate) fn terminal_width() -> Option<u16> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    rustix::termios::tcgetwinsize(stdout)
        .ok()
        .map(|size| size.ws_col)
        .filter(|columns| *columns > 0)
}

fn cell(text: &str) -> Cell {
    Cell::new_owned(escaped(text))
}

fn plain(width: Option<u16>) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    if let Some(width) = width {
        table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width);
    }
    table
}

fn finish(mut table: Table, whole: &[usize]) -> String {
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if whole.contains(&index) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    let mut text = table.trim_fmt();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_line_up_and_leave_out_what_is_empty() {
        let mut properties = Properties::default();
        properties.add("Key", "key_1");
        properties.add("Environment", "");
        properties.add("Principal", "user:ada");
        assert_eq!(
            properties.lines(None),
            "Key        key_1\nPrincipal  user:ada\n"
        );
    }

    #[test]
    fn a_name_cannot_carry_an_instruction_to_the_terminal() {
        let rows = [vec!["k1".to_owned(), "a\x1b[31mb\n".to_owned()]];
        assert_eq!(
            listing(&["KEY", "NAME"], &rows, &[0], None),
            "KEY  NAME\nk1   a\\u{1b}[31mb\\n\n"
        );
    }

    #[test]
    fn a_table_fits_the_terminal_and_keeps_ids_whole() {
        let id = "key_01k3c5hw7n8d0r2vxk4w9g6m1t";
        let rows = [vec![
            id.to_owned(),
            "a name of several words that is rather long".to_owned(),
        ]];
        let text = listing(&["KEY", "NAME"], &rows, &[0], Some(50));
        assert!(
            text.lines().all(|line| line.chars().count() <= 50),
            "{text}"
        );
        assert!(text.contains(id), "{text}");
    }
}
