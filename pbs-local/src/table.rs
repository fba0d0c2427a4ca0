//! Output for people (boxed tables) and for programs (JSON).
//!
//! Nothing is printed for an empty table; an empty list as JSON is `[]`.

use serde_json::Value;

use crate::error::Error;

/// The value of `--output-format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Json,
    JsonPretty,
}

impl Format {
    /// From the option, else from `PROXMOX_OUTPUT_FORMAT`, else text.
    pub(crate) fn of(option: Option<&str>) -> Self {
        let variable = crate::environment::setting("PROXMOX_OUTPUT_FORMAT");
        match option.or(variable.as_deref()) {
            Some("json") => Self::Json,
            Some("json-pretty") => Self::JsonPretty,
            _ => Self::Text,
        }
    }

    /// One line of JSON, or the pretty form; keys sorted.
    pub(crate) fn json(self, value: &Value) -> Result<String, Error> {
        let value = &sorted(value);
        let text =
            if self == Self::JsonPretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
        text.map(|text| text + "\n").map_err(Error::Json)
    }
}

/// Whether serde_json's objects sort their keys depends on a feature that any crate in the build may
/// turn off.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Object(object) => {
            let mut entries: Vec<_> = object.iter().map(|(name, value)| (name.clone(), sorted(value))).collect();
            entries.sort_unstable_by(|one, other| one.0.cmp(&other.0));
            Value::Object(entries.into_iter().collect())
        }
        other => other.clone(),
    }
}

/// A column: its heading, and whether its cells stand at the right.
pub(crate) type Column = (&'static str, bool);

/// A boxed table with headings, or nothing at all where there are no rows.
pub(crate) fn table(columns: &[Column], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let widths = widths(columns.len(), columns.iter().map(|(name, _)| *name).enumerate(), rows);
    let aligned: Vec<_> = columns.iter().map(|(_, right)| *right).collect();
    let heading: Vec<_> = columns.iter().map(|(name, _)| (*name).to_owned()).collect();
    let mut text = rule(&widths, ['┌', '─', '┬', '┐']);
    text.push_str(&line(&widths, &aligned, &heading));
    text.push_str(&rule(&widths, ['╞', '═', '╪', '╡']));
    text.push_str(&body(&widths, &aligned, rows));
    text
}

/// A boxed table without headings.
pub(crate) fn plain_table(right: &[bool], rows: &[Vec<String>]) -> String {
    let widths = widths(right.len(), std::iter::empty(), rows);
    rule(&widths, ['┌', '─', '┬', '┐']) + &body(&widths, right, rows)
}

fn body(widths: &[usize], right: &[bool], rows: &[Vec<String>]) -> String {
    let lines: Vec<_> = rows.iter().map(|row| line(widths, right, row)).collect();
    lines.join(&rule(widths, ['├', '─', '┼', '┤'])) + &rule(widths, ['└', '─', '┴', '┘'])
}

fn widths<'a>(columns: usize, headings: impl Iterator<Item = (usize, &'a str)>, rows: &'a [Vec<String>]) -> Vec<usize> {
    let mut widths = vec![0; columns];
    let cells = rows.iter().flat_map(|row| row.iter().map(String::as_str).enumerate());
    for (column, cell) in headings.chain(cells) {
        if let Some(width) = widths.get_mut(column) {
            *width = (*width).max(cell.chars().count());
        }
    }
    widths
}

fn line(widths: &[usize], right: &[bool], cells: &[String]) -> String {
    let padded =
        widths.iter().zip(right).zip(cells).map(|((width, right), cell)| {
            if *right { format!(" {cell:>width$} ") } else { format!(" {cell:<width$} ") }
        });
    format!("│{}│\n", padded.collect::<Vec<_>>().join("│"))
}

fn rule(widths: &[usize], [left, middle, cross, right]: [char; 4]) -> String {
    let parts: Vec<_> = widths.iter().map(|width| middle.to_string().repeat(width + 2)).collect();
    format!("{left}{}{right}\n", parts.join(&cross.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_looks_as_recorded() {
        let rows = vec![vec!["box.conf.blob".to_owned(), "encrypt".to_owned(), "66".to_owned()]];
        let text = table(&[("filename", false), ("crypt-mode", false), ("size", true)], &rows);
        assert_eq!(
            text,
            "┌───────────────┬────────────┬──────┐\n\
             │ filename      │ crypt-mode │ size │\n\
             ╞═══════════════╪════════════╪══════╡\n\
             │ box.conf.blob │ encrypt    │   66 │\n\
             └───────────────┴────────────┴──────┘\n"
        );
        assert_eq!(table(&[("filename", false)], &[]), "");
    }
}
