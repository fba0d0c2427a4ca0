//! `tenwords directive show NAME`

use serde::Serialize;
use tenwords_protocol::{
    directives::{DirectiveHead, Origin, StoredDirective},
    holdings::Holdings,
    id::BoxId,
    v1::V1,
};

use super::{Standing, described, told};
use crate::{
    cli::ShowDirective,
    command::{Desk, called},
    failure::Failure,
    name::Name,
    show::{clean, table},
};

#[derive(Serialize)]
struct Shown<'a> {
    v: V1,
    box_id: BoxId,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a Name>,
    /// Whether it is the one that stands.
    stands: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    directive: Option<&'a StoredDirective>,
}

#[derive(Serialize)]
struct History<'a> {
    v: V1,
    box_id: BoxId,
    directives: &'a [DirectiveHead],
}

pub(in crate::command) async fn run(desk: &Desk, show: &ShowDirective) -> Result<(), Failure> {
    let map = desk.map()?;
    let id = map.find(&show.which.name)?;
    let hub = desk.hub()?;
    if show.history {
        let mut heads = hub.directives(id, None).await?;
        while let Some(below) = heads.last().map(|last| last.number).filter(|number| number.get() > 1) {
            let (before, more) = (heads.len(), hub.directives(id, Some(below)).await?);
            // That it goes down is not left to the hub.
            heads.extend(more.into_iter().filter(|head| head.number < below));
            if heads.len() == before || heads.len() > MOST {
                break;
            }
        }
        desk.print_json(&History { v: V1, box_id: id, directives: &heads })?;
        return desk.print(&history(&called(&map, id), &heads));
    }
    let Standing { directive: newest, last } = Standing::ask(&hub, id).await?;
    let stands = show.number.is_none_or(|number| newest.as_ref().is_some_and(|it| it.head.number == number));
    let directive = match show.number {
        Some(number) if !stands => Some(hub.directive(id, number).await?),
        _ => newest,
    };
    let name = map.by_id(id).map(|entry| &entry.name);
    desk.print_json(&Shown { v: V1, box_id: id, name, stands, directive: directive.as_ref() })?;
    let called = called(&map, id);
    let Some(stored) = directive else {
        return desk.print(&format!(
            "{called}: no directive yet. The hub makes one from the inventory that the box sends with each ceremony.\n\
             Until then a recovery restores the newest good snapshot of everything that it finds.\n"
        ));
    };
    desk.print(&whole(&called, &stored, stands, last.as_ref().map(|last| &last.inventory)))
}

/// Heads of one answer to `--history`, at most.
const MOST: usize = 10_000;

fn whole(called: &str, stored: &StoredDirective, stands: bool, last: Option<&Holdings>) -> String {
    let head = &stored.head;
    let mut text = format!("{called}\n{}\n", described(head));
    text.push_str(match (stands, head.origin) {
        (false, _) => "It does not stand any more.\n",
        (true, Origin::Automatic) => {
            "A recovery restores the newest good snapshot of everything that it finds, named here or not.\n"
        }
        (true, Origin::Operator) => {
            "A recovery restores these items and nothing else, in this order; what it leaves there, it names.\n"
        }
    });
    let mut rows = vec![["", "WHAT", "CALLED", "FROM", "SNAPSHOT", "AS"].map(String::from).to_vec()];
    for (index, item) in stored.directive.items.iter().enumerate() {
        let name = last.and_then(|last| last.name_of(&item.group)).map(clean).unwrap_or_default();
        let namespace = item.namespace.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
        rows.push(vec![
            format!("{:>3}", index + 1),
            item.group.to_string(),
            name,
            format!("{}{namespace}", item.source),
            told::snapshot(item.snapshot),
            told::target(item),
        ]);
    }
    if stored.directive.items.is_empty() {
        text.push_str("It names nothing: the hub knows of no backup of this box.\n");
    } else {
        text.push_str(&format!("\n{}", table(&rows)));
    }
    for source in last.iter().flat_map(|last| last.sources.iter()).filter(|source| !source.answered) {
        text.push_str(&format!(
            "\nSource {} gave no answer when the box looked last: what lies there is not known here.\n",
            source.id
        ));
    }
    if head.left_out > 0 {
        text.push_str(&format!("\n{} groups of the inventory had no room in it or cannot be named.\n", head.left_out));
    }
    text
}

fn history(called: &str, heads: &[DirectiveHead]) -> String {
    if heads.is_empty() {
        return format!("{called}: no directive yet\n");
    }
    let mut rows = vec![["NUMBER", "MADE", "HOW", "ITEMS", "SHA-256"].map(String::from).to_vec()];
    for head in heads {
        let how = match head.origin {
            Origin::Automatic => "automatic",
            Origin::Operator => "edited",
        };
        let by = head.by.as_deref().map(|name| format!(", operator {}", clean(name))).unwrap_or_default();
        let sha256: String = head.sha256.to_string().chars().take(16).collect();
        let number = head.number.to_string();
        rows.push(vec![number, head.made_at.to_string(), format!("{how}{by}"), head.items.to_string(), sha256]);
    }
    format!("{called}\n\n{}", table(&rows))
}
