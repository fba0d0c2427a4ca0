//! How a ticket is shown: once, in both forms, with what to do with it.

use serde::Serialize;
use tenwords_protocol::{
    boxes::{TicketForms, TicketReply},
    id::BoxId,
    time::Timestamp,
    v1::V1,
};

use crate::name::Name;

/// The JSON answer of `box add` and `recovery arm`.
#[derive(Serialize)]
pub(super) struct Shown<'a> {
    v: V1,
    box_id: BoxId,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a Name>,
    ticket: &'a TicketForms,
    expires_at: Timestamp,
}

impl<'a> Shown<'a> {
    pub(super) fn new(name: Option<&'a Name>, reply: &'a TicketReply) -> Self {
        Self { v: V1, box_id: reply.box_id, name, ticket: &reply.ticket, expires_at: reply.expires_at }
    }
}

/// For people: both forms, and the command that takes one.
pub(super) fn text(reply: &TicketReply, command: &str) -> String {
    format!(
        "\n  to paste   {}\n  to type    {}\n\nGood until {}, for one machine. On that machine, as root, this asks for either form of it:\n\n  {command}\n\n",
        reply.ticket.paste, reply.ticket.typed, reply.expires_at
    )
}
