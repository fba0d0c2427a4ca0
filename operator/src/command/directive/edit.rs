//! `tenwords directive edit NAME`

use std::{
    fs::File,
    io::{BufRead as _, IsTerminal as _, Read as _},
    path::Path,
};

use serde::Serialize;
use tenwords_protocol::{
    directive::{Item, Wanted},
    directives::{EditRequest, Origin, StoredDirective, automatic, check},
    holdings::Holdings,
    id::BoxId,
    problem::ProblemCode,
    v1::V1,
};

use super::{Standing, change, described, editor::Edited, text, told};
use crate::{
    cli::EditDirective,
    command::{Desk, called},
    failure::Failure,
    hub::Hub,
    map::Map,
};

#[derive(Serialize)]
struct Done<'a> {
    v: V1,
    box_id: BoxId,
    changes: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    directive: Option<&'a StoredDirective>,
}

/// What is wanted, and the text of it if one was written.
struct Asked {
    request: EditRequest,
    written: Option<Edited>,
}

/// Groups that are named in one line, at most.
const NAMED: usize = 12;

pub(in crate::command) async fn run(desk: &Desk, edit: &EditDirective) -> Result<(), Failure> {
    let map = desk.map()?;
    let id = map.find(&edit.which.name)?;
    let hub = desk.hub()?;
    let standing = Standing::ask(&hub, id).await?;
    let Some(Asked { request, written }) = asked(&map, id, edit, &standing)? else {
        return unchanged(desk, id, "nothing was changed: the text is as it was, or empty");
    };
    let sent = confirm_and_send(desk, &hub, &map, id, edit, &standing, &request).await;
    match (sent, written) {
        (Err(failure), Some(written)) => Err(written.keep(failure, &edit.which.name)),
        (sent, _) => sent,
    }
}

/// What the options or the editor say.
fn asked(map: &Map, id: BoxId, edit: &EditDirective, standing: &Standing) -> Result<Option<Asked>, Failure> {
    let (v, based_on) = (V1, standing.number());
    let of = |items| EditRequest { v, based_on, automatic: false, items };
    if edit.auto {
        let request = EditRequest { v, based_on, automatic: true, items: Vec::new() };
        return Ok(Some(Asked { request, written: None }));
    }
    if let Some(path) = &edit.file {
        let items = text::read(&file(path)?)?;
        return Ok(items.map(|items| Asked { request: of(items), written: None }));
    }
    if edit.has_changes() {
        let items = change::apply(standing.items(), standing.holdings(), edit)?;
        return Ok(Some(Asked { request: of(items), written: None }));
    }
    let now = standing.directive.as_ref().map_or("there is none yet".to_owned(), |stored| described(&stored.head));
    let title = format!("What a recovery of {} restores; {now}", called(map, id));
    let before = text::of(&title, &standing.items(), standing.holdings())?;
    let written = Edited::of(&before)?;
    if written.text == before {
        return Ok(None);
    }
    match text::read(&written.text) {
        Ok(items) => Ok(items.map(|items| Asked { request: of(items), written: Some(written) })),
        Err(failure) => Err(written.keep(failure, &edit.which.name)),
    }
}

async fn confirm_and_send(
    desk: &Desk,
    hub: &Hub,
    map: &Map,
    id: BoxId,
    edit: &EditDirective,
    standing: &Standing,
    request: &EditRequest,
) -> Result<(), Failure> {
    let last = standing.holdings();
    let is_automatic = standing.directive.as_ref().is_none_or(|stored| stored.head.origin == Origin::Automatic);
    let after = match request.automatic {
        true => last.map(|last| automatic(last).items).unwrap_or_default(),
        false => {
            check(&request.items).map_err(|why| {
                let remedy = "to have everything restored again, drop the directive: --auto";
                Failure::usage("directive_unsound", why.to_string(), remedy)
            })?;
            request.items.clone()
        }
    };
    let changes = told::changes(&standing.items(), &after, last);
    if changes.is_empty() && is_automatic == request.automatic {
        return unchanged(desk, id, "that is what stands already: nothing was changed");
    }
    let shown = shown(&called(map, id), &changes, &after, request.automatic, last);
    if !edit.yes {
        confirm(&shown)?;
    } else if !desk.json {
        eprint!("{shown}");
    }
    let stored = hub.edit_directive(id, request).await.map_err(|refused| match refused.code {
        Some(ProblemCode::Outdated) => refused.failure.with_remedy(format!(
            "nothing was changed; look at it (`tenwords directive diff {0}`), then edit again",
            edit.which.name
        )),
        _ => refused.failure,
    })?;
    desk.print_json(&Done { v: V1, box_id: id, changes: &changes, directive: Some(&stored) })?;
    desk.print(&format!("{} stands for {}.\n", described(&stored.head), called(map, id)))
}

/// What would be otherwise, and what that means on the day.
fn shown(name: &str, changes: &[String], after: &[Item], is_automatic: bool, last: Option<&Holdings>) -> String {
    let mut text = format!("{name}:\n");
    changes.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
    if is_automatic {
        text.push_str("A recovery restores the newest good snapshot of everything that it finds.\n");
        return text;
    }
    text.push_str("A recovery restores these items and nothing else, in this order; what it leaves there, it names.\n");
    if let Some(last) = last {
        let others = told::left_out(after, last);
        if !others.is_empty() {
            let more = others.len().saturating_sub(NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let named = others[..others.len().min(NAMED)].join(", ");
            text.push_str(&format!("Not among them, of what the box had on {}: {named}{more}\n", last.made_at));
        }
        for source in last.sources.iter().filter(|source| !source.answered) {
            text.push_str(&format!("What lies at source {} is not known here: it gave no answer then.\n", source.id));
        }
        text.push_str(&format!(
            "What was first backed up after {} is not among them, unless --only names it.\n",
            last.made_at
        ));
    }
    if after.iter().any(|item| matches!(item.snapshot, Wanted::Until(_))) {
        text.push_str(
            "Which snapshots those are, the recovery finds in what the backup server lists then: the hub does not know \
             them.\n",
        );
    }
    text
}

fn confirm(shown: &str) -> Result<(), Failure> {
    let refused = |what: &str| Failure::usage("not_confirmed", what, "to send it without being asked, add --yes");
    eprint!("{shown}");
    if !std::io::stdin().is_terminal() {
        return Err(refused("nothing was changed: there is no terminal to ask at"));
    }
    eprint!("Leave this on the hub? [y/N] ");
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    let is_yes = matches!(line.trim(), "y" | "Y" | "yes");
    if read.is_ok() && is_yes { Ok(()) } else { Err(refused("nothing was changed")) }
}

fn unchanged(desk: &Desk, id: BoxId, why: &str) -> Result<(), Failure> {
    desk.print_json(&Done { v: V1, box_id: id, changes: &[], directive: None })?;
    desk.print(&format!("{why}\n"))
}

fn file(path: &Path) -> Result<String, Failure> {
    const LARGEST: u64 = 4 << 20;
    let failed = |why: &str| {
        let what = format!("the items in {} cannot be read: {why}", path.display());
        Failure::usage("directive_file", what, "name a file as `tenwords directive edit` shows it, or - for stdin")
    };
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(LARGEST + 1).read_to_string(&mut text)
    } else {
        File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_string(&mut text))
    };
    match read {
        Err(error) => Err(failed(&error.kind().to_string())),
        Ok(size) if u64::try_from(size).unwrap_or(u64::MAX) > LARGEST => Err(failed("it is larger than 4 MiB")),
        Ok(_) => Ok(text),
    }
}
