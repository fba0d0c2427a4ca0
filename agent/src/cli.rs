//! The command line, as a person reads it.

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use clap::{ArgGroup, Args, Parser, Subcommand};
use tenwords_protocol::{
    directive::{Group, Name, Namespace},
    time::Timestamp,
};

use crate::{
    recover::connect::{Elsewhere, SourceFile},
    settings::DEFAULT_PATH,
    sheet::{Look, Sheet},
};

/// Ten words bring a dead Proxmox box back. The hub never can.
///
/// The agent wraps this box's PBS client keys under a ten-word recovery code and keeps the result
/// at a hub that cannot open it. When the box is lost, the same agent on a new machine asks for the
/// ten words, opens what the hub kept, and restores from Proxmox Backup Server.
#[derive(Debug, Parser)]
#[command(name = "tenwords-agent", version, arg_required_else_help = true, after_help = AFTER)]
pub(crate) struct Cli {
    /// The configuration
    #[arg(long, global = true, value_name = "FILE", default_value = DEFAULT_PATH)]
    pub(crate) config: PathBuf,

    /// Say the result as one JSON document on standard output
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// The customer sits at the console behind standard input
    #[arg(long, global = true, hide = true)]
    pub(crate) seat: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Join a box at the hub, with a ticket from the operator
    ///
    /// Checks the hub's certificate against the ticket before the ticket's secret is sent, and pins
    /// the operators' public keys on this box. Can be repeated: if the answer was lost it is asked for
    /// again, and on a node that is enrolled nothing is changed (`"changed":false`, exit code 0).
    Enroll(Enroll),
    /// Become a node of the box that this machine's cluster is, without words; or let another node in (--for)
    ///
    /// A cluster is one box: one /etc/pve, one set of keys, one escrow. Once a ceremony was held on one of its nodes, the
    /// others join with two commands: `join` on the new one, `join --for NODE` on one that belongs to the box. The ticket
    /// goes through /etc/pve/priv, which only root of the cluster's nodes can read. A node that was installed anew is
    /// the node that it was, with a ticket from the operator (`tenwords box ticket NAME --reinstall NODE`).
    Join(Join),
    /// Show which node of the cluster escrows for the box, or have another one do it
    ///
    /// The node on which the last ceremony was held is the keeper. What it needs lies in /etc/pve/priv/tenwords, so that
    /// another node can take over without the words; that is said in /etc/pve too, and told to the hub.
    Keeper(Keeper),
    /// Renew this node's certificate, if two thirds of its life are over
    ///
    /// The daemon does this by itself. A certificate that has ended can still be renewed for 180 days; what it
    /// cannot do meanwhile is everything else.
    Renew(Renew),
    /// Make, check and store the escrow
    #[command(subcommand)]
    Escrow(Escrow),
    /// Make the recovery sheet of the newest code, to write the ten words on by hand
    ///
    /// From what this box knows of itself; the words are never on it, and nobody is asked for them. One
    /// page with the box, the operator to call, what to do, and how everything opens with stock tools.
    Sheet(Sheet),
    /// Write the newest escrow and its directive to a file: with the ten words, a recovery without any hub
    ///
    /// The kit and the words together open everything, so never keep one beside the other. Without a hub
    /// that answers, the version is written that this box has kept of itself.
    Kit(Kit),
    /// What to do when the ten words are lost: the honest answer, on one screen
    LostWords,
    /// Say whether this box is protected, and what to do if not
    ///
    /// Exit code 0 if it is, 1 if not, or if a recovery is not closed.
    Status,
    /// Say what is left to be done after a recovery, and look at each line again
    ///
    /// Asks the hub, each backup server of the lost box, and this box's own record. A line is proven by
    /// such a look, or attested by somebody with name and reason (`closure attest`). Until all of them
    /// are, `status` is red.
    ///
    /// Exit code 0 if all is closed, 1 if not.
    Closure(Closure),
    /// Say what lies on the backup servers, what is backed up, and what is left out
    ///
    /// For each source: server, key, groups with their newest snapshot, and the keys that snapshots
    /// need; a key that no key file of this box holds is named. Then the backup jobs, the guests that no
    /// job covers, and the disks that are in no backup. Asks each server for its room and one list of
    /// snapshots; fetches nothing else and changes nothing.
    ///
    /// Exit code 0 if every source answered, else that of the first that did not: 15 unreachable,
    /// 16 not authorised, 10 anything else. The rest is told all the same.
    Inventory,
    /// Practise on this living box: the ten words open its escrow (--words), and bring an archive back (--archive)
    ///
    /// Asks for the ten words and opens the newest escrow with them, both ways, as a recovery would; says
    /// what it proves and what it does not. Writes nothing to any backup server, replaces nothing, and
    /// leaves nothing behind. One that ends well is proven to the hub, which shows when it was.
    ///
    /// Exit codes: 0 it has shown what it is to show; 11 the words open nothing; 12 the escrow does not
    /// bring this box back as it is now; 14 the archive did not come back; 15 hub or backup server do
    /// not answer.
    Drill(Drill),
    /// Bring a lost box back on this machine, with the ten words and a ticket, or without a hub
    ///
    /// Can be run again at any point: nothing that exists is overwritten, and a folder that an
    /// interrupted run has left is begun anew. What does not come back stops nothing else: the report
    /// names it, and the command that restores it alone.
    ///
    /// How far everything is goes to standard error: bars on a terminal, else a plain line every ten
    /// seconds; with --json JSON lines, and the report alone to standard output.
    Recover(Box<Recover>),
    /// The keys that this box keeps: each K that a snapshot may still need
    #[command(subcommand)]
    Key(Key),
    /// Whose orders count for this box: the operators' public keys, and a changed list of them
    #[command(subcommand)]
    Pins(Pins),
    /// Watch this box, as a service: keep its escrow from going stale
    ///
    /// Looks at key files, storages and jobs every twenty seconds, and at the client when it was upgraded; what
    /// is to be done about a change is done by a child of this same program, one at a time. Needs no words and
    /// asks nobody anything. SIGHUP reads the configuration anew, SIGTERM ends it in order. See docs/daemon.md.
    Run,
    /// One pass of the daemon, which starts it itself
    #[command(hide = true)]
    Pass(Pass),
    /// Attend the customer's console, as a service
    ///
    /// Listens at the console's socket, lets root and the console's user in and nobody else, and has a
    /// process of its own do what a console asks for: say how the box stands, hold a ceremony, try the
    /// ten words, recover. Ends in order at SIGTERM.
    Attend,
    /// Wrap and open a throwaway key, both ways: whether this client can hold a ceremony and a recovery
    ///
    /// Draws a key and ten words that nobody sees, has proxmox-backup-client wrap the one under the other,
    /// and opens the result by the client and without it. Touches no key of this box. The daemon does the same
    /// whenever the client is another; `status` shows the last.
    ///
    /// Exit code 0 if both agree, 12 if they do not, 10 if there is no client that can be driven.
    SelfTest,
    /// The customer's console: a menu, without root
    ///
    /// How the box stands, in plain words; ceremony; trying the words; recovery. English or German.
    /// Needs a terminal, reads no configuration, and hands what is typed only to a server that is
    /// root's. Meant as the login shell of the user `tenwords`.
    Console(Console),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Pins {
    /// Show the list that this box has pinned, with its generation and its code
    ///
    /// The operator sees the same by `tenwords pins show`, or one of the two is older.
    Show,
    /// Take what has changed, from the hub or from files
    ///
    /// A statement is taken if it follows the list that is pinned, and is signed by one of its keys that has the
    /// role `recovery`; who brings it makes no difference. Each ceremony takes what the hub has by itself, and so does a
    /// recovery.
    Take {
        /// What `tenwords pins sign` has written, pins-N.json; without a file, from the hub
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Escrow {
    /// The ceremony: draw ten words, wrap the keys under them, prove it, store it
    ///
    /// Needs the customer at a terminal. Shows the ten words once, has them typed back, wraps a copy
    /// of each key through proxmox-backup-client, opens it again in two independent ways, stores it at
    /// the hub, fetches it back and opens it again. The live key files are not touched. Run again, it
    /// asks whether the code is kept or a new one drawn; the words of a former code go on opening the
    /// former versions.
    Create(Create),
    /// Bring the escrow up to date without the ten words: what has changed since the ceremony
    ///
    /// New keys of this box's storages, former ones that snapshots may still need, and new secrets of tokens go
    /// to the hub in one update, sealed so that only the ten words open it. Nothing is stored if nothing has
    /// changed. What a hub has lost is given to it again, and the box's own backup servers are kept in step. An
    /// update cannot say where backups lie: where that has changed, a ceremony is needed, and this says so.
    ///
    /// Exit code 0 if everything is escrowed, 1 if something waits or a ceremony is needed.
    Update,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Show each key that was seen on this box: since when, what uses it, how it is escrowed, which snapshots need it
    List,
    /// Ask the backup servers which keys their snapshots need, and let go of those that none has needed for long
    ///
    /// A kept key goes when on thirty days every place where backups under it may lie has said that no snapshot
    /// there needs it. Whatever was escrowed stays escrowed.
    ///
    /// Exit code 0 if every source answered, else as that of `inventory`.
    Needed,
    /// Put a lost key file back in its place, from what this box has kept
    ///
    /// For each source that is to be encrypted and whose key file is gone, or for the one that is named. Never
    /// over another key. What is not kept on this box, the ten words bring out of the escrow (--words).
    PutBack(PutBack),
}

#[derive(Debug, Args)]
pub(crate) struct PutBack {
    /// Of this source: a storage's name, or the id of a configured source
    #[arg(long, value_name = "ID")]
    pub(crate) source: Option<String>,
    /// Have storage.cfg say that the storage encrypts, if it does not: PVE then refuses to back up without the key
    #[arg(long, requires = "source")]
    pub(crate) encryption_key: bool,
    /// Ask for the ten words, and take the keys from what they open
    #[arg(long)]
    pub(crate) words: bool,
    /// Read the ten words from this descriptor: a pipe, a terminal or a memfd, never a file on a disk
    #[arg(long, value_name = "N", requires = "words")]
    pub(crate) code_fd: Option<u32>,
}

/// `closure`.
#[derive(Debug, Args)]
pub(crate) struct Closure {
    #[command(subcommand)]
    pub(crate) command: Option<ClosureCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ClosureCommand {
    /// Write down that a line is done, where no look can prove it
    Attest {
        /// Which line, as `closure` names it: `other-secrets`, `token:pbs`
        line: String,
        /// Who says so
        #[arg(long, value_name = "NAME")]
        by: String,
        /// What was done, or why nothing is to be done
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct TicketSource {
    /// The ticket; other users of this machine can see it here, so prefer the next
    #[arg(long, value_name = "TICKET", conflicts_with = "ticket_file")]
    pub(crate) ticket: Option<String>,
    /// A file with the ticket, or `-` for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) ticket_file: Option<PathBuf>,
}

impl TicketSource {
    /// Whether the command line says where it is.
    pub(crate) fn is_given(&self) -> bool {
        self.ticket.is_some() || self.ticket_file.is_some()
    }
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Make the recovery sheet before the words are shown, so that they can be written on it; a name
    /// that ends with .pdf or .txt, of a file that is not there yet
    #[arg(long, value_name = "FILE")]
    pub(crate) sheet: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) look: Look,
    /// Keep the code that this box has: its ten words are asked for, and everything that they open is
    /// carried forward [default: asked, if the box has a code]
    #[arg(long, conflicts_with = "new_code")]
    pub(crate) keep_code: bool,
    /// Draw a new code, although the box has one
    #[arg(long)]
    pub(crate) new_code: bool,
    /// Write a kit too, which with the ten words recovers without a hub; for a box that no hub knows, the
    /// kit is what keeps the escrow. Never keep it beside the ten words
    #[arg(long, value_name = "FILE")]
    pub(crate) kit: Option<PathBuf>,
    /// How a box without a hub is called [default: this machine's name]
    #[arg(long, value_name = "NAME", requires = "kit")]
    pub(crate) box_name: Option<String>,
}

/// `kit`.
#[derive(Debug, Args)]
pub(crate) struct Kit {
    /// Where to; a file that is not there yet
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

/// `drill`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("level").required(true).args(["words", "archive"])))]
pub(crate) struct Drill {
    /// Open the escrow in memory, compare it with this box, wipe it
    #[arg(long)]
    pub(crate) words: bool,
    /// Restore one archive to scratch with what the words open, compare it, remove it [default: the
    /// smallest file archive of the newest snapshots]
    #[arg(long, value_name = "NAME", num_args = 0..=1)]
    pub(crate) archive: Option<Option<String>>,
    /// From this source only
    #[arg(long, value_name = "ID", conflicts_with = "words")]
    pub(crate) source: Option<Name>,
    /// Of this group only, such as ct/101
    #[arg(long, value_name = "GROUP", conflicts_with = "words")]
    pub(crate) group: Option<Group>,
    /// Compare what comes back with this folder or file [default: where the escrow says that it belongs]
    #[arg(long, value_name = "PATH", conflicts_with = "words")]
    pub(crate) against: Option<PathBuf>,
    /// Read the ten words from this descriptor: a pipe, a terminal or a memfd, never a file on a disk
    #[arg(long, value_name = "N")]
    pub(crate) code_fd: Option<u32>,
}

/// `join`.
#[derive(Debug, Args)]
pub(crate) struct Join {
    /// On a node that belongs to the box: leave a ticket for this other node of the cluster, good for an hour
    #[arg(long = "for", value_name = "NODE", conflicts_with_all = ["ticket", "ticket_file", "leave", "again", "no_wait"])]
    pub(crate) let_in: Option<String>,
    #[command(flatten)]
    pub(crate) ticket: TicketSource,
    /// This machine is a node of another box, by this name, and leaves it
    #[arg(long, value_name = "BOX")]
    pub(crate) leave: Option<String>,
    /// This machine is a node of the box already, and the hub takes its certificate no more: make it one again
    #[arg(long)]
    pub(crate) again: bool,
    /// Do not wait for a ticket that is not there yet
    #[arg(long)]
    pub(crate) no_wait: bool,
}

/// `keeper`.
#[derive(Debug, Args)]
pub(crate) struct Keeper {
    /// The node that is to escrow from now on [default: only show]
    pub(crate) node: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Renew {
    /// Also if it is not due
    #[arg(long)]
    pub(crate) now: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Enroll {
    #[command(flatten)]
    pub(crate) ticket: TicketSource,
    /// The operators' public keys in OpenSSH's allowed_signers format, roles as principals:
    /// `operational,recovery ssh-ed25519 AAAA…`
    #[arg(long, value_name = "FILE")]
    pub(crate) operator_keys: PathBuf,
    /// Which generation that list is, as `tenwords pins show` says; a later one begins with its own number, so that the
    /// statements after it count here
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) operators_generation: std::num::NonZeroU64,
    /// This machine is a node already, and the hub takes its certificate no more: make it one again, of the same box,
    /// with a new ticket (`tenwords box ticket`). What it has pinned stays pinned
    #[arg(long)]
    pub(crate) again: bool,
}

impl Recover {
    /// How long the answer of a guest that is started for a moment is waited for; `None` if none is.
    pub(crate) fn patience(&self) -> Option<Duration> {
        self.start.then(|| Duration::from_secs(self.start_wait.into()))
    }

    /// How long orders are waited for.
    pub(crate) fn patience_for_orders(&self) -> Duration {
        let usual = if self.code_fd.is_some() { 0 } else { 60 };
        Duration::from_secs(u64::from(self.wait_for_orders.unwrap_or(usual)) * 60)
    }

    /// Whether the escrow comes from elsewhere than the hub.
    pub(crate) fn is_without_hub(&self) -> bool {
        self.kit.is_some() || self.second_holder.is_some() || self.datastore.is_some()
    }
}

#[derive(Debug, Args)]
pub(crate) struct Recover {
    #[command(flatten)]
    pub(crate) ticket: TicketSource,
    /// Recover from a kit, without any hub
    #[arg(long, value_name = "FILE", conflicts_with_all = ["ticket", "ticket_file", "second_holder", "datastore"])]
    pub(crate) kit: Option<PathBuf>,
    /// Fetch the escrow from the box's own backup server (user@realm!token@host:port:datastore), without any
    /// hub; where the data comes from is then what the words open, as always
    #[arg(long, value_name = "REPOSITORY", conflicts_with_all = ["ticket", "ticket_file", "datastore"])]
    pub(crate) second_holder: Option<String>,
    /// Recover from a datastore's own folder (a disk, a copy), without any server: the escrow and the data
    /// are read there by pbs-local
    #[arg(long, value_name = "DIR", conflicts_with_all = ["ticket", "ticket_file"])]
    pub(crate) datastore: Option<PathBuf>,
    /// The namespace in which the second holder's snapshots lie, if not the root
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<Namespace>,
    /// The second holder's certificate, or web-pki [default: web-pki]
    #[arg(long, value_name = "FINGERPRINT", requires = "second_holder")]
    pub(crate) certificate: Option<String>,
    /// A file with the secret for the second holder [default: asked for]
    #[arg(long, value_name = "FILE", requires = "second_holder")]
    pub(crate) token_file: Option<PathBuf>,
    /// Without a hub: practise, and leave nothing in place but copies (with one, the operator arms a rehearsal)
    #[arg(long, conflicts_with_all = ["ticket", "ticket_file"])]
    pub(crate) rehearsal: bool,
    /// Without a hub: when the box was lost; what is newer is listed and not chosen (with one, the operator
    /// says it)
    #[arg(long, value_name = "TIME", conflicts_with_all = ["ticket", "ticket_file"])]
    pub(crate) lost_at: Option<Timestamp>,
    /// Read the ten words from this descriptor: a pipe, a terminal or a memfd, never a file on a disk
    #[arg(long, value_name = "N")]
    pub(crate) code_fd: Option<u32>,
    /// Try the words on this version only (the hub's number for it)
    #[arg(long, value_name = "N")]
    pub(crate) version: Option<std::num::NonZeroU64>,
    /// Restore archives into this folder, which must be missing or empty [default: recovered, in the state folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) into: Option<PathBuf>,
    /// Restore so many guests and archives at once: more is faster while neither the backup server, the
    /// line to it nor this machine's disks are at their limit; 1 goes strictly by the plan's order. At most
    /// as many as this machine has cores
    #[arg(long, value_name = "N", default_value_t = parallel::usual(), value_parser = parallel::parse)]
    pub(crate) parallel: NonZeroUsize,
    /// Start the tunnels of the escrow (WireGuard) without asking, where a backup server cannot be reached without
    #[arg(long)]
    pub(crate) connect: bool,
    /// A file (0600) with a new secret for a source's own token, for when its server takes the escrow's no more; can
    /// be repeated [default: asked for]
    #[arg(long, value_name = "ID=FILE")]
    pub(crate) source_token_file: Vec<SourceFile>,
    /// Say where a source is now, if its backup server has moved; what is left out stays as the escrow says, and
    /// `DATASTORE/` is the datastore's root; can be repeated. Nothing is asked there before an operator has
    /// signed the order for it, with the certificate that is shown there
    #[arg(long, value_name = "ID=SERVER[:PORT][:DATASTORE[/NAMESPACE]]", conflicts_with_all = ["rehearsal", "datastore"])]
    pub(crate) repoint: Vec<Elsewhere>,
    /// Restore guests although their disks together are larger than what a storage has free: for a storage that takes up
    /// only what is written, and disks that are mostly empty
    #[arg(long)]
    pub(crate) overcommit: bool,
    /// Show how far the recovery on this machine is, and do nothing: no words are needed (exit code 14 while
    /// something is still to be done)
    #[arg(long, conflicts_with = "abort")]
    pub(crate) status: bool,
    /// Give the recovery on this machine up: what is whole stays, what is unfinished is taken away. Of a rehearsal,
    /// also of one that has ended, everything goes: its guests, folders and storages
    #[arg(long)]
    pub(crate) abort: bool,
    /// A signed order (what `tenwords order sign` or `ssh-keygen -Y sign` has written), brought by hand; can be
    /// repeated. An order lets happen once what it names; without one nothing that exists is replaced
    #[arg(long, value_name = "FILE")]
    pub(crate) order: Vec<PathBuf>,
    /// A signed list of operator keys (`tenwords pins sign`), brought by hand; can be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) pins: Vec<PathBuf>,
    /// Wait so many minutes for an operator's orders, once everything else is done [default: 60 where somebody
    /// types the words, otherwise 0]. What still waits then waits on, for the same command run again
    #[arg(long, value_name = "MINUTES")]
    pub(crate) wait_for_orders: Option<u32>,
    /// Take the escrow's date as fitting without asking
    #[arg(long)]
    pub(crate) yes: bool,
    /// Start each restored guest for a moment, cut off from every network, wait for its answer, stop it again
    /// and put its network back
    #[arg(long)]
    pub(crate) start: bool,
    /// So many seconds its answer is waited for
    #[arg(long, value_name = "SECONDS", default_value_t = 180, requires = "start")]
    start_wait: u32,
    /// Put the lost box's backup jobs in place without asking, as far as their storages and guests are back
    #[arg(long, conflicts_with = "no_install_jobs")]
    pub(crate) install_jobs: bool,
    /// Put no backup job in place, and do not ask
    #[arg(long)]
    pub(crate) no_install_jobs: bool,
}

/// How many things are restored at once.
mod parallel {
    use std::{num::NonZeroUsize, thread};

    /// Two: one alone rarely fills the line, and more are for somebody to decide.
    pub(super) fn usual() -> NonZeroUsize {
        NonZeroUsize::MIN.saturating_add(1).min(cores())
    }

    pub(super) fn parse(text: &str) -> Result<NonZeroUsize, String> {
        let most = cores();
        let count = text.parse().ok().filter(|count| *count <= most);
        count.ok_or_else(|| format!("a number from 1 to {most}, as many as this machine has cores"))
    }

    fn cores() -> NonZeroUsize {
        thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
    }
}

/// `pass`. The daemon's settings come at standard input, whatever stands in the file by now.
#[derive(Debug, Args)]
pub(crate) struct Pass {
    /// Which
    pub(crate) kind: String,
    /// Without a word to the hub
    #[arg(long)]
    pub(crate) local: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Console {
    /// Where the agent is [default: /run/tenwords/console.sock]
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
}

const AFTER: &str = "\
Sources are the pbs: storages of /etc/pve/storage.cfg that take backups and have a key file
(priv/storage/<id>.enc), by themselves, and what the configuration adds:

Configuration (every line has a default):
  state   = \"/var/lib/tenwords-agent\"
  runtime = \"/run/tenwords-agent\"             # a tmpfs folder, 0700
  client  = \"/usr/bin/proxmox-backup-client\"
  pbs_local = \"/usr/bin/pbs-local\"            # reads a datastore's folder (recover --datastore)
  files   = [\"/etc/hosts\"]                    # small files to escrow, in place of the usual ones
  not_backed_up = [104]                       # guests that no job is to cover, on purpose
  [operator]                                  # whom the recovery sheet says to call
  name = \"Marta Huber, Huber IT\"
  phone = \"+49 89 1234567\"
  [console]                                   # where the customer's console is let in
  socket = \"/run/tenwords/console.sock\"
  user = \"tenwords\"                           # or a number
  [connect]                                   # what opens a way to a backup server (recover)
  wg_quick = \"/usr/bin/wg-quick\"
  [pve]                                       # where Proxmox VE is
  etc = \"/etc/pve\"
  pct = \"/usr/sbin/pct\"
  qm = \"/usr/sbin/qm\"
  qmrestore = \"/usr/sbin/qmrestore\"
  pvesh = \"/usr/bin/pvesh\"
  pvesm = \"/usr/sbin/pvesm\"
  locks = \"/run/lock\"                        # where PVE's programs lock a guest
  tasks = \"/var/log/pve/tasks/index\"         # which backups have ended
  [notify]                                    # who is told of an alarm (run)
  command = \"/usr/sbin/sendmail\"            # gets -i -t and the message
  to = \"root\"                               # PVE forwards mail to root to its notification targets
  off = false
  [[source]]                                  # a key outside storage.cfg
  id = \"pbs\"                                  # not the name of a storage
  repository = \"backup@pbs!box1@pbs.example:8007:store\"
  namespace = \"tenants/a\"                      # if not the root
  certificate = \"08:4e:…:28\"                   # or \"web-pki\"
  key_file = \"/etc/tenwords/pbs.enc\"
  token_file = \"/etc/tenwords/pbs.token\"       # the token's secret, 0600
  restore_paths = { \"host/box1/data.pxar\" = \"/srv/data\" }

Exit codes: 0 done · 1 not protected, not closed (status, closure) · 2 usage · 10 preflight ·
  11 words wrong · 12 gate refused · 13 waiting for an order · 14 partly restored · 15 unreachable ·
  16 not authorised · 20 internal · 130 interrupted";
