//! `enroll`: a node joins a box, and pins the hub and the operators' keys.

use std::{num::NonZeroU64, path::Path};

use tenwords_escrow::{root::Operators, signers};
use tenwords_protocol::{enroll::EnrollReply, json, operators::OperatorList, ticket::Ticket, v1::V1};
use zeroize::Zeroizing;

use crate::{
    cli,
    cluster::Shared,
    durable,
    exit::{Code, OrStop as _, Outcome, Stop},
    hub::Hub,
    identity::{Identity, NodeKey},
    renew,
    settings::Configuration,
    show::harmless,
    sources,
    standing::BoxFacts,
    tls::{self, Recognise},
};

const NODE_KEY: &str = "node.key";
/// The pinned list with its generation: 1 until a pins statement changes it.
const OPERATORS: &str = "operators.json";
const LIMIT: u64 = 64 << 10;

/// What an enrolment has done.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Enrolled {
    v: V1,
    /// Whether this run has enrolled the node; else it was a node of the box before.
    changed: bool,
    box_id: String,
    box_name: String,
    node_id: String,
    hub: String,
    operator_keys: usize,
    operators_sha256: String,
    operators_generation: NonZeroU64,
    operators_code: String,
}

/// What an earlier run has done, if this machine is a node already: a configuration manager runs the same
/// command again and again. A ticket that leads to another hub is not taken for this one's.
pub(crate) fn standing(configuration: &Configuration, args: &cli::Enroll) -> Outcome<Option<Enrolled>> {
    let Some(identity) = Identity::load(configuration)? else { return Ok(None) };
    let given = match (&args.ticket.ticket, &args.ticket.ticket_file) {
        (Some(text), _) => Some(Zeroizing::new(text.clone())),
        // A ticket that is spent may be gone.
        (None, Some(path)) if path != Path::new("-") => {
            durable::read_limited(path, LIMIT).ok().and_then(|bytes| String::from_utf8(bytes).ok()).map(Zeroizing::new)
        }
        _ => None,
    };
    let ticket = given.and_then(|text| text.parse::<Ticket>().ok());
    if ticket.is_some_and(|ticket| Some(ticket.authority()) != tls::prefix_of(&identity.server_ca.0)) {
        return Err(Stop::new(
            Code::Preflight,
            format!(
                "this node is enrolled already, as a node of box {} ({}), and the ticket is another hub's",
                harmless(&identity.box_name, 64),
                identity.box_id
            ),
        )
        .remedy("nothing was changed; `tenwords-agent status` shows how it stands"));
    }
    let pinned = pinned_operators(configuration)?;
    if let Ok(named) = read_operators(&args.operator_keys)
        && named != pinned.signers
    {
        eprintln!(
            "  note: {} is another list than the one that is pinned, and nothing is changed by it: a list changes by a \
             statement (`tenwords-agent pins take`)",
            args.operator_keys.display()
        );
    }
    Ok(Some(Enrolled::of(&identity, &pinned, false)))
}

/// Makes a machine that is a node a node once more, of the same box: with another key and certificate, and
/// everything that it knows as it was.
pub(crate) fn again(configuration: &Configuration, ticket: Ticket) -> Outcome<Enrolled> {
    let identity = Identity::required(configuration)?;
    let key = renew::next_key(configuration, &identity)?;
    let (hub, reply) = exchanged(ticket, &key, node_name(configuration))?;
    if reply.box_id != identity.box_id {
        return Err(refused("the ticket is another box's"));
    }
    if reply.server_ca != identity.server_ca {
        return Err(refused("the hub named another authority than the one that this node has pinned"));
    }
    let identity = keep_next(configuration, &key, &hub, reply)?;
    Ok(Enrolled::of(&identity, &pinned_operators(configuration)?, true))
}

/// Enrols this node. The same ticket with the same key may ask again.
pub(crate) fn run(
    configuration: &Configuration,
    ticket: Ticket,
    (operator_keys, generation): (&Path, NonZeroU64),
) -> Outcome<Enrolled> {
    // A box without a hub that enrols becomes another one: its kits and words go on opening what they did.
    if let Some(alone) = BoxFacts::load(configuration)? {
        eprintln!(
            "  note: this machine was box {} ({}) without a hub; at the hub it is another one. Hold a new ceremony, and \
             keep its kit and sheet: only they open what was escrowed before.",
            harmless(&alone.name, 64),
            alone.id
        );
    }
    let operators = read_operators(operator_keys)?;
    let key = NodeKey::load_or_make(configuration, NODE_KEY)?;
    let (hub, reply) = exchanged(ticket, &key, node_name(configuration))?;
    let identity = Identity::enrolled(&hub, reply, None);
    let pinned = Operators { generation, signers: operators };
    pin_operators(configuration, &pinned)?;
    identity.keep(configuration, NODE_KEY)?;
    Ok(Enrolled::of(&identity, &pinned, true))
}

/// Makes this machine a node of the box that its cluster is, with what the cluster shares. What has to be told comes
/// back.
pub(crate) fn join(configuration: &Configuration, ticket: Ticket, shared: &Shared, node: &str) -> Outcome<Vec<String>> {
    let Some(former) = Identity::load(configuration)? else {
        let key = NodeKey::load_or_make(configuration, NODE_KEY)?;
        let (hub, reply) = exchanged(ticket, &key, node.to_owned())?;
        is_of(shared, &reply)?;
        pin_operators(configuration, &shared.operators)?;
        Identity::enrolled(&hub, reply, None).keep(configuration, NODE_KEY)?;
        return Ok(Vec::new());
    };
    let key = renew::next_key(configuration, &former)?;
    let (hub, reply) = exchanged(ticket, &key, node.to_owned())?;
    is_of(shared, &reply)?;
    let note = if former.box_id == shared.box_id {
        // What this node knows of its own box is not lowered by what lies among the nodes.
        pin_recovered(configuration, &shared.operators).map(|()| None)?
    } else {
        change_operators(configuration, &pinned_operators(configuration)?, &shared.operators)?
    };
    keep_next(configuration, &key, &hub, reply)?;
    Ok(note.into_iter().collect())
}

fn is_of(shared: &Shared, reply: &EnrollReply) -> Outcome<()> {
    match reply.box_id == shared.box_id {
        true => Ok(()),
        false => Err(refused("the ticket is for another box than the one that this cluster is")),
    }
}

/// Hands a ticket in for a certificate of this key, at the hub that the ticket names and no other.
fn exchanged(ticket: Ticket, key: &NodeKey, node: String) -> Outcome<(Hub, EnrollReply)> {
    let prefix = ticket.authority();
    let hub = Hub::new(ticket.hub().clone(), Recognise::Ticket(prefix), None)?;
    let reply = hub.enroll(ticket.into_secret(), key.request()?, node)?;
    if tls::prefix_of(&reply.server_ca.0) != Some(prefix) {
        return Err(refused("the hub named another authority than the ticket's"));
    }
    if tls::spki_sha256(&reply.certificate.0) != Some(key.spki_sha256()) {
        return Err(refused("the hub's certificate for this node is for another key"));
    }
    Ok((hub, reply))
}

fn refused(what: &str) -> Stop {
    Stop::new(Code::GateRefused, what).remedy("tell the operator; nothing was changed here")
}

/// Keeps a certificate in the place of the one that this node has, with its key.
fn keep_next(configuration: &Configuration, key: &NodeKey, hub: &Hub, reply: EnrollReply) -> Outcome<Identity> {
    key.keep(configuration)?;
    let identity = Identity::enrolled(hub, reply, Some(key.spki_sha256()));
    identity.keep_renewed(configuration)?;
    renew::tidy(configuration, &identity);
    Ok(identity)
}

impl Enrolled {
    fn of(identity: &Identity, pinned: &Operators, changed: bool) -> Self {
        Self {
            v: V1,
            changed,
            box_id: identity.box_id.to_string(),
            box_name: harmless(&identity.box_name, 64),
            node_id: identity.node_id.to_string(),
            hub: identity.hub.to_string(),
            operator_keys: pinned.signers.signers().len(),
            operators_sha256: pinned.signers.hash().to_string(),
            operators_generation: pinned.generation,
            operators_code: pinned.signers.code().to_string(),
        }
    }

    /// For a person.
    pub(crate) fn lines(&self) -> Vec<String> {
        if !self.changed {
            return vec![format!(
                "This node belongs to box {} ({}) at {} already; nothing was changed.",
                self.box_name, self.box_id, self.hub
            )];
        }
        let mut lines = Vec::new();
        lines.push(format!("Enrolled: this node belongs to box {} ({}) at {}.", self.box_name, self.box_id, self.hub));
        lines.push(format!(
            "Operator keys pinned: {}, generation {}, code {} (the operator sees the same: `tenwords pins show`).",
            self.operator_keys, self.operators_generation, self.operators_code
        ));
        if self.operator_keys == 0 {
            lines.push("Without operator keys nothing that destroys can ever be ordered for this box.".to_owned());
        }
        lines.push(
            "Next: `tenwords-agent escrow create`, with the customer at the console. Until then nothing is protected."
                .to_owned(),
        );
        lines
    }
}

/// The operator keys that this box pins.
pub(crate) fn pinned_operators(configuration: &Configuration) -> Outcome<Operators> {
    let path = configuration.state(OPERATORS);
    let damaged = || format!("the pinned operator keys in {} cannot be read", path.display());
    let text = match durable::read_limited(&path, LIMIT) {
        // A box that no hub enrolled pins whom it is told to, or nobody: then nothing that destroys can be ordered.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && Identity::load(configuration)?.is_none() => {
            return Ok(Operators { generation: NonZeroU64::MIN, signers: OperatorList::default() });
        }
        read => read.or_stop(Code::Preflight, damaged)?,
    };
    json::from_slice(&text).or_stop(Code::Preflight, damaged)
}

/// Pins what a recovery has found in a root. What this machine has pinned already, at the same or a higher
/// generation, stays: an older escrow lowers nothing.
pub(crate) fn pin_recovered(configuration: &Configuration, operators: &Operators) -> Outcome<()> {
    if !configuration.state(OPERATORS).exists() {
        return pin_operators(configuration, operators);
    }
    let own = pinned_operators(configuration)?;
    if own.generation == operators.generation && own.signers != operators.signers {
        let what = format!("this machine has pinned another list of generation {}", own.generation);
        return Err(Stop::new(Code::GateRefused, what)
            .remedy("it stays; compare generation and code with the operator (`tenwords-agent pins show`)"));
    }
    if own.generation >= operators.generation {
        return Ok(());
    }
    change_operators(configuration, &own, operators).map(drop)
}

/// Pins the list: with its generation in the state folder, and in OpenSSH's own format beside the
/// configuration, for people and tools.
pub(crate) fn pin_operators(configuration: &Configuration, operators: &Operators) -> Outcome<()> {
    let cannot = || "cannot keep the operators' keys".to_owned();
    durable::folder(&configuration.settings.state, 0o700).or_stop(Code::Preflight, cannot)?;
    durable::folder(configuration.folder(), 0o755).or_stop(Code::Preflight, cannot)?;
    let text = json::to_vec(operators).or_stop(Code::Internal, cannot)?;
    durable::replace("operators", &configuration.state(OPERATORS), 0o600, &text).or_stop(Code::Preflight, cannot)?;
    // People's copy; theirs stays if they have one. Nothing of ours reads it.
    let shown = configuration.folder().join("allowed_signers");
    match durable::create("allowed-signers", &shown, 0o644, operators.signers.to_text().as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(Stop::new(Code::Preflight, cannot()).because(error))
        }
        _ => Ok(()),
    }
}

/// Pins another list in the place of `former`. People's copy goes along if it is still the one that was made
/// of the former list; what is told is that it is not.
pub(crate) fn change_operators(
    configuration: &Configuration,
    former: &Operators,
    operators: &Operators,
) -> Outcome<Option<String>> {
    pin_operators(configuration, operators)?;
    let shown = configuration.folder().join("allowed_signers");
    let cannot = || format!("{} cannot be written", shown.display());
    let text = operators.signers.to_text();
    let there = durable::read_limited(&shown, LIMIT).or_stop(Code::Preflight, cannot)?;
    if there == former.signers.to_text().as_bytes() {
        durable::replace("allowed-signers", &shown, 0o644, text.as_bytes()).or_stop(Code::Preflight, cannot)?;
        return Ok(None);
    }
    let is_other = there != text.as_bytes();
    Ok(is_other
        .then(|| format!("{} is another list, and stays: nothing of ours reads it, but a person may", shown.display())))
}

fn read_operators(path: &Path) -> Outcome<OperatorList> {
    let what = || format!("the operators' keys in {} are not understood", path.display());
    let text = durable::read_limited(path, LIMIT).or_stop(Code::Usage, what)?;
    signers::parse(&text).map_err(|error| {
        Stop::new(Code::Usage, what())
            .remedy("one line a key, roles first: `operational,recovery ssh-ed25519 AAAA…` (see `man ssh-keygen`, ALLOWED SIGNERS)")
            .because(error)
    })
}

/// This node's name: as Proxmox VE has it, if it says it, and else the machine's.
pub(crate) fn node_name(configuration: &Configuration) -> String {
    let of_pve = sources::node(&configuration.settings).ok().flatten().and_then(|node| node.name().ok());
    of_pve.unwrap_or_else(hostname)
}

/// This machine's name.
pub(crate) fn hostname() -> String {
    nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default()
}
