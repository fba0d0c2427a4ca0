//! An order in words.

use tenwords_protocol::{
    directive::Namespace,
    order::{Act, Order, OrderedSnapshot, Overwritten},
    time::Timestamp,
};

use super::{Candidate, judged::Standing, stands};
use crate::{
    command::called,
    map::Map,
    show::{clean, for_how_long, harmless, table},
};

/// What it lets happen, in one line.
pub(super) fn act(order: &Order) -> String {
    harmless(&match &order.act {
        Act::RestoreOverwrite { target, snapshot } => {
            format!("replace {} by {}", what(target), of_snapshot(snapshot))
        }
        Act::KeyReplace { key_file, key } => {
            format!("replace the key in {key_file} by the key {key} of this box's escrow")
        }
        Act::Repoint { source, place } => format!(
            "take source {source} to be at {}:{}, datastore {}{}, if its certificate is {}",
            place.server,
            place.port,
            place.datastore,
            in_namespace(place.namespace.as_ref()),
            place.certificate
        ),
        Act::UnsignedSnapshot { snapshot, .. } => {
            format!("restore {} to a free place, although nothing proves who wrote it", of_snapshot(snapshot))
        }
    })
}

/// What is destroyed, in one line.
pub(super) fn destroyed(order: &Order) -> String {
    let first = order.destroys.first().map_or("", |line| line.as_str());
    match order.destroys.len() {
        0 | 1 => clean(first),
        several => format!("{} (and {} more)", clean(first), several - 1),
    }
}

/// The whole of it, but for the code.
pub(super) fn whole(
    candidate: &Candidate,
    order: &Order,
    map: &Map,
    list: (Standing, Option<&str>),
    now: Timestamp,
) -> String {
    let name = called(map, order.box_id);
    let mut text = format!("This order lets {name} do one thing, once:\n\n  {}\n\n{}\n\n", act(order), heading(order));
    for line in order.destroys.iter() {
        text.push_str(&format!("  - {}\n", harmless(line.as_str())));
    }
    text.push('\n');
    text.push_str(&table(&rows(candidate, order, map, list, now)));
    text
}

/// The code, and how it is compared.
pub(super) fn code(candidate: &Candidate) -> String {
    format!(
        "\n  code  {0}\n\nThe same code stands under this order on the box's screen, or it is another order. By \
         telephone:\n\n  \"Please read me the four groups under the order on the box's own screen.\"\n\nCompare all \
         four; you do not read them out first.\n",
        candidate.code()
    )
}

fn rows(
    candidate: &Candidate,
    order: &Order,
    map: &Map,
    (standing, code): (Standing, Option<&str>),
    now: Timestamp,
) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row = |key: &str, value: String| rows.push(vec![format!("  {key}"), harmless(&value)]);
    row("op", order.op().to_string());
    let by = if map.by_id(order.box_id).is_some() { "by your own map" } else { "which your own map does not have" };
    row("box", format!("{}, {by}", called(map, order.box_id)));
    row("machine", order.node_id.map_or_else(|| "none: the box has no hub".to_owned(), |node| node.to_string()));
    row("recovery", order.recovery.to_string());
    act_rows(order, &mut row);
    match order.found {
        Some(found) => {
            row("found", found.to_string());
            row("", "over what lies there now; the order is void once anything else does".to_owned());
        }
        None => row("found", "nothing that is replaced".to_owned()),
    }
    let seen = order.operators;
    let code = code.map_or_else(|| "a list that is not known here".to_owned(), |code| format!("code {code}"));
    let beside = match standing {
        Standing::Same => "the list that you have",
        Standing::Older => "older than yours",
        Standing::Later => "later than yours",
        Standing::Other => "not the list that you have",
        Standing::NotCompared => "not compared",
    };
    row("operators", format!("generation {}, {code}, {beside}", seen.generation));
    row("", seen.sha256.to_string());
    row("challenge", order.challenge.to_string());
    row("issued", format!("{}, {}", order.issued, ago(order.issued, now)));
    row("expires", format!("{}, {}", order.expires, ahead(order.expires, now)));
    row("order", candidate.hash().to_string());
    if let Some(listed) = &candidate.listed {
        row("at the hub", format!("since {}, {}", listed.asked_at, stands(listed)));
    }
    rows
}

fn act_rows(order: &Order, row: &mut impl FnMut(&str, String)) {
    let snapshot_rows = |snapshot: &OrderedSnapshot, row: &mut dyn FnMut(&str, String)| {
        row("source", snapshot.source.as_str().to_owned());
        row("namespace", namespace(snapshot.namespace.as_ref()));
        row("snapshot", snapshot.snapshot.to_string());
        let archive = snapshot.archive.as_ref().map_or("all of them", |archive| archive.as_str());
        row("archive", archive.to_owned());
    };
    match &order.act {
        Act::RestoreOverwrite { target, snapshot } => {
            row("target", what(target));
            snapshot_rows(snapshot, row);
        }
        Act::KeyReplace { key_file, key } => {
            row("key file", key_file.to_string());
            row("key", key.to_string());
        }
        Act::Repoint { source, place } => {
            row("source", source.as_str().to_owned());
            row("server", place.server.to_string());
            row("port", place.port.to_string());
            row("datastore", place.datastore.as_str().to_owned());
            row("namespace", namespace(place.namespace.as_ref()));
            row("certificate", place.certificate.to_string());
        }
        Act::UnsignedSnapshot { snapshot, list_sha256 } => {
            snapshot_rows(snapshot, row);
            row("its files", list_sha256.to_string());
        }
    }
}

fn heading(order: &Order) -> &'static str {
    match &order.act {
        Act::RestoreOverwrite { .. } | Act::KeyReplace { .. } => "What lies there now and will be gone, says the box:",
        Act::Repoint { .. } => "What was believed until now and will not be any more, says the box:",
        Act::UnsignedSnapshot { .. } => "What is given up with it, says the box:",
    }
}

fn what(target: &Overwritten) -> String {
    match target {
        Overwritten::Guest(number) => format!("guest {number}"),
        Overwritten::Path(path) => path.to_string(),
    }
}

fn of_snapshot(snapshot: &OrderedSnapshot) -> String {
    let of = snapshot.archive.as_ref().map(|archive| format!("{} of ", archive.as_str())).unwrap_or_default();
    let place = in_namespace(snapshot.namespace.as_ref());
    format!("{of}the snapshot {} of source {}{place}", snapshot.snapshot, snapshot.source.as_str())
}

fn in_namespace(namespace: Option<&Namespace>) -> String {
    namespace.map(|namespace| format!(", namespace {}", namespace.as_str())).unwrap_or_default()
}

fn namespace(namespace: Option<&Namespace>) -> String {
    namespace.map_or_else(|| "the datastore's root".to_owned(), |namespace| namespace.as_str().to_owned())
}

pub(super) fn ago(then: Timestamp, now: Timestamp) -> String {
    if then > now {
        format!("{} from now", for_how_long(then.since(now)))
    } else {
        format!("{} ago", for_how_long(now.since(then)))
    }
}

fn ahead(then: Timestamp, now: Timestamp) -> String {
    if then > now {
        format!("for another {}", for_how_long(then.since(now)))
    } else {
        format!("over since {}", for_how_long(now.since(then)))
    }
}
