//! The commands of a page, and what a reader fills in.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};

/// A text on a page that stands for another one.
pub(super) struct Placeholder {
    pub(super) on_page: &'static str,
    pub(super) becomes: String,
    pub(super) from: Source,
}

/// Where a reader has it from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// It is a place on the reader's machine.
    Machine,
    /// An earlier command has shown it.
    Screen,
    /// It stands in the opened root.
    Root,
}

/// What is filled in, and what of it was used.
pub(super) struct Table {
    rows: Vec<Placeholder>,
    used: BTreeSet<&'static str>,
}

impl Table {
    pub(super) fn new(rows: Vec<Placeholder>) -> Self {
        Self { rows, used: BTreeSet::new() }
    }

    /// The command as a reader types it, who has seen `shown`.
    pub(super) fn fill(&mut self, command: &str, shown: &str) -> Result<String> {
        let mut filled = command.to_owned();
        for Placeholder { on_page, becomes, from } in &self.rows {
            if !filled.contains(on_page) {
                continue;
            }
            let known = *from != Source::Screen || shown.contains(becomes);
            ensure!(known, "`{command}`: nothing before it shows what `{on_page}` is, {becomes}");
            filled = filled.replace(on_page, becomes);
            self.used.insert(on_page);
        }
        let open = filled.split('<').skip(1).any(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric()));
        ensure!(!open && !filled.contains('…'), "`{filled}`: not everything is filled in");
        Ok(filled)
    }

    /// Whether the page has every placeholder of the table.
    pub(super) fn is_used_up(&self) -> Result<()> {
        let idle: Vec<&str> =
            self.rows.iter().map(|row| row.on_page).filter(|on_page| !self.used.contains(on_page)).collect();
        ensure!(idle.is_empty(), "the page does not have {idle:?}");
        Ok(())
    }
}

/// Every command of a page in Markdown, without its comment. Whatever could hold a command and is not an
/// indented line is refused, so that none is left out.
pub(super) fn of_markdown(page: &str) -> Result<Vec<String>> {
    ensure!(!page.contains("```") && !page.contains("~~~") && !page.contains('\t'), "a command that is not indented");
    let commands: Vec<String> =
        page.lines().filter_map(|line| line.strip_prefix("    ")).map(without_comment).collect();
    ensure!(commands.len() > 20 && commands.iter().all(|command| !command.is_empty()), "{commands:?}");
    Ok(commands)
}

/// Every command of a sheet, which has them last, each below its note.
pub(super) fn of_sheet(sheet: &str, heading: &str) -> Vec<String> {
    let lines = sheet.lines().skip_while(|line| *line != heading);
    let indented = lines.filter_map(|line| line.strip_prefix("    ")).filter(|line| !line.starts_with("# "));
    indented.map(str::to_owned).collect()
}

fn without_comment(line: &str) -> String {
    line.split_once("  #").map_or(line, |(command, _)| command).trim_end().to_owned()
}
