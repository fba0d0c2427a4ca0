//! What can be typed about boxes.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use tenwords_protocol::{bounded::Text, nodes::MAX_TICKET_DAYS};

use super::{Which, reason};
use crate::name::Name;

const ADD_AFTER: &str = "\
One box, or a list of them:

  tenwords box add lab-1 --customer 'Bakery Ltd'
  tenwords box add --from boxes.csv --tickets tickets.csv

boxes.csv begins with the names of its columns: name, and if you like customer and for_days. All
lines are checked before the first box is added. Run it again after it was cut off: what is there
already is said and left as it is, so that no ticket that you have handed out ends. tickets.csv is
made for you alone (0600), and no ticket of a list is shown on a screen.";

#[derive(Debug, Subcommand)]
pub(crate) enum BoxCommand {
    /// Add a box and show its enrolment ticket, once; or add all boxes of a list
    ///
    /// The box's id is drawn here and kept in your own map, so that a hub can never make one box
    /// out of another.
    #[command(after_help = ADD_AFTER)]
    Add(Add),
    /// Ask the nodes of a box for their report now
    Call(CallBox),
    /// All boxes: what the hub knows, under the names of your own map
    List(ListBoxes),
    /// Take a node out of its box: its certificates are revoked
    ///
    /// For a machine that is gone and will not come back. One that is installed anew under its old name
    /// needs nothing but a ticket (`tenwords box ticket NAME --reinstall HOST`): it is the same node.
    RemoveNode(RemoveNode),
    /// A box is no more: its certificates and tickets are revoked, its history is kept
    ///
    /// Nothing is deleted by it. Once the days of --keep-days are over, the hub lets the history go, for good; until
    /// then a box that was retired by mistake is one again with --undo.
    Retire(Retire),
    /// Say whose a box is
    Set(SetBox),
    /// One box in full, with its nodes
    Show(Which),
    /// An enrolment ticket of a box that is there already: for another node, or one that was installed anew
    Ticket(TicketOf),
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    /// What you call the box: letters, digits, dots, dashes, underscores
    #[arg(required_unless_present = "from", conflicts_with = "from")]
    pub(crate) name: Option<Name>,
    /// Whose the box is
    #[arg(long, value_name = "NAME", conflicts_with = "from")]
    pub(crate) customer: Option<String>,
    /// For how many days the ticket is good, 1 to 30 [default: 1]
    #[arg(long, value_name = "N", value_parser = days())]
    pub(crate) for_days: Option<u32>,
    /// A list of boxes (CSV) to be added
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
    /// Where the tickets of the list are written, a file that is not there yet; with --json they go to
    /// stdout instead, unless that is a terminal
    #[arg(long, value_name = "FILE", requires = "from", conflicts_with = "json")]
    pub(crate) tickets: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct CallBox {
    #[command(flatten)]
    pub(crate) which: Which,
}

#[derive(Debug, Args)]
pub(crate) struct ListBoxes {
    /// Only those of this customer
    #[arg(long, value_name = "NAME")]
    pub(crate) customer: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveNode {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Its host name or id, as `tenwords box show` has it
    #[arg(value_name = "NODE")]
    pub(crate) node: String,
    /// Without being asked
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Retire {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub(crate) reason: String,
    /// A last kit was written on the box (`tenwords-agent kit`) and is kept, away from the ten words
    #[arg(long, required_unless_present_any = ["without_kit", "undo"], conflicts_with_all = ["without_kit", "undo"])]
    pub(crate) kit_made: bool,
    /// Nobody will want anything of this box back
    #[arg(long, conflicts_with = "undo")]
    pub(crate) without_kit: bool,
    /// For how many days the history is kept at least, 30 to 36500
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = clap::value_parser!(u32).range(30..=36_500))]
    pub(crate) keep_days: u32,
    /// The box was retired by mistake: it is one again, and its nodes need new enrolment tickets
    #[arg(long)]
    pub(crate) undo: bool,
    /// Without asking for the box's name
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SetBox {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Whose the box is; empty for nobody's
    #[arg(long, value_name = "NAME")]
    pub(crate) customer: String,
}

#[derive(Debug, Args)]
pub(crate) struct TicketOf {
    #[command(flatten)]
    pub(crate) which: Which,
    /// For how many days the ticket is good, 1 to 30 [default: 1]
    #[arg(long, value_name = "N", value_parser = days())]
    pub(crate) for_days: Option<u32>,
    /// The box's other enrolment tickets end, if one went astray
    #[arg(long)]
    pub(crate) end_others: bool,
    /// For the node of this name, installed anew: the ticket is good for it alone
    #[arg(long, value_name = "HOST", value_parser = host)]
    pub(crate) reinstall: Option<Text<253>>,
}

fn host(text: &str) -> Result<Text<253>, &'static str> {
    let fits = !text.is_empty()
        && text.len() <= 253
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    fits.then(|| Text::cut(text)).ok_or("a host name has letters, digits, dots and hyphens")
}

fn days() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=i64::from(MAX_TICKET_DAYS))
}
