//! Tables: columns that are aligned, with a header and cut to the width of a terminal.

use anstyle::Style;
use console::{measure_text_width, truncate_str};

use super::failure::Failure;
use super::output::{Output, styles};

/// The blanks between two columns.
const GAP: usize = 2;
/// A column is not made narrower than this.
const MIN_WIDTH: usize = 8;
/// What stands for the text that is cut.
pub(super) const CUT: &str = "…";

/// One column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    head: &'static str,
    style: Style,
    is_number: bool,
    is_cut: bool,
}

impl Column {
    /// A column of words that must be readable in full, such as ids.
    pub(super) const fn of(head: &'static str) -> Self {
        Self {
            head,
            style: Style::new(),
            is_number: false,
            is_cut: false,
        }
    }

    /// A column of numbers, which end under each other.
    pub(super) const fn number(head: &'static str) -> Self {
        Self {
            is_number: true,
            ..Self::of(head)
        }
    }

    /// Lets long texts be cut.
    pub(super) const fn cut(self) -> Self {
        Self {
            is_cut: true,
            ..self
        }
    }

    pub(super) const fn style(self, style: Style) -> Self {
        Self { style, ..self }
    }
}

/// A table whose rows are known before the first is printed.
pub(super) struct Columns<const N: usize> {
    columns: [Column; N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Columns<N> {
    pub(super) const fn new(columns: [Column; N]) -> Self {
        Self {
            columns,
            rows: Vec::new(),
        }
    }

    pub(super) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells);
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Prints the rows. On a terminal a header comes first, and no line is wider than it.
    pub(super) fn print(self, out: &mut Output<'_>) -> Result<(), Failure> {
        self.lines(out)
            .into_iter()
            .try_for_each(|line| out.line(&line))
    }

    /// The lines of the table.
    pub(super) fn lines(&self, out: &Output<'_>) -> Vec<String> {
        if self.rows.is_empty() {
            return Vec::new();
        }
        let heads = self.columns.map(|column| column.head);
        let has_head = out.width().is_some();
        let mut widths = [0; N];
        for (place, width) in widths.iter_mut().enumerate() {
            let cells = self.rows.iter().map(|row| measure_text_width(&row[place]));
            let widest = cells.max().unwrap_or(0);
            // A column that is empty everywhere has no header either.
            *width = match has_head && widest > 0 {
                true => widest.max(measure_text_width(heads[place])),
                false => widest,
            };
        }
        if let Some(limit) = out.width() {
            self.fit(&mut widths, limit);
        }
        let head = has_head.then(|| {
            let faint = [styles::FAINT; N];
            self.line(out, &widths, &heads.map(str::to_owned), &faint)
        });
        let styles = self.columns.map(|column| column.style);
        let rows = self
            .rows
            .iter()
            .map(|row| self.line(out, &widths, row, &styles));
        head.into_iter().chain(rows).collect()
    }

    /// Makes the widest of the columns that can be cut narrower, until all fit.
    fn fit(&self, widths: &mut [usize; N], limit: usize) {
        loop {
            let shown = widths.iter().filter(|width| **width > 0).count();
            let total = widths.iter().sum::<usize>() + GAP * shown.saturating_sub(1);
            let Some(excess) = total.checked_sub(limit).filter(|excess| *excess > 0) else {
                return;
            };
            let cuttable = widths.iter_mut().zip(&self.columns);
            let cuttable = cuttable.filter(|(width, column)| column.is_cut && **width > MIN_WIDTH);
            let Some((widest, _)) = cuttable.max_by_key(|(width, _)| **width) else {
                return;
            };
            // By half at most, so that a second long column loses its share.
            *widest -= excess.min((*widest - MIN_WIDTH).div_ceil(2));
        }
    }

    fn line(
        &self,
        out: &Output<'_>,
        widths: &[usize; N],
        cells: &[String; N],
        styles: &[Style; N],
    ) -> String {
        let mut line = String::new();
        let mut column = 0;
        for (place, cell) in cells
            .iter()
            .enumerate()
            .filter(|(place, _)| widths[*place] > 0)
        {
            let width = widths[place];
            let cell = truncate_str(cell, width, CUT);
            let blank = width - measure_text_width(&cell).min(width);
            let before = if self.columns[place].is_number {
                blank
            } else {
                0
            };
            // Blanks before a cell are printed with it, so that no line ends in blanks.
            let start = match line.is_empty() && column == 0 {
                true => 0,
                false => column + GAP,
            };
            if !cell.is_empty() {
                let written = measure_text_width(&console::strip_ansi_codes(&line));
                line.push_str(&" ".repeat((start + before).saturating_sub(written)));
                line.push_str(&out.paint(styles[place], &cell));
            }
            column = start + width;
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::args::Args;
    use clap::Parser;

    fn lines(words: &[&str], on_terminal: bool) -> Vec<String> {
        let words = [&["lattice", "types"], words].concat();
        let args = Args::try_parse_from(words).expect("these are arguments");
        let (data, notes) = (std::io::sink(), std::io::sink());
        let out = match on_terminal {
            true => Output::on_terminal(data, notes, &args.global),
            false => Output::kept(data, notes, &args.global),
        };
        let mut table = Columns::new([
            Column::of("ID"),
            Column::number("SIZE"),
            Column::of("NOTE"),
            Column::of("NAME").cut(),
        ]);
        let row = |id: &str, size: &str, name: &str| {
            [
                id.to_owned(),
                size.to_owned(),
                String::new(),
                name.to_owned(),
            ]
        };
        table.row(row("abcdefgh", "1", "x"));
        table.row(row("a", "22", &"цвет ".repeat(20)));
        table.row(row("", "333", ""));
        table.lines(&out)
    }

    #[test]
    fn a_terminal_gets_a_header_and_lines_that_fit() {
        let lines = lines(&[], true);
        assert_eq!(lines[0], "ID        SIZE  NAME");
        assert_eq!(lines[1], "abcdefgh     1  x");
        assert_eq!(lines[3], "           333");
        assert!(lines[2].ends_with('…'), "{lines:?}");
        assert_eq!(measure_text_width(&lines[2]), 80);
    }

    #[test]
    fn a_pipe_gets_every_row_in_full() {
        let lines = lines(&[], false);
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0], "abcdefgh    1  x");
        assert!(lines[1].ends_with("цвет "), "{lines:?}");
        assert_eq!(lines[2], "          333");
    }

    #[test]
    fn colours_do_not_move_columns() {
        let lines = lines(&["--color", "always"], true);
        assert_eq!(console::strip_ansi_codes(&lines[0]), "ID        SIZE  NAME");
    }
}
