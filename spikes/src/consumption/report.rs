//! The findings as a page, redacted: no secret, no host, no path.

use std::fmt::Write as _;

use anyhow::Result;
use tenwords_protocol::time::Timestamp;

use super::{Evidence, Pass, Phase};
use crate::story::holds;

/// The page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings(String);

/// The page of these runs.
///
/// # Errors
/// A text of it looks like what must not be in it.
pub fn findings(passes: &[Pass], now: Timestamp) -> Result<Findings> {
    let mut page = String::from(
        "# Escrow consumption\n\n\
         Written by `consumption` (package tenwords-spikes); run it again with `cargo run -p tenwords-spikes --bin consumption`\n\
         after `cargo build --workspace --bins`. Every fact below ends the run if it does not hold. Redacted: no secret, host or path.\n",
    );
    let _ = writeln!(page, "\nMade on {}.", &now.to_string()[..10]);
    for pass in passes {
        let title = if pass.terminal { "With a controlling terminal" } else { "Without a controlling terminal" };
        let _ = writeln!(page, "\n## {title}");
        for Phase { name, title, evidence, milliseconds } in &pass.phases {
            let shown = match name.strip_prefix('C') {
                Some(number) => format!("{name} (S{number}): {title}"),
                None => title.clone(),
            };
            let _ = writeln!(
                page,
                "\n### {shown}\n\n({}.{} s)\n\n| fact | seen |\n| --- | --- |",
                milliseconds / 1000,
                milliseconds % 1000 / 100
            );
            for Evidence { fact, seen } in evidence {
                let _ = writeln!(page, "| {} | {} |", cell(fact), cell(seen));
            }
        }
    }
    for telling in ["/tmp", "/home", "/dev/shm", "@pbs", "BEGIN", "AGE-SECRET"] {
        holds(!page.contains(telling), format!("the report does not contain `{telling}`"))?;
    }
    Ok(Findings(page))
}

impl Findings {
    /// The page as Markdown.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One line, no column of its own.
fn cell(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(seen: &str) -> Result<Findings> {
        let evidence = vec![Evidence { fact: "a fact".into(), seen: seen.into() }];
        let phase = Phase { name: "C1".into(), title: "A title".into(), evidence, milliseconds: 1234 };
        findings(&[Pass { terminal: false, phases: vec![phase] }], Timestamp::from_unix(1_772_539_200)?)
    }

    #[test]
    fn a_page_is_made_and_nothing_telling_gets_into_it() -> Result<()> {
        let made = page("seen | and\nsplit")?;
        assert!(made.as_str().contains("### C1 (S1): A title\n\n(1.2 s)\n"));
        assert!(made.as_str().contains("| a fact | seen \\| and split |"));
        assert!(made.as_str().contains("## Without a controlling terminal"));
        for telling in ["/tmp/tenwords-x/K.enc", "backup@pbs!box1", "AGE-SECRET-KEY-1"] {
            assert!(page(telling).is_err(), "{telling}");
        }
        Ok(())
    }
}
