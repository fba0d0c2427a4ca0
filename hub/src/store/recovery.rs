//! Recovery windows: armed and disarmed by operators, claimed once by a new machine.

use sqlx::Row as _;
use tenwords_protocol::{
    id::{BoxId, NodeId},
    time::Timestamp,
    words::Nonce,
};

use super::{
    Act, CertificateKind, Entry, StoreError, Tx, maybe_time,
    tickets::{Found, Issued, NewTicket, Purpose, Ticket, TicketRefusal, Window},
};

/// A box that was heard of so lately asks for a confirmation.
const ALIVE_SECONDS: u64 = 3600;

/// Opens a window. An earlier one that nobody has proven ends.
#[derive(Debug)]
pub struct Arm {
    /// The box.
    pub box_id: BoxId,
    /// The window's ticket.
    pub ticket: NewTicket,
    /// Why.
    pub reason: String,
    /// Practise only.
    pub rehearsal: bool,
    /// Revoke the box's certificates at once, and end its enrolment tickets.
    pub stolen: bool,
    /// When the box was lost.
    pub lost_at: Option<Timestamp>,
    /// Although it was heard of within the hour.
    pub confirm_alive: bool,
    /// Who arms.
    pub actor: String,
    /// When.
    pub now: Timestamp,
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArmOutcome {
    /// The box was heard of then, and nobody confirmed.
    Alive(Timestamp),
    /// The window is open.
    Armed,
    /// No such box.
    NoBox,
    /// The box is no more.
    Retired,
}

/// Closes the window, and revokes a certificate that it gave to somebody who has not proven.
#[derive(Debug)]
pub struct Disarm {
    /// The box.
    pub box_id: BoxId,
    /// Who disarms.
    pub actor: String,
    /// When.
    pub now: Timestamp,
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DisarmOutcome {
    /// So many windows were closed (none, if none was open).
    Disarmed(u64),
    /// No such box.
    NoBox,
}

/// Uses a recovery ticket.
#[derive(Debug)]
pub struct Claim {
    /// The ticket's keyed hash.
    pub ticket_hash: String,
    /// The certificate to give, unless this key has one for this ticket already.
    pub issued: Issued,
    /// The nonce to give, unless one is still unused.
    pub nonce: Nonce,
    /// When.
    pub now: Timestamp,
}

/// How it went.
#[derive(Debug)]
pub enum ClaimOutcome {
    /// The machine may read, and prove.
    Claimed {
        /// What the ticket was for.
        ticket: Box<Ticket>,
        /// The machine.
        node_id: NodeId,
        /// The certificate.
        der: Vec<u8>,
        /// For the proof.
        nonce: Nonce,
    },
    /// The ticket is not good.
    Refused(TicketRefusal, Option<BoxId>),
}

impl Act for Arm {
    type Reply = ArmOutcome;

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<ArmOutcome, StoreError> {
        let Self { box_id, now, .. } = self;
        let select = sqlx::query("SELECT heard_at, retired_at FROM boxes WHERE box_id = $1").bind(box_id.to_string());
        let Some(row) = tx.read(select).await? else { return Ok(ArmOutcome::NoBox) };
        if maybe_time(&row, "boxes", "retired_at")?.is_some() {
            return Ok(ArmOutcome::Retired);
        }
        // A rehearsal is for a box that lives.
        if !self.rehearsal && !self.confirm_alive {
            match maybe_time(&row, "boxes", "heard_at")? {
                Some(heard) if now.since(heard).as_secs() < ALIVE_SECONDS => return Ok(ArmOutcome::Alive(heard)),
                _ => {}
            }
        }
        let replaced = tx.end_tickets(*box_id, Purpose::Recover, *now).await?;
        // Whoever claimed an earlier window and never showed the words reads no more.
        revoke_readers(tx, *box_id, "armed anew", *now).await?;
        let window =
            Window { reason: &self.reason, rehearsal: self.rehearsal, stolen: self.stolen, lost_at: self.lost_at };
        tx.insert_ticket(&self.ticket, Purpose::Recover, *box_id, *now, &window).await?;
        let revoked = match self.stolen {
            true => tx.revoke_others(*box_id, "", "stolen", *now).await?,
            false => 0,
        };
        if self.stolen {
            // The thief may have saved one.
            tx.end_tickets(*box_id, Purpose::Enroll, *now).await?;
            tx.end_orders_of_former(*box_id, &self.actor, *now).await?;
        }
        let mut detail = format!("until {}: {}", self.ticket.expires_at, self.reason);
        for (holds, text) in [(self.rehearsal, "rehearsal"), (self.stolen, "stolen"), (replaced > 0, "replaced")] {
            if holds {
                detail.push_str("; ");
                detail.push_str(text);
            }
        }
        if revoked > 0 {
            detail.push_str(&format!("; {revoked} certificates revoked"));
        }
        if let Some(lost_at) = self.lost_at {
            detail.push_str(&format!("; lost at {lost_at}"));
        }
        tx.audit(Entry {
            time: *now,
            actor: self.actor.clone(),
            action: "recovery.arm",
            box_id: Some(*box_id),
            detail,
        })
        .await?;
        Ok(ArmOutcome::Armed)
    }
}

impl Act for Disarm {
    type Reply = DisarmOutcome;

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<DisarmOutcome, StoreError> {
        let Self { box_id, now, .. } = self;
        let known = sqlx::query("SELECT box_id FROM boxes WHERE box_id = $1").bind(box_id.to_string());
        if tx.read(known).await?.is_none() {
            return Ok(DisarmOutcome::NoBox);
        }
        let closed = tx.end_tickets(*box_id, Purpose::Recover, *now).await?;
        let revoked = revoke_readers(tx, *box_id, "disarmed", *now).await?;
        if closed > 0 || revoked > 0 {
            tx.audit(Entry {
                time: *now,
                actor: self.actor.clone(),
                action: "recovery.disarm",
                box_id: Some(*box_id),
                detail: format!("{closed} windows closed, {revoked} recovery certificates revoked"),
            })
            .await?;
        }
        Ok(DisarmOutcome::Disarmed(closed))
    }
}

impl Act for Claim {
    type Reply = ClaimOutcome;

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<ClaimOutcome, StoreError> {
        let Self { ticket_hash, issued, nonce, now } = self;
        match tx.find_ticket(ticket_hash, Purpose::Recover, issued.spki_sha256, *now).await? {
            Found::Refused(why, box_id) => Ok(ClaimOutcome::Refused(why, box_id)),
            Found::Again(ticket, der, node_id, serial) => {
                let nonce = match unused_nonce(tx, &serial).await? {
                    Some(nonce) => nonce,
                    None => insert_nonce(tx, *nonce, &serial, *now).await?,
                };
                Ok(ClaimOutcome::Claimed { ticket, node_id, der, nonce })
            }
            Found::Open(ticket) => {
                tx.bind_ticket(ticket_hash, ticket.box_id, issued, CertificateKind::Recovery, Some(""), *now).await?;
                let nonce = insert_nonce(tx, *nonce, &issued.serial, *now).await?;
                tx.audit(Entry {
                    time: *now,
                    actor: format!("node:{}", issued.node_id),
                    action: "recovery.claim",
                    box_id: Some(ticket.box_id),
                    detail: format!("certificate {}, until {}", issued.serial, issued.expires_at),
                })
                .await?;
                Ok(ClaimOutcome::Claimed { ticket, node_id: issued.node_id, der: issued.der.clone(), nonce })
            }
        }
    }
}

/// Revokes the box's recovery certificates, and says how many.
async fn revoke_readers(
    tx: &mut Tx<'_>,
    box_id: BoxId,
    because: &'static str,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let readers = sqlx::query(
        "UPDATE certificates SET revoked_at = $1, revoked_because = $2 \
         WHERE box_id = $3 AND kind = 'recovery' AND revoked_at IS NULL",
    )
    .bind(now.unix())
    .bind(because)
    .bind(box_id.to_string());
    tx.write_any(readers).await
}

async fn unused_nonce(tx: &mut Tx<'_>, serial: &str) -> Result<Option<Nonce>, StoreError> {
    let select = sqlx::query("SELECT nonce FROM nonces WHERE serial = $1 AND used_at IS NULL LIMIT 1").bind(serial);
    let Some(row) = tx.read(select).await? else { return Ok(None) };
    let text: String = row.try_get("nonce")?;
    let nonce = serde_json::from_value(serde_json::Value::String(text));
    nonce.map(Some).map_err(|_| StoreError::unreadable("nonces", "nonce", "not 32 bytes in base64"))
}

async fn insert_nonce(tx: &mut Tx<'_>, nonce: Nonce, serial: &str, now: Timestamp) -> Result<Nonce, StoreError> {
    let insert = sqlx::query("INSERT INTO nonces (nonce, serial, made_at) VALUES ($1, $2, $3)")
        .bind(nonce.to_string())
        .bind(serial)
        .bind(now.unix());
    tx.write("nonces", 1, insert).await?;
    Ok(nonce)
}
