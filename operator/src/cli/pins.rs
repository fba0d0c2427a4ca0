//! `tenwords pins`: what can be typed.

use std::{num::NonZeroU64, path::PathBuf};

use clap::{Args, Subcommand};
use tenwords_protocol::hash::Sha256;

const INIT_AFTER: &str = "\
FILE is the one that was put on your boxes: a line `<role>[,<role>] <keytype> <base64>` for each key,
a role being `operational` (signs orders) or `recovery` (signs changes of this list).";

const PROPOSE_AFTER: &str = "\
Writes the statement that makes another list of yours, and says in words who gains and who loses what.
Nothing changes anywhere before a recovery key of your list has signed it.

  tenwords pins propose --remove SHA256:hYQ1s… --add 'operational ssh-ed25519 AAAAC3…'
  tenwords pins sign pins-2.statement --key ~/.ssh/recovery
  tenwords pins send pins-2.json";

const SIGN_AFTER: &str = "\
Without this program, after you have read every word of it:

  ssh-keygen -Y sign -n tenwords-pins-v1 -f KEY STATEMENT";

const END_AFTER: &str = "\
It changes nothing on any box: a box that has taken a statement keeps its list, and one that was forged
no box would take. It makes room at the hub, which lists 256, after somebody has left junk there.";

#[derive(Debug, Subcommand)]
pub(crate) enum PinsCommand {
    /// Begin your own list with the file that was put on your boxes
    #[command(after_help = INIT_AFTER)]
    Init(InitPins),
    /// Your own list, or that in a file; and which statements the hub carries
    Show(ShowPins),
    /// Write the statement that makes another list of yours
    #[command(after_help = PROPOSE_AFTER)]
    Propose(ProposePins),
    /// Have a statement signed by a recovery key
    #[command(after_help = SIGN_AFTER)]
    Sign(SignPins),
    /// Take the list of a signed statement for your own, if a recovery key of your list signed it
    Take(TakePins),
    /// Leave a signed statement at the hub, for every box
    Send(SendPins),
    /// Have the hub carry a statement no more
    #[command(after_help = END_AFTER)]
    End(EndPins),
}

#[derive(Debug, Args)]
pub(crate) struct InitPins {
    /// The operators' keys, as they were put on your boxes
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Which generation it is
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) generation: NonZeroU64,
}

#[derive(Debug, Args)]
pub(crate) struct ShowPins {
    /// A file of operators' keys or a statement, instead of your own list
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ProposePins {
    /// Whom boxes shall believe too: a line `<role>[,<role>] <keytype> <base64>`, or a file of them
    #[arg(long, value_name = "FILE|LINE")]
    pub(crate) add: Vec<String>,
    /// Whom they shall believe no more: SHA256:…, or a file with the public key
    #[arg(long, value_name = "FINGERPRINT|FILE")]
    pub(crate) remove: Vec<String>,
    /// What is changed [default: your own list]
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
    /// Where the statement goes [default: pins-GENERATION.statement]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct SignPins {
    /// The statement, as `tenwords pins propose` wrote it
    #[arg(value_name = "STATEMENT")]
    pub(crate) statement: PathBuf,
    /// The recovery key; or its public half, if an agent or a token holds the other
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// The list that it replaces [default: your own]
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
    /// Where the signed statement goes [default: pins-GENERATION.json]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Sign without asking
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TakePins {
    /// The signed statement, pins-GENERATION.json
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Take it without asking
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SendPins {
    /// The signed statement, pins-GENERATION.json
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct EndPins {
    /// The statement's hash, as `tenwords pins show` has it
    #[arg(value_name = "SHA256")]
    pub(crate) sha256: Sha256,
    /// End it without asking
    #[arg(long)]
    pub(crate) yes: bool,
}
