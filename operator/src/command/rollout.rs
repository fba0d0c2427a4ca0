//! `tenwords box add --from boxes.csv`: all boxes of a list, and their tickets in a file.
//!
//! Every line is read before the first box is added. A box that the map has, and that the hub took, is left
//! as it is: its ticket may be on its way already. So the same command goes on where it was cut off.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{IsTerminal as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use serde::{Deserialize, Serialize};
use tenwords_protocol::{
    bounded::Text,
    boxes::{BoxSummary, TicketReply},
    nodes::MAX_TICKET_DAYS,
    v1::V1,
};
use zeroize::Zeroizing;

use super::{Desk, add, set, ticket};
use crate::{cli::Add, failure::Failure, files, map::Map, name::Name};

/// Of a list: a few thousand boxes.
const LARGEST: usize = 1 << 20;
const SECRET: &str = "whoever has one of these tickets can enrol a machine as that box";

/// A line of the list, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    name: String,
    #[serde(default)]
    customer: Option<String>,
    #[serde(default)]
    for_days: Option<u32>,
}

/// A line of the list that can be added.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    name: Name,
    customer: Option<Text<100>>,
    for_days: Option<u32>,
}

#[derive(Serialize)]
struct Shown<'a> {
    v: V1,
    added: Vec<ticket::Shown<'a>>,
    existed: &'a [Name],
}

pub(super) async fn run(desk: &Desk, add: &Add) -> Result<(), Failure> {
    let Some(from) = &add.from else { return Err(Failure::internal("a list was expected")) };
    let rows = read(&files::read(from, LARGEST)?, add.for_days)?;
    if add.tickets.is_none() && (!desk.json || std::io::stdout().is_terminal()) {
        let what = "no ticket of a list is shown on a screen";
        return Err(Failure::usage("tickets", what, "name a file for them: --tickets tickets.csv"));
    }
    if let Some(path) = &add.tickets {
        files::is_free(path)?;
    }
    let mut out = add.tickets.as_deref().map(|path| (path, None::<File>));
    let hub = desk.hub()?;
    let (new, existed) = sorted(rows, &desk.map()?, &hub.boxes().await?)?;
    let mut added: Vec<(Name, TicketReply)> = Vec::new();
    let mut failed = None;
    for Row { name, customer, for_days } in new {
        match add::one(desk, &hub, &name, customer, for_days).await {
            Ok(one) => {
                if let Some((path, file)) = &mut out {
                    keep(path, file, &name, &one.reply)?;
                }
                added.push((name, one.reply));
            }
            Err(failure) => {
                let more = "run the same command again with another --tickets file: it goes on where it was";
                failed = Some(failure.with_more(more));
                break;
            }
        }
    }
    let shown = added.iter().map(|(name, reply)| ticket::Shown::new(Some(name), reply)).collect();
    desk.print_json(&Shown { v: V1, added: shown, existed: &existed })?;
    desk.print(&told(added.len(), &existed, add.tickets.as_deref()))?;
    failed.map_or(Ok(()), Err)
}

/// Every line, strictly: which column is which stands in the first.
fn read(text: &[u8], for_days: Option<u32>) -> Result<Vec<Row>, Failure> {
    let wrong = |line: u64, why: String| {
        let what = format!("line {line} of the list: {why}");
        Failure::usage(
            "list",
            what,
            "nothing was added; the columns are name, customer, for_days (`tenwords box add --help`)",
        )
    };
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text);
    let mut names = BTreeSet::new();
    let mut rows = Vec::new();
    for line in reader.deserialize::<Line>() {
        let line = line.map_err(|error| {
            let at = error.position().map_or(1, csv::Position::line);
            wrong(at, crate::show::clean(&error.to_string()))
        })?;
        let at = u64::try_from(rows.len()).unwrap_or(u64::MAX).saturating_add(2);
        let name: Name = line.name.parse().map_err(|error| wrong(at, format!("{error}")))?;
        if !names.insert(name.clone()) {
            return Err(wrong(at, format!("{name} stands in it twice")));
        }
        let customer = line.customer.as_deref().filter(|text| !text.is_empty()).map(set::customer).transpose();
        let customer =
            customer.map_err(|_| wrong(at, "the customer is not one line of at most 100 characters".into()))?;
        let for_days = line.for_days.or(for_days);
        if for_days.is_some_and(|days| !(1..=MAX_TICKET_DAYS).contains(&days)) {
            return Err(wrong(at, "a ticket is good for 1 to 30 days".into()));
        }
        rows.push(Row { name, customer, for_days });
    }
    if rows.is_empty() { Err(wrong(1, "it has no box".into())) } else { Ok(rows) }
}

/// What is to be added, and what is there already. A name that the hub has and the map has not is another
/// operator's: nothing is added then.
fn sorted(rows: Vec<Row>, map: &Map, boxes: &[BoxSummary]) -> Result<(Vec<Row>, Vec<Name>), Failure> {
    let (mut new, mut existed) = (Vec::new(), Vec::new());
    for row in rows {
        match map.by_name(&row.name) {
            Some(entry) if entry.acknowledged => existed.push(row.name),
            None if boxes.iter().any(|summary| summary.name == row.name.as_str()) => {
                let what = format!("the hub has a box of the name {} that your own map does not know", row.name);
                return Err(Failure::usage("conflict", what, "nothing was added; take another name for it"));
            }
            _ => new.push(row),
        }
    }
    Ok((new, existed))
}

/// One ticket more is in the file, for its owner alone, before the next box is added.
fn keep(path: &Path, file: &mut Option<File>, name: &Name, reply: &TicketReply) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        let what = format!("{} cannot be written: {}", path.display(), error.kind());
        let remedy = format!("{name} was added; `tenwords box ticket {name}` gives another ticket for it");
        Failure::usage("file", what, remedy)
    };
    let mut text = Zeroizing::new(String::new());
    if file.is_none() {
        text.push_str("name,box_id,ticket,expires_at\n");
        let made = File::options().create_new(true).write(true).mode(0o600).open(path);
        *file = Some(made.map_err(failed)?);
    }
    // A name has no character that CSV would quote, and a ticket none either.
    text.push_str(&format!("{name},{},{},{}\n", reply.box_id, reply.ticket.paste, reply.expires_at));
    match file {
        Some(file) => file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed),
        None => Ok(()),
    }
}

fn told(added: usize, existed: &[Name], tickets: Option<&Path>) -> String {
    let mut text = format!("{added} boxes were added, {} were there already.\n", existed.len());
    for name in existed {
        text.push_str(&format!(
            "  {name} was left as it is; `tenwords box ticket {name}` gives a ticket if it needs one\n"
        ));
    }
    if let Some(path) = tickets.filter(|_| added > 0) {
        text.push_str(&format!("Their tickets are in {}: {SECRET}.\n", path.display()));
    }
    text
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_list_is_read_whole_or_not_at_all() {
        let rows = read(b"name,customer,for_days\nlab-1,Bakery M\xc3\xbcller,30\nlab-2, ,\n", Some(7)).unwrap();
        let shown: Vec<_> =
            rows.iter().map(|row| (row.name.as_str(), row.customer.as_ref().map(Text::as_str), row.for_days)).collect();
        assert_eq!(shown, [("lab-1", Some("Bakery M\u{fc}ller"), Some(30)), ("lab-2", None, Some(7))]);
        assert_eq!(read(b"name\nlab-1\n", None).unwrap().len(), 1);
        for wrong in [
            "",
            "name\n",
            "lab-1\nlab-2\n",
            "name,ip\nlab-1,10.0.0.1\n",
            "name,customer\nlab-1\n",
            "name,customer\nlab-1,a,b\n",
            "name,name\nlab-1,lab-1\n",
            "name\nlab-1\nlab-1\n",
            "name\ntwo words\n",
            "name,for_days\nlab-1,31\n",
            "name,for_days\nlab-1,0\n",
            "name,for_days\nlab-1,a day\n",
            "name,customer\nlab-1,\u{202e}x\n",
            "customer\nBakery\n",
        ] {
            assert!(read(wrong.as_bytes(), None).is_err(), "{wrong:?}");
        }
        assert!(read(b"name\n\xff\n", None).is_err());
    }
}
