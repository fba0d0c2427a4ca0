//! The ceremony: the live keys under ten words, proven, stored, fetched back and proven again.
//!
//! `escrow create` holds it with a fresh code at a terminal, or under the code that the box has; a
//! recovery ends with one under the code that it was given. [`material`] is what goes under the words,
//! [`choice`] which words they are. Interrupted anywhere before the push, nothing has changed but the
//! private folder; after it, the hub has one more version, which the next ceremony follows.

mod choice;
mod history;
mod material;

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU64,
    path::PathBuf,
};

use pbs_driver::Client;
use rand::{CryptoRng, rand_core::UnwrapErr, rngs::SysRng};
use serde::Serialize;
use tenwords_escrow::{
    code::RecoveryCode,
    keys::{AgeIdentity, BoxKey, WordsKey},
    root::{CodeLabel, Root, RootFacts},
    verify::{VerifiedEscrow, VerifiedKeyPart},
};
use tenwords_protocol::{fingerprint::Fingerprint, ticket::HubAddress, time::Timestamp, v1::V1, version::Bundle};

use self::{
    choice::{Chosen, FormerSheet, Setting},
    material::Key,
};
pub(crate) use self::{history::History, material::Material};
use crate::{
    cli::Create,
    cluster,
    drill::{self, Timed},
    exit::{Code, OrStop as _, Outcome, Stop},
    interrupt, inventory, kits,
    language::{Protected, Talk},
    lineage,
    openers::ByClient,
    pins,
    record::Record,
    recover::plan::chain,
    seat::Seat,
    second_holder,
    settings::Configuration,
    sheet,
    shelf::Shelf,
    show::harmless,
    sources,
    standing::{BoxFacts, Standing},
    update,
};

/// What a ceremony has made.
#[derive(Debug, Serialize)]
pub(crate) struct Made {
    v: V1,
    box_id: String,
    box_name: String,
    /// The hub's number for the version; in a kit the escrow's own sequence.
    pub(crate) number: NonZeroU64,
    code_number: NonZeroU64,
    sequence: NonZeroU64,
    keys: Vec<Fingerprint>,
    pub(crate) check_line: String,
    files: Vec<String>,
    /// The file that was written as a kit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kit: Option<PathBuf>,
    /// Whether a hub has it.
    at_hub: bool,
    /// The snapshots in which the box's own backup servers hold it too.
    second_holders: Vec<String>,
    pub(crate) warnings: Vec<String>,
    #[serde(skip)]
    former: Option<FormerSheet>,
    /// The code is the one that the box had before.
    #[serde(skip)]
    is_kept: bool,
}

/// `escrow create`.
pub(crate) fn run(configuration: &Configuration, asked: &Create, seat: &mut dyn Seat) -> Outcome<Made> {
    asked.sheet.as_deref().map_or(Ok(()), sheet::check)?;
    asked.kit.as_deref().map_or(Ok(()), kits::check)?;
    let seat = &mut Timed::new(seat);
    let mut rng = UnwrapErr(SysRng);
    let standing = standing(configuration, asked, &mut rng)?;
    let client = sources::client(&configuration.settings)?;
    seat.is_taken()?;
    let talk = seat.talk();
    seat.say(talk.looking);
    let of = standing.facts();
    let hub = standing.identity().map(|identity| identity.connect(configuration)).transpose()?;
    let mut of_pins = Vec::new();
    if let Some(hub) = &hub {
        pins::freshen(configuration, hub, of.id, &mut of_pins)?;
    }
    let mut material = Material::gather(configuration, Some(&client))?;
    material.warn(of_pins);
    let shelf = shelf(hub.as_ref(), asked)?;
    let history = History::ask(configuration, of.id, hub.as_ref())?;
    material.tell(seat);
    seat.lap("look at this box");
    let setting = Setting { configuration, of: &of, shelf: &shelf, client: &client };
    let chosen = choice::choose(asked, &history, &setting, &mut material, seat, &mut rng)?;
    let Chosen { label, code, is_new, former } = chosen;

    let address = standing.identity().map(|identity| &identity.hub);
    let sheet = asked.sheet.as_deref().map(|file| {
        let facts = sheet_facts(&material, configuration, &of, address, label.number)?;
        sheet::write(&facts, file, &asked.look)
    });
    let sheet = sheet.transpose()?;
    let printed = sheet.as_ref().map_or(Ok(()), |sheet| sheet.have_printed(seat, &asked.look));
    let name = harmless(&of.name, 64);
    if let Standing::Alone(alone) = &standing {
        alone.keep(configuration)?;
    }
    let stored = Cell::new(false);
    let held = printed.and_then(|()| if is_new { seat.hand_over(&name, label.number.get(), &code) } else { Ok(()) });
    seat.lap("choose and hand over");
    let held = held.and_then(|()| {
        interrupt::check()?;
        seat.say(talk.working);
        let place = Place { configuration, of: &of, shelf, client: &client, stored: &stored };
        hold_with_root(&place, material, &history, label, &code, &mut rng)
    });
    let (mut made, root) = held.map_err(|stop| {
        let remedy = stop.remedy.clone().unwrap_or_else(|| "run the same command again".to_owned());
        // What may be stored may be asked for: its sheet is needed until another ceremony has ended well.
        if stored.get() {
            let keep = format!(
                "a version under code {} may be stored: keep its sheet until a ceremony has ended well",
                label.number
            );
            return stop.remedy(format!("{keep}; {remedy}"));
        }
        sheet.iter().for_each(sheet::Written::take_back);
        match is_new {
            true => stop.remedy(format!("destroy the sheet of code {}, it protects nothing; {remedy}", label.number)),
            false => stop.remedy(remedy),
        }
    })?;
    (made.former, made.is_kept) = (former, !is_new);
    seat.lap("wrap, open, store, open again");
    // The words were typed, and have opened what was fetched back.
    let at = hub.as_ref().zip(standing.identity());
    drill::of_ceremony(configuration, at, &root, made.number, seat, &mut made.warnings);
    if let (Some(path), true) = (&asked.kit, made.at_hub) {
        // All is proven and kept by now: that a medium is full ends nothing.
        match Record::bundle(configuration).and_then(|bundle| kits::write(path, &bundle)) {
            Ok(kit) => made.kit = Some(kit),
            Err(stop) => made
                .warnings
                .push(format!("no kit was written: {}; `tenwords-agent kit` tries again", stop.in_one_line())),
        }
    }
    Ok(made)
}

/// Which box it is. One that no hub knows becomes a box with its first kit.
fn standing(configuration: &Configuration, asked: &Create, rng: &mut impl CryptoRng) -> Outcome<Standing> {
    if let Some(standing) = Standing::load(configuration)? {
        return Ok(standing);
    }
    if asked.kit.is_none() {
        return Standing::required(configuration).map_err(|stop| match stop.remedy.clone() {
            Some(remedy) => stop.remedy(format!("{remedy}; or, without any hub, say --kit FILE")),
            None => stop,
        });
    }
    let name = asked.box_name.clone().unwrap_or_else(crate::enroll::hostname);
    Ok(Standing::Alone(BoxFacts::new(&name, rng)))
}

fn shelf<'a>(hub: Option<&'a crate::hub::Hub>, asked: &'a Create) -> Outcome<Shelf<'a>> {
    match (hub, &asked.kit) {
        (Some(hub), _) => Ok(Shelf::Hub(hub)),
        (None, Some(path)) => Ok(Shelf::Kit(path)),
        (None, None) => Err(Stop::new(Code::Usage, "no hub keeps this box's escrow, and no kit is named")
            .remedy("say where the kit goes: `escrow create --kit FILE`, on a medium that leaves this box")),
    }
}

/// The sheet of an escrow that is still to be made.
fn sheet_facts(
    material: &Material,
    configuration: &Configuration,
    of: &BoxFacts,
    hub: Option<&HubAddress>,
    code_number: NonZeroU64,
) -> Outcome<sheet::Facts> {
    let check_line = material.trust.check_line(of.id);
    let check_line = check_line.or_stop(Code::Internal, || "the check line cannot be made".into())?.to_string();
    let escrow = sheet::Escrow { code_number, made_at: Timestamp::now(), keys: material.keys(), check_line };
    Ok(sheet::Facts::new(of, hub, &configuration.settings.operator, escrow))
}

/// Where a ceremony is held.
pub(crate) struct Place<'a> {
    pub(crate) configuration: &'a Configuration,
    pub(crate) of: &'a BoxFacts,
    pub(crate) shelf: Shelf<'a>,
    pub(crate) client: &'a Client,
    /// Set as soon as a version may lie there.
    pub(crate) stored: &'a Cell<bool>,
}

/// Everything after the words are known.
pub(crate) fn hold(
    place: &Place<'_>,
    material: Material,
    history: &History,
    label: CodeLabel,
    code: &RecoveryCode,
    rng: &mut impl CryptoRng,
) -> Outcome<Made> {
    hold_with_root(place, material, history, label, code, rng).map(|(made, _)| made)
}

/// The same, with the root that was made.
fn hold_with_root(
    place: &Place<'_>,
    material: Material,
    history: &History,
    label: CodeLabel,
    code: &RecoveryCode,
    rng: &mut impl CryptoRng,
) -> Outcome<(Made, Root)> {
    let Place { configuration, of, shelf, client, stored: may_be_stored } = place;
    let opener = ByClient(client);
    let parts = material.wrap(client, &opener, code)?;
    let (words_key, box_key, age_identity) = (WordsKey::generate(rng), BoxKey::generate(rng), AgeIdentity::generate());
    let recipient = age_identity.public().to_string();
    let Material { keys, trust, secrets, mut warnings } = material;
    let files = secrets.files.iter().map(|file| file.path.to_string()).collect();
    let root = Root::new(RootFacts {
        box_id: of.id,
        box_name: of.name.clone(),
        code: label,
        sequence: history.next_sequence()?,
        made_at: Timestamp::now(),
        parts: parts.iter().map(VerifiedKeyPart::entry).collect(),
        trust,
        secrets,
        words_key,
        box_key: box_key.public(),
        identity: age_identity,
    })
    .or_stop(Code::Usage, || "what is to be escrowed does not hold together".into())?;
    let check_line = root.check_line().or_stop(Code::Internal, || "the check line cannot be made".into())?.to_string();
    let escrow = VerifiedEscrow::new(&root, parts, env!("CARGO_PKG_VERSION"), code)
        .or_stop(Code::GateRefused, || "the escrow did not open as it was made; nothing was stored".into())?;
    keys.values().try_for_each(Key::check_untouched)?;

    may_be_stored.set(true);
    let (stored, back) = shelf.put(of.id, escrow.bundle())?;
    let proven = escrow.read_back(stored, &back, code, &opener).map_err(|error| {
        Stop::new(Code::GateRefused, "what was given back is not what was stored there; the box is NOT protected by it")
            .remedy("tell the operator, then run the same command again")
            .because(error)
    })?;
    keys.values().try_for_each(Key::check_untouched).map_err(|stop| {
        stop.remedy(
            "a version with the former key was stored; find out who changes it, then run the same command again",
        )
    })?;

    let facts = root.facts();
    let header = &proven.stored().header;
    let kit = match shelf {
        Shelf::Kit(path) => Some(std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())),
        Shelf::Hub(_) => None,
    };
    let record = Record {
        v: V1,
        box_id: of.id,
        number: proven.stored().number,
        code_number: facts.code.number,
        code_id: facts.code.id,
        sequence: facts.sequence,
        made_at: facts.made_at,
        root_sha256: header.facts().root_sha256,
        parts: header.parts().to_vec(),
        keys: facts.parts.keys().copied().collect::<BTreeSet<_>>(),
        sources: facts.trust.sources.clone(),
        check_line: check_line.clone(),
        recipient,
        box_key: Some(box_key.public().to_string()),
        kit: kit.clone(),
    };
    if kit.is_some() {
        of.keep(configuration)?;
    }
    record.keep(configuration, &box_key, escrow.bundle())?;
    remember(configuration, &root, &record, &keys, &mut warnings, rng);
    let second_holders = to_second_holders(client, &root, escrow.bundle(), &mut warnings);
    if let Err(stop) = update::held(configuration, &record, escrow.bundle(), &second_holders) {
        warnings.push(stop.in_one_line());
    }
    // The hub hears of it from this node's next report.
    match cluster::share(configuration, of, &record) {
        Ok(None) => {}
        Ok(Some(former)) => warnings.push(format!("this node escrows for the box from now on, and {former} no more")),
        Err(stop) => warnings.push(format!(
            "{}; until `tenwords-agent keeper` with this node's name has done it, no other node can take over",
            stop.in_one_line()
        )),
    }
    if let Shelf::Hub(hub) = shelf {
        inventory::send_after(configuration, hub, of.id, record.number, &mut warnings);
    }
    let made = Made {
        v: V1,
        box_id: of.id.to_string(),
        box_name: harmless(&of.name, 64),
        number: record.number,
        code_number: record.code_number,
        sequence: record.sequence,
        keys: facts.parts.keys().copied().collect(),
        check_line,
        files,
        at_hub: kit.is_none(),
        kit,
        second_holders,
        warnings,
        former: None,
        is_kept: false,
    };
    Ok((made, root))
}

/// The keys stay on the box, and what was escrowed is known from now on. The escrow is stored by now: what cannot
/// be written here costs an update that says everything once more.
fn remember(
    configuration: &Configuration,
    root: &Root,
    record: &Record,
    keys: &BTreeMap<Fingerprint, Key>,
    warnings: &mut Vec<String>,
    rng: &mut impl CryptoRng,
) {
    lineage::take_in(configuration, keys.iter().map(|(key, file)| (*key, file.expose_file())), warnings);
    if let Err(stop) = update::begin(configuration, root, record, rng) {
        warnings.push(stop.in_one_line());
    }
}

/// The sealed parts beside the backups that they are for. A backup server that is down costs a second
/// holder and no escrow.
fn to_second_holders(client: &Client, root: &Root, bundle: &Bundle, warnings: &mut Vec<String>) -> Vec<String> {
    let facts = root.facts();
    let mut held = Vec::new();
    for source in &facts.trust.sources {
        let Some(token) = facts.secrets.tokens.get(&source.id) else { continue };
        let stored = sources::access(source, token)
            .map_err(|stop| stop.in_one_line())
            .and_then(|access| second_holder::store(client, &access, bundle).map_err(|error| chain(&error)));
        match stored {
            Ok(snapshot) => held.push(format!("{} {snapshot}", source.id)),
            Err(why) => warnings.push(format!(
                "source {} is no second holder of this version: {why}; the next ceremony tries again",
                source.id
            )),
        }
    }
    held
}

impl Made {
    /// For a person.
    pub(crate) fn lines(&self, talk: &Talk) -> Vec<String> {
        let done = Protected {
            box_name: &self.box_name,
            box_id: &self.box_id,
            keys: self.keys.len(),
            number: self.number.get(),
            kit: self.kit.as_deref().filter(|_| !self.at_hub),
        };
        let numbers = (talk.numbers)(self.code_number.get(), self.sequence.get(), &self.check_line);
        let mut lines = vec![(talk.protected)(&done), format!("  {numbers}")];
        lines.extend(self.keys.iter().map(|key| format!("  key {}", key.short())));
        lines.extend(self.second_holders.iter().map(|held| format!("  second holder: {held}")));
        lines.extend(self.kit.iter().filter(|_| self.at_hub).map(|kit| format!("  kit {}", kit.display())));
        lines.extend(self.warnings.iter().map(|warning| format!("  {}{}", talk.warning, harmless(warning, 400))));
        lines.extend(self.former_sheet(talk));
        lines
    }

    /// What becomes of the sheet that the customer has.
    pub(crate) fn former_sheet(&self, talk: &Talk) -> Option<String> {
        match self.former {
            Some(FormerSheet { number, is_needed: true }) => Some((talk.need_former)(number)),
            Some(FormerSheet { number, is_needed: false }) => Some((talk.destroy_former)(number)),
            None => self.is_kept.then(|| talk.sheet_stays.to_owned()),
        }
    }
}
