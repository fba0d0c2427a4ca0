//! `tenwords order`: what can be typed.

use std::{path::PathBuf, str::FromStr};

use clap::{Args, Subcommand};
use tenwords_protocol::id::BoxId;

use crate::name::Name;

const SHOW_AFTER: &str = "\
FILE is the text as the box wrote it, or a signed order. CODE stands under the order on the box's
screen; the hub is asked for the order that has it. A file of such a name is meant by ./NAME.

Compare the code with the box's screen before you sign, by telephone if need be: the hub carries the
order and could show you another one than the box asks for. It cannot make the codes agree.";

const SIGN_AFTER: &str = "\
Shows the order in words, asks for the first and the last group of the code under it on the box's
screen, and has ssh-keygen sign the text: with a key file, an agent, or a token. On a machine that
has no network, bring the order as a file (`tenwords order show CODE --out FILE`) and say which box
it is:

  tenwords order sign FILE --key ~/.ssh/id_ed25519 --box lab-1=3f2b8a52-7c1d-4e7a-9b60-0d1f2a3b4c5d
  tenwords order sign 5KQ3-0F7X-9M2C-T4VA --key ~/.ssh/id_ed25519.pub --send

Without this program, after you have read every word of it:

  ssh-keygen -Y sign -n tenwords-order-v1 -f KEY FILE

and then, where there is a network: tenwords order send FILE.sig --order FILE";

const SEND_AFTER: &str = "\
The box alone judges the signature: whether its key is pinned there, whether the text is the one that
the box waits for, whether its time is over. With --wait, what the box says of it is waited for; an
answer that is not waited for is taken all the same.

  tenwords order send lab-1.signed --wait
  tenwords order send lab-1.order.sig --order lab-1.order";

#[derive(Debug, Subcommand)]
pub(crate) enum OrderCommand {
    /// What boxes wait for: since when, which box, what would be destroyed
    List(ListOrders),
    /// One order in words, with the code to compare
    #[command(after_help = SHOW_AFTER)]
    Show(ShowOrder),
    /// Have an order signed, after the code was compared
    #[command(after_help = SIGN_AFTER)]
    Sign(SignOrder),
    /// Leave a signed order at the hub, for the box to fetch
    #[command(after_help = SEND_AFTER)]
    Send(SendOrder),
}

#[derive(Debug, Args)]
pub(crate) struct ListOrders {
    /// Those that have ended too, newest first
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ShowOrder {
    #[command(flatten)]
    pub(crate) order: WhichOrder,
    /// Write its exact text there too, to be carried to the machine that signs
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct WhichOrder {
    /// The order: a file, its code, or its SHA-256
    #[arg(value_name = "FILE|CODE")]
    pub(crate) which: String,
    /// Which box an id is, where your own map does not say it
    #[arg(long = "box", value_name = "NAME=ID")]
    pub(crate) boxes: Vec<StatedBox>,
}

#[derive(Debug, Args)]
pub(crate) struct SignOrder {
    #[command(flatten)]
    pub(crate) order: WhichOrder,
    /// Your private key; or the public one, if an agent or a token holds its other half
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// The code as the box's screen shows it, instead of being asked for two groups of it
    #[arg(long, value_name = "CODE")]
    pub(crate) code: Option<String>,
    /// Where the signed order goes [default: FILE with the ending .signed]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Leave it at the hub at once
    #[arg(long)]
    pub(crate) send: bool,
    /// Sign without asking; the code has to be given with --code then
    #[arg(long, requires = "code")]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SendOrder {
    /// The signed order, or a signature as ssh-keygen writes it
    #[arg(value_name = "FILE")]
    pub(crate) signed: PathBuf,
    /// What such a signature was made over: a file, or the order's code
    #[arg(long, value_name = "FILE|CODE")]
    pub(crate) order: Option<String>,
    /// Wait until the box says what came of it, this long at most [default: 900]
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "900")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) wait: Option<u64>,
}

/// A box that the operator states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StatedBox {
    pub(crate) name: Name,
    pub(crate) id: BoxId,
}

impl FromStr for StatedBox {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once('=').and_then(|(name, id)| {
            let (name, id) = (name.parse().ok()?, id.parse().ok()?);
            Some(Self { name, id })
        });
        parsed.ok_or("a name and the box's id: lab-1=3f2b8a52-7c1d-4e7a-9b60-0d1f2a3b4c5d")
    }
}
