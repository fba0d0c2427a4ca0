//! Which code a ceremony is held under: the one that the box has, or a new one.
//!
//! A code that is kept is typed, and has to open something of this very box; what it opens is carried
//! forward. A new one leaves the former as it is until it has been typed back and proven.

use pbs_driver::Client;
use rand::CryptoRng;
use tenwords_escrow::{code::RecoveryCode, root::CodeLabel};
use tenwords_protocol::id::CodeId;

use super::{History, Material, history::Former};
use crate::{
    added::Added,
    cli::Create,
    exit::{Code, Outcome, Stop},
    opening::{Candidates, Holder, OpenedEscrow},
    record,
    seat::Seat,
    settings::Configuration,
    shelf::Shelf,
    standing::BoxFacts,
};

/// The code of a ceremony.
pub(super) struct Chosen {
    pub(super) label: CodeLabel,
    pub(super) code: RecoveryCode,
    /// It was drawn just now: the customer has not got it yet.
    pub(super) is_new: bool,
    /// What becomes of the former code's sheet.
    pub(super) former: Option<FormerSheet>,
}

/// A code that was the box's before.
#[derive(Debug, Clone, Copy)]
pub(super) struct FormerSheet {
    pub(super) number: u64,
    /// Keys that only it opens were not carried forward.
    pub(super) is_needed: bool,
}

/// Where the choice is made.
pub(super) struct Setting<'a> {
    pub(super) configuration: &'a Configuration,
    pub(super) of: &'a BoxFacts,
    pub(super) shelf: &'a Shelf<'a>,
    pub(super) client: &'a Client,
}

/// Asks, unless the command line has said it.
pub(super) fn choose(
    asked: &Create,
    history: &History,
    setting: &Setting<'_>,
    material: &mut Material,
    seat: &mut dyn Seat,
    rng: &mut impl CryptoRng,
) -> Outcome<Chosen> {
    let drawn = |rng: &mut _| -> Outcome<Chosen> {
        let label = CodeLabel { number: history.next_code()?, id: CodeId::random(rng) };
        Ok(Chosen { label, code: RecoveryCode::draw(rng), is_new: true, former: None })
    };
    let Some(former) = &history.former else {
        if asked.keep_code {
            return Err(Stop::new(Code::Usage, "this box has no code yet that could be kept")
                .remedy("leave --keep-code out: a code is drawn then"));
        }
        return drawn(rng);
    };
    let keep = match (asked.keep_code, asked.new_code) {
        (true, _) => true,
        (_, true) => false,
        _ => ask(former, seat)?,
    };
    if keep { kept(former, setting, material, seat) } else { replaced(former, setting, material, seat, drawn(rng)?) }
}

fn ask(former: &Former, seat: &mut dyn Seat) -> Outcome<bool> {
    let talk = seat.talk();
    loop {
        let answer = seat.ask(&format!("{} ", (talk.keep_or_draw)(former.code.get(), former.made_at)))?;
        match answer.trim().to_lowercase() {
            word if !word.is_empty() && talk.keep.contains(&word.as_str()) => return Ok(true),
            word if !word.is_empty() && talk.draw.contains(&word.as_str()) => return Ok(false),
            _ => seat.say(talk.one_of_both),
        }
    }
}

fn kept(former: &Former, setting: &Setting<'_>, material: &mut Material, seat: &mut dyn Seat) -> Outcome<Chosen> {
    let talk = seat.talk();
    let Typed { opened, added, code } = typed(setting, &(talk.to_be_kept)(former.code.get()), seat)?;
    let label = opened.escrow.root().facts().code;
    if let Some(older) = &opened.older {
        let (this, newest) = (older.opened.number.get(), older.newest.get());
        if !seat.confirm(&(talk.keep_former)(this, newest))? {
            return Err(Stop::new(Code::Interrupted, "the code is not kept, you said; nothing was changed")
                .remedy("take the sheet of the newest code, or draw a new one: `escrow create --new-code`"));
        }
    }
    material.carry(&added.keyring(&opened));
    carry_former(former, setting, material, seat)?;
    Ok(Chosen { label, code, is_new: false, former: None })
}

fn replaced(
    former: &Former,
    setting: &Setting<'_>,
    material: &mut Material,
    seat: &mut dyn Seat,
    drawn: Chosen,
) -> Outcome<Chosen> {
    let number = former.code.get();
    let is_needed = !carry_former(former, setting, material, seat)?;
    seat.say(&(seat.talk().new_code)(drawn.label.number.get(), number));
    Ok(Chosen { former: Some(FormerSheet { number, is_needed }), ..drawn })
}

/// Carries forward what only the newest escrow has, by the words of its code; whether nothing is left of it.
fn carry_former(former: &Former, setting: &Setting<'_>, material: &mut Material, seat: &mut dyn Seat) -> Outcome<bool> {
    let (talk, number) = (seat.talk(), former.code.get());
    let lacking = |material: &Material| former.keys.difference(&material.keys()).count();
    let count = lacking(material);
    if count == 0 {
        return Ok(true);
    }
    seat.say(&(talk.only_former)(count, number, former.made_at));
    if seat.confirm(talk.have_former)? {
        let Typed { opened, added, .. } = typed(setting, &(talk.to_be_kept)(number), seat)?;
        material.carry(&added.keyring(&opened));
    }
    let left = lacking(material);
    if left > 0 {
        material
            .warnings
            .push(format!("{left} keys of code {number} are not carried forward: only its sheet opens them"));
    }
    Ok(left == 0)
}

/// Words that were typed, and what they opened.
struct Typed {
    opened: OpenedEscrow,
    added: Added,
    code: RecoveryCode,
}

/// What the words open of this box, with the updates on it: at its hub, or by the bytes that it has kept of its newest version.
fn typed(setting: &Setting<'_>, heading: &str, seat: &mut dyn Seat) -> Outcome<Typed> {
    let own;
    let holder = match setting.shelf {
        Shelf::Hub(hub) => Holder::Hub { hub, box_id: setting.of.id },
        Shelf::Kit(_) => {
            own = record::own_kits(setting.configuration, setting.of.id)?;
            Holder::Kits(&own)
        }
    };
    let (opened, code) = Candidates::of(holder, None)?.open(None, setting.client, heading, seat)?;
    let added = Added::open(holder, &opened, None)?;
    Ok(Typed { opened, added, code })
}
