//! `tenwords directive diff NAME [A] [B]`

use std::num::NonZeroU64;

use serde::Serialize;
use tenwords_protocol::{
    directives::{Origin, StoredDirective},
    id::BoxId,
    v1::V1,
};

use super::{Standing, described, told};
use crate::{
    cli::DiffDirective,
    command::{Desk, called},
    failure::Failure,
    hub::Hub,
};

#[derive(Serialize)]
struct Differs<'a> {
    v: V1,
    box_id: BoxId,
    from: Option<NonZeroU64>,
    to: NonZeroU64,
    changes: &'a [String],
}

pub(in crate::command) async fn run(desk: &Desk, diff: &DiffDirective) -> Result<(), Failure> {
    let map = desk.map()?;
    let id = map.find(&diff.which.name)?;
    let hub = desk.hub()?;
    let standing = Standing::ask(&hub, id).await?;
    let to = match (diff.to, standing.directive) {
        (Some(number), _) => hub.directive(id, number).await?,
        (None, Some(newest)) => newest,
        (None, None) => {
            let what = format!("{} has no directive yet", called(&map, id));
            return Err(Failure::usage("no_directive", what, "it gets its first with the box's next ceremony"));
        }
    };
    let from = before(&hub, id, diff.from, &to).await?;
    let items = from.as_ref().map(|from| &from.directive.items[..]).unwrap_or_default();
    let last = standing.last.as_ref().map(|last| &last.inventory);
    let mut changes = told::changes(items, &to.directive.items, last);
    let origin = from.as_ref().map_or(Origin::Automatic, |from| from.head.origin);
    match (origin, to.head.origin) {
        (Origin::Automatic, Origin::Operator) => changes.push("~ nothing else is restored from here on".to_owned()),
        (Origin::Operator, Origin::Automatic) => changes.push("~ everything is restored again".to_owned()),
        _ => {}
    }
    let (from_number, to_number) = (from.as_ref().map(|from| from.head.number), to.head.number);
    desk.print_json(&Differs { v: V1, box_id: id, from: from_number, to: to_number, changes: &changes })?;
    let head = |stored: &StoredDirective| described(&stored.head);
    let mut text =
        format!("{}\nfrom {}\nto   {}\n", called(&map, id), from.as_ref().map_or("none".to_owned(), head), head(&to));
    changes.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
    if changes.is_empty() {
        text.push_str("  no difference\n");
    }
    desk.print(&text)
}

/// The one that was named, else the one before; the first has none.
async fn before(
    hub: &Hub,
    id: BoxId,
    named: Option<NonZeroU64>,
    to: &StoredDirective,
) -> Result<Option<StoredDirective>, Failure> {
    let number = named.or_else(|| NonZeroU64::new(to.head.number.get() - 1));
    match number {
        Some(number) => Ok(Some(hub.directive(id, number).await?)),
        None => Ok(None),
    }
}
