//! Tickets, by their keyed hash. The first key that uses one has it from then on: it may ask again
//! and gets the same answer, and nobody else gets any.

use std::{fmt, str::FromStr};

use sqlx::Row as _;
use tenwords_protocol::{
    hash::Sha256,
    id::{BoxId, NodeId},
    time::Timestamp,
};

use super::{CertificateKind, Store, StoreError, Tx, maybe_time, parsed, time};

/// What a ticket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A node joins its box.
    Enroll,
    /// A lost box comes back.
    Recover,
}

/// A ticket that is about to be given.
#[derive(Debug, Clone)]
pub struct NewTicket {
    /// Its keyed hash, in hex.
    pub hash: String,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// A certificate that is about to be given.
#[derive(Debug, Clone)]
pub struct Issued {
    /// Its serial number, in hex.
    pub serial: String,
    /// The machine that it names.
    pub node_id: NodeId,
    /// Over its public key's SPKI (DER).
    pub spki_sha256: Sha256,
    /// The certificate.
    pub der: Vec<u8>,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Why a ticket is not good. All of these are one refusal outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TicketRefusal {
    /// Its time is over.
    Expired,
    /// An operator closed its window, or a later one took its place.
    Ended,
    /// Its certificate has ended or was revoked.
    Spent,
    /// It is for a machine of another name.
    OtherMachine,
    /// Another key has used it.
    Taken,
    /// The node that asked for it is in the box no more.
    NoAsker,
    /// No such ticket.
    Unknown,
    /// It is for something else.
    WrongPurpose,
}

/// What a look at a ticket shows.
#[derive(Debug, Clone)]
pub enum Found {
    /// This key has used it: the same answer again.
    Again(Box<Ticket>, Vec<u8>, NodeId, String),
    /// It may be used.
    Open(Box<Ticket>),
    /// It is not good, and if it is known, whose it is.
    Refused(TicketRefusal, Option<BoxId>),
}

/// A ticket that is good.
#[derive(Debug, Clone)]
pub struct Ticket {
    /// Whose it is.
    pub box_id: BoxId,
    /// What the hub calls the box.
    pub box_name: String,
    /// Whether the recovery only practises.
    pub rehearsal: bool,
    /// When the operator says that the box was lost.
    pub lost_at: Option<Timestamp>,
    /// The one machine that it is good for: a node of the box has asked for it, or an operator for one that was
    /// installed anew.
    pub hostname: Option<String>,
}

const FIND: &str = "SELECT t.purpose, t.box_id, b.name, t.expires_at, t.ended_at, t.rehearsal, t.lost_at, t.hostname, \
     t.serial, t.asked_by, c.node_id, c.spki_sha256, c.der, c.expires_at AS certificate_expires_at, c.revoked_at, \
     (SELECT COUNT(*) FROM certificates a WHERE a.node_id = t.asked_by AND a.kind = 'box' AND a.revoked_at IS NULL \
     AND a.expires_at > $2) AS asker_lives \
     FROM tickets t JOIN boxes b ON b.box_id = t.box_id LEFT JOIN certificates c ON c.serial = t.serial \
     WHERE t.ticket_hash = $1";

impl Store {
    /// A look before the certificate is signed; the act looks again.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn find_ticket(
        &self,
        hash: &str,
        purpose: Purpose,
        spki: Sha256,
        now: Timestamp,
    ) -> Result<Found, StoreError> {
        let row = sqlx::query(FIND).bind(hash).bind(now.unix()).fetch_optional(self.pool()).await?;
        judge(row.as_ref(), purpose, spki, now)
    }
}

impl Tx<'_> {
    pub(super) async fn find_ticket(
        &mut self,
        hash: &str,
        purpose: Purpose,
        spki: Sha256,
        now: Timestamp,
    ) -> Result<Found, StoreError> {
        let row = self.read(sqlx::query(FIND).bind(hash).bind(now.unix())).await?;
        judge(row.as_ref(), purpose, spki, now)
    }

    /// Writes down a ticket. `window` is what a recovery window has and an enrolment has not.
    pub(super) async fn insert_ticket(
        &mut self,
        ticket: &NewTicket,
        purpose: Purpose,
        box_id: BoxId,
        now: Timestamp,
        window: &Window<'_>,
    ) -> Result<(), StoreError> {
        let insert = sqlx::query(
            "INSERT INTO tickets (ticket_hash, position, purpose, box_id, made_at, expires_at, reason, rehearsal, \
             stolen, lost_at) VALUES ($1, (SELECT COALESCE(MAX(position), 0) + 1 FROM tickets), $2, $3, $4, $5, $6, \
             $7, $8, $9)",
        )
        .bind(&ticket.hash)
        .bind(purpose.as_str())
        .bind(box_id.to_string())
        .bind(now.unix())
        .bind(ticket.expires_at.unix())
        .bind(window.reason)
        .bind(i64::from(window.rehearsal))
        .bind(i64::from(window.stolen))
        .bind(window.lost_at.map(Timestamp::unix));
        self.write("tickets", 1, insert).await
    }

    /// Ends the box's tickets of this purpose that are still open, and says how many.
    pub(super) async fn end_tickets(
        &mut self,
        box_id: BoxId,
        purpose: Purpose,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let update = sqlx::query(
            "UPDATE tickets SET ended_at = $1 \
             WHERE box_id = $2 AND purpose = $3 AND ended_at IS NULL AND proven_at IS NULL",
        )
        .bind(now.unix())
        .bind(box_id.to_string())
        .bind(purpose.as_str());
        self.write_any(update).await
    }

    /// Writes the certificate, and the node unless it is known already, and binds the ticket to them.
    pub(super) async fn bind_ticket(
        &mut self,
        hash: &str,
        box_id: BoxId,
        issued: &Issued,
        kind: CertificateKind,
        new_node: Option<&str>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if let Some(hostname) = new_node {
            let node = sqlx::query("INSERT INTO nodes (node_id, box_id, hostname, made_at) VALUES ($1, $2, $3, $4)")
                .bind(issued.node_id.to_string())
                .bind(box_id.to_string())
                .bind(hostname)
                .bind(now.unix());
            self.write("nodes", 1, node).await?;
        }
        self.insert_certificate(box_id, issued, kind, now).await?;
        let ticket =
            sqlx::query("UPDATE tickets SET serial = $1, used_at = $2 WHERE ticket_hash = $3 AND serial IS NULL")
                .bind(&issued.serial)
                .bind(now.unix())
                .bind(hash);
        self.write("tickets", 1, ticket).await
    }
}

/// What a recovery window has beside its ticket.
#[derive(Debug, Default)]
pub(super) struct Window<'a> {
    pub(super) reason: &'a str,
    pub(super) rehearsal: bool,
    pub(super) stolen: bool,
    pub(super) lost_at: Option<Timestamp>,
}

fn judge(row: Option<&sqlx::any::AnyRow>, purpose: Purpose, spki: Sha256, now: Timestamp) -> Result<Found, StoreError> {
    let Some(row) = row else { return Ok(Found::Refused(TicketRefusal::Unknown, None)) };
    let ticket = Ticket {
        box_id: parsed(row, "tickets", "box_id")?,
        box_name: row.try_get("name")?,
        rehearsal: row.try_get::<i64, _>("rehearsal")? != 0,
        lost_at: maybe_time(row, "tickets", "lost_at")?,
        hostname: row.try_get("hostname")?,
    };
    let refused = |why| Ok(Found::Refused(why, Some(ticket.box_id)));
    if parsed::<Purpose>(row, "tickets", "purpose")? != purpose {
        return refused(TicketRefusal::WrongPurpose);
    }
    let Some(serial) = row.try_get::<Option<String>, _>("serial")? else {
        return match () {
            () if row.try_get::<Option<i64>, _>("ended_at")?.is_some() => refused(TicketRefusal::Ended),
            () if time(row, "tickets", "expires_at")? <= now => refused(TicketRefusal::Expired),
            // A node lets others in as long as it is in itself.
            () if row.try_get::<Option<String>, _>("asked_by")?.is_some()
                && row.try_get::<i64, _>("asker_lives")? == 0 =>
            {
                refused(TicketRefusal::NoAsker)
            }
            () => Ok(Found::Open(Box::new(ticket))),
        };
    };
    if parsed::<Sha256>(row, "certificates", "spki_sha256")? != spki {
        return refused(TicketRefusal::Taken);
    }
    let revoked = row.try_get::<Option<i64>, _>("revoked_at")?.is_some();
    if revoked || time(row, "certificates", "certificate_expires_at")? <= now {
        return refused(TicketRefusal::Spent);
    }
    let node_id = parsed(row, "certificates", "node_id")?;
    Ok(Found::Again(Box::new(ticket), row.try_get("der")?, node_id, serial))
}

impl Purpose {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Enroll => "enroll",
            Self::Recover => "recover",
        }
    }
}

impl FromStr for Purpose {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "enroll" => Ok(Self::Enroll),
            "recover" => Ok(Self::Recover),
            _ => Err(()),
        }
    }
}

impl fmt::Display for TicketRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "it has expired",
            Self::Ended => "it was ended",
            Self::Spent => "its certificate has ended or was revoked",
            Self::OtherMachine => "it is for a machine of another name",
            Self::Taken => "another key has used it",
            Self::NoAsker => "the node that asked for it is in the box no more",
            Self::Unknown => "no such ticket",
            Self::WrongPurpose => "it is for something else",
        })
    }
}
