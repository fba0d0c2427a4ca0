//! Whose orders count: the list of operator keys in the root, and every pins statement since.
//!
//! Statements come from anywhere (the hub, update versions, files): each proves itself, from the root's list
//! on. The one thing that whoever carries them can do is to keep one back; so the generation and the code
//! of the list are shown, for operator and box to compare.

use std::path::PathBuf;

use tenwords_escrow::{
    pins::{self, Replayed, Taken},
    root::{Operators, Root},
};
use tenwords_protocol::{
    json,
    operators::{OperatorList, Pins},
    order::OperatorsSeen,
};

use crate::{
    durable,
    exit::{Code, OrStop as _, Outcome},
    opening::{Holder, OpenedEscrow},
    recover::plan::chain,
    seat::Seat,
    settings::Configuration,
};

/// A pins statement with its signature has at most so many bytes.
const LIMIT: u64 = 1 << 20;
/// Refusals that are told one by one.
const TOLD: usize = 8;

/// The statements that there are.
#[derive(Default)]
pub(crate) struct Statements {
    kept: Vec<Pins>,
    brought: Vec<Pins>,
    others: Vec<Pins>,
}

/// The list as it is today.
pub(crate) struct Pinned(Replayed);

impl Pinned {
    /// Of a root, of the statements that this machine has taken before, of those that somebody has brought by hand,
    /// and of whatever others there are, in this order: what comes first decides between two lists of one
    /// generation, and what was taken once counts for good.
    pub(crate) fn of(root: &Root, Statements { kept, brought, others }: &Statements) -> Self {
        let mut replayed = pins::replay(&root.facts().trust.operators, kept);
        let brought: Vec<&Pins> = kept.iter().chain(brought).collect();
        let all: Vec<&Pins> = brought.iter().copied().chain(others).collect();
        // All that came before too: a later one may follow what only the next ones bring.
        for statements in [brought, all] {
            if replayed.split.is_none() {
                let then = pins::replay(&replayed.operators, statements);
                replayed.operators = then.operators;
                replayed.split = then.split;
                replayed.taken.extend(then.taken);
                replayed.refused = then.refused;
            }
        }
        Self(replayed)
    }

    /// What was taken, to be kept.
    pub(crate) fn taken(&self) -> &[Taken] {
        &self.0.taken
    }

    pub(crate) fn operators(&self) -> &Operators {
        &self.0.operators
    }

    /// The list by which orders are judged.
    pub(crate) fn for_orders(&self) -> Option<&OperatorList> {
        self.0.for_orders()
    }

    pub(crate) fn seen(&self) -> OperatorsSeen {
        let Operators { generation, signers } = &self.0.operators;
        OperatorsSeen { generation: *generation, sha256: signers.hash() }
    }

    /// Why nothing can be ordered.
    pub(crate) fn cannot_order(&self) -> Option<String> {
        if let Some(generation) = self.0.split {
            return Some(format!(
                "two lists of operator keys, each signed, say to be generation {generation}: neither is believed"
            ));
        }
        let has_any = self.for_orders().is_some_and(|list| !list.signers().is_empty());
        (!has_any).then(|| "no operator's key is pinned for this box".to_owned())
    }

    /// For a person.
    pub(crate) fn lines(&self) -> Vec<String> {
        let Operators { generation, signers } = &self.0.operators;
        let mut lines = vec![format!(
            "operator keys: generation {generation}, {} keys, code {} (the operator has the same, or one of the two is \
             older: `tenwords pins show`)",
            signers.signers().len(),
            signers.code()
        )];
        for taken in &self.0.taken {
            lines.push(format!(
                "  generation {} of {}, signed by {}, takes the place of the one before",
                taken.generation, taken.made_at, taken.signer
            ));
        }
        for (generation, why) in self.0.refused.iter().take(TOLD) {
            let which = generation.map_or_else(|| "a pins statement".to_owned(), |it| format!("pins statement {it}"));
            lines.push(format!("  REFUSED: {which}: {}", chain(why)));
        }
        if let Some(more) = self.0.refused.len().checked_sub(TOLD).filter(|more| *more > 0) {
            lines.push(format!("  REFUSED: {more} more pins statements"));
        }
        lines.extend(self.cannot_order().map(|why| format!("  NOTHING can be ordered: {why}")));
        lines
    }
}

/// Every statement that can be had: in files, kept by this machine, at the hub, in update versions. That the hub
/// has none to give ends nothing; what it keeps back after it has given it once is kept here.
pub(super) fn gather(
    configuration: &Configuration,
    holder: Holder<'_>,
    opened: &OpenedEscrow,
    files: &[PathBuf],
    seat: &mut dyn Seat,
) -> Outcome<Statements> {
    let mut statements =
        Statements { kept: crate::pins::kept(configuration)?, brought: read(files)?, others: Vec::new() };
    match holder.pins(opened) {
        Ok(found) => statements.others = found,
        Err(error) => seat.say(&format!("  note: no pins statement could be asked for: {error}")),
    }
    Ok(statements)
}

/// The statements in these files.
pub(crate) fn read(paths: &[PathBuf]) -> Outcome<Vec<Pins>> {
    let read = |path: &PathBuf| {
        let cannot = || format!("the pins statement {} cannot be read", path.display());
        let text = durable::read_limited(path, LIMIT).or_stop(Code::Usage, cannot)?;
        json::from_slice(&text)
            .or_stop(Code::Usage, cannot)
            .map_err(|stop| stop.remedy("name the file that `tenwords pins sign` has written, pins-<generation>.json"))
    };
    paths.iter().map(read).collect()
}
