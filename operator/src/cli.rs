//! What can be typed. The help is written to be read by somebody who does this for the first time,
//! at night.

mod boxes;
mod directive;
mod order;
mod pins;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use tenwords_protocol::{readiness::State, time::Timestamp};

pub(crate) use self::boxes::{Add, BoxCommand, CallBox, ListBoxes, RemoveNode, Retire, SetBox, TicketOf};
pub(crate) use self::directive::{Choice, DiffDirective, DirectiveCommand, EditDirective, ShowDirective};
pub(crate) use self::order::{ListOrders, OrderCommand, SendOrder, ShowOrder, SignOrder, StatedBox};
pub(crate) use self::pins::{EndPins, InitPins, PinsCommand, ProposePins, SendPins, ShowPins, SignPins, TakePins};

const AFTER: &str = "\
Settings come from the flag, else from the variable, else from ~/.config/tenwords/operator.toml:

  hub = \"https://hub.example.net:8444\"      TENWORDS_HUB
  ca = \"/etc/tenwords/server-ca.pem\"        TENWORDS_CA
  token_file = \"/home/me/.tenwords-token\"   TENWORDS_TOKEN_FILE

`tenwords-hub init` prints the token once and writes server-ca.pem; copy both over a channel that
you trust. Only this CA is believed, whatever the system trusts.

Exit codes: 0 done, 1 looked at and not as it should be, 2 not possible as asked, 13 the box has
not said yet, 15 hub not reached, 16 not authorised, 20 internal.";

const ARM_AFTER: &str = "\
The ticket leads the new machine to the hub and may be read out or sent: it opens nothing without
the ten words. You never hear or type the words. Only the customer does, at the new machine's own
console, and no page or message of the hub ever asks for them.

  tenwords recovery arm lab-1 --reason 'fire in the rack'
  tenwords recovery arm lab-1 --reason 'yearly practice' --rehearsal
  tenwords recovery arm lab-1 --reason 'burglary' --stolen --lost-at 2026-03-03T02:00:00Z";

/// Boxes and their recovery, from the operator's desk
#[derive(Debug, Parser)]
#[command(name = "tenwords", version, after_help = AFTER, max_term_width = 100)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct Common {
    /// The hub's address for people: https, its name, its port (see below)
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) hub: Option<String>,
    /// The hub's server CA, PEM; nothing else is believed
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// A file with your token, readable for you alone
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Where your own map of box names lies [default: ~/.local/share/tenwords]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Another settings file
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// One JSON text on stdout; warnings and refusals as lines of JSON on stderr
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Add a box, list boxes, look at one; its nodes, tickets, and its end
    #[command(subcommand, arg_required_else_help = true, disable_help_subcommand = true)]
    Box(BoxCommand),
    /// Which box can be brought back today, and what mends the others
    ///
    /// The hub's judgement by what each box reports and what it holds of it: ready, at-risk, ceremony-pending,
    /// unprotected. For cron and CI: `tenwords fleet --fail-on at-risk` ends with 1 if any box stands so badly or
    /// worse, also if the hub keeps quiet about a box of your own map.
    Fleet(Fleet),
    /// Open or close a box's recovery window
    #[command(subcommand, arg_required_else_help = true, disable_help_subcommand = true)]
    Recovery(RecoveryCommand),
    /// Look at what a recovery restores, and choose it
    #[command(subcommand, arg_required_else_help = true, disable_help_subcommand = true)]
    Directive(DirectiveCommand),
    /// Look at what a box asks for, and have it signed
    #[command(subcommand, arg_required_else_help = true, disable_help_subcommand = true)]
    Order(OrderCommand),
    /// The operators' keys that boxes believe: look, change, sign the change
    #[command(subcommand, arg_required_else_help = true, disable_help_subcommand = true)]
    Pins(PinsCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum RecoveryCommand {
    /// Open a recovery window and show its ticket, once
    #[command(after_help = ARM_AFTER)]
    Arm(Arm),
    /// Close the window before its time; who claimed and has not proven the words is shut out
    Disarm(Which),
}

#[derive(Debug, Args)]
pub(crate) struct Fleet {
    /// End with 1 if a box stands so badly, or worse
    #[arg(long, value_name = "STATE", value_parser = state)]
    pub(crate) fail_on: Option<State>,
    /// Only the boxes of this customer
    #[arg(long, value_name = "NAME")]
    pub(crate) customer: Option<String>,
}

fn state(text: &str) -> Result<State, &'static str> {
    let bad = State::ALL.into_iter().filter(|state| *state != State::Ready);
    let found = bad.into_iter().find(|state| state.as_str() == text);
    found.ok_or("at-risk, ceremony-pending or unprotected")
}

#[derive(Debug, Args)]
pub(crate) struct Which {
    /// A name of your own map, or a box id
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct Arm {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub(crate) reason: String,
    /// How long the window stays open, 5 to 1440
    #[arg(long, value_name = "N", default_value_t = 120, value_parser = clap::value_parser!(u32).range(5..=1440))]
    pub(crate) minutes: u32,
    /// Practise: the living box notices nothing and nothing is revoked
    #[arg(long, conflicts_with = "stolen")]
    pub(crate) rehearsal: bool,
    /// Revoke the box's certificates at once, before anything is proven
    #[arg(long)]
    pub(crate) stolen: bool,
    /// When the box was lost, for example 2026-03-03T12:00:00Z; what is newer is listed, not chosen
    #[arg(long, value_name = "TIME")]
    pub(crate) lost_at: Option<Timestamp>,
    /// Arm without asking although the box was heard of within the hour
    #[arg(long)]
    pub(crate) yes: bool,
}

pub(crate) fn reason(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    if text.is_empty() {
        return Err("a reason of some words; whoever reads the audit in a year will want one");
    }
    if text.chars().count() > 200 || text.chars().any(char::is_control) {
        return Err("one line of at most 200 characters");
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }
}
