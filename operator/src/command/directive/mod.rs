//! `tenwords directive`: what a recovery restores, looked at and chosen.
//!
//! Whatever an operator asks for is turned into items here ([`change`], [`text`]), said in words
//! ([`told`]) and only then sent, with the number that it is based on.

mod change;
mod diff;
mod edit;
mod editor;
mod show;
mod text;
mod told;

use tenwords_protocol::{
    directives::{self, DirectiveHead, Origin, StoredDirective},
    holdings::{Holdings, InventoryReply},
    id::BoxId,
};

pub(super) use self::{diff::run as diff, edit::run as edit, show::run as show};
use crate::{failure::Failure, hub::Hub, show::clean};

/// What stands on the hub, and what the box said last.
struct Standing {
    directive: Option<StoredDirective>,
    last: Option<InventoryReply>,
}

impl Standing {
    async fn ask(hub: &Hub, id: BoxId) -> Result<Self, Failure> {
        let newest = hub.directives(id, None).await?.into_iter().next();
        let directive = match newest {
            Some(head) => Some(hub.directive(id, head.number).await?),
            None => None,
        };
        Ok(Self { directive, last: hub.inventory(id).await? })
    }

    fn holdings(&self) -> Option<&Holdings> {
        self.last.as_ref().map(|last| &last.inventory)
    }

    /// What an edit begins with: what stands, else what the last inventory makes.
    fn items(&self) -> Vec<tenwords_protocol::directive::Item> {
        match (&self.directive, self.holdings()) {
            (Some(stored), _) => stored.directive.items.clone(),
            (None, Some(holdings)) => directives::automatic(holdings).items,
            (None, None) => Vec::new(),
        }
    }

    fn number(&self) -> u64 {
        self.directive.as_ref().map_or(0, |stored| stored.head.number.get())
    }
}

/// `directive 3, yours…`
fn described(head: &DirectiveHead) -> String {
    let of = head.version.map(|version| format!("from the inventory of version {version}")).unwrap_or_default();
    let by = head.by.as_deref().map(clean);
    let how = match (head.origin, by) {
        (Origin::Operator, Some(name)) => format!("edited by operator {name}"),
        (Origin::Operator, None) => "edited".to_owned(),
        (Origin::Automatic, None) => format!("made automatically {of}"),
        (Origin::Automatic, Some(name)) if of.is_empty() => {
            format!("automatic: operator {name} dropped the one before; the box has sent no inventory yet")
        }
        (Origin::Automatic, Some(name)) => format!("made automatically {of}; operator {name} dropped the one before"),
    };
    format!("directive {} of {}: {how}", head.number, head.made_at)
}
