//! Enrolment tickets of a box that exists: for another node of it, or for one that was installed anew.

use std::time::Duration;

use tenwords_protocol::{
    id::{BoxId, NodeId},
    time::Timestamp,
};

use super::{
    Act, CertificateKind, Entry, StoreError, Tx,
    day::DAY_SECONDS,
    maybe_time,
    tickets::{NewTicket, Purpose, Window},
    time,
};

/// Enrolment tickets of one box that wait for somebody, at most.
const OPEN: i64 = 64;
/// So many a box itself may have in 24 hours.
const PER_DAY: i64 = 64;

/// Gives an enrolment ticket for a box that exists.
#[derive(Debug)]
pub struct GiveTicket {
    /// The box.
    pub box_id: BoxId,
    /// The ticket.
    pub ticket: NewTicket,
    /// Who asks.
    pub asker: Asker,
    /// When.
    pub now: Timestamp,
}

/// Who asks for a ticket.
#[derive(Debug)]
pub enum Asker {
    /// An operator.
    Operator {
        /// Who.
        actor: String,
        /// The box's other tickets that nobody has used end.
        end_others: bool,
        /// The one machine that it is for, a node that was installed anew.
        hostname: Option<String>,
    },
    /// A node of the box, for one machine.
    Node {
        /// Its certificate.
        serial: String,
        /// Itself.
        node_id: NodeId,
        /// Which machine.
        hostname: String,
    },
}

/// How it went.
#[derive(Debug, PartialEq, Eq)]
pub enum GiveTicketOutcome {
    /// The ticket is good.
    Given,
    /// No such box.
    NoBox,
    /// The certificate speaks for the box no more.
    NotTheBox,
    /// The box is no more.
    Retired,
    /// So many wait for somebody already.
    TooManyOpen,
    /// The box has asked for so many.
    TooMany {
        /// When to come again.
        retry_after: Duration,
    },
}

impl Act for GiveTicket {
    type Reply = GiveTicketOutcome;

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<GiveTicketOutcome, StoreError> {
        let Self { box_id, ticket, asker, now } = self;
        let known = sqlx::query("SELECT retired_at FROM boxes WHERE box_id = $1").bind(box_id.to_string());
        let Some(known) = tx.read(known).await? else { return Ok(GiveTicketOutcome::NoBox) };
        if maybe_time(&known, "boxes", "retired_at")?.is_some() {
            return Ok(GiveTicketOutcome::Retired);
        }
        let (actor, detail) = match asker {
            Asker::Operator { actor, end_others, hostname } => {
                let mut detail = format!("enrolment ticket until {}", ticket.expires_at);
                if let Some(hostname) = hostname {
                    detail.push_str(&format!("; to install host {hostname} anew"));
                }
                if *end_others {
                    tx.end_tickets(*box_id, Purpose::Enroll, *now).await?;
                    detail.push_str("; those before it ended");
                }
                (actor.clone(), detail)
            }
            Asker::Node { serial, node_id, hostname } => {
                if tx.certificate_kind(serial, *now).await? != Some(CertificateKind::Box) {
                    return Ok(GiveTicketOutcome::NotTheBox);
                }
                if let Some(retry_after) = self.day_is_full(tx).await? {
                    return Ok(GiveTicketOutcome::TooMany { retry_after });
                }
                let detail = format!("enrolment ticket for host {hostname} until {}", ticket.expires_at);
                (format!("node:{node_id}"), detail)
            }
        };
        if self.has_enough(tx).await? {
            return Ok(GiveTicketOutcome::TooManyOpen);
        }
        tx.insert_ticket(ticket, Purpose::Enroll, *box_id, *now, &Window::default()).await?;
        let (hostname, asked_by) = match asker {
            Asker::Operator { hostname, .. } => (hostname.as_ref(), None),
            Asker::Node { node_id, hostname, .. } => (Some(hostname), Some(node_id.to_string())),
        };
        if let Some(hostname) = hostname {
            let bind = sqlx::query("UPDATE tickets SET hostname = $1, asked_by = $2 WHERE ticket_hash = $3")
                .bind(hostname)
                .bind(asked_by)
                .bind(&ticket.hash);
            tx.write("tickets", 1, bind).await?;
        }
        tx.audit(Entry { time: *now, actor, action: "box.ticket", box_id: Some(*box_id), detail }).await?;
        Ok(GiveTicketOutcome::Given)
    }
}

impl GiveTicket {
    async fn has_enough(&self, tx: &mut Tx<'_>) -> Result<bool, StoreError> {
        let select = sqlx::query(
            "SELECT position FROM tickets WHERE box_id = $1 AND purpose = 'enroll' AND serial IS NULL \
             AND ended_at IS NULL AND expires_at > $2 LIMIT 1 OFFSET $3",
        )
        .bind(self.box_id.to_string())
        .bind(self.now.unix())
        .bind(OPEN - 1);
        Ok(tx.read(select).await?.is_some())
    }

    async fn day_is_full(&self, tx: &mut Tx<'_>) -> Result<Option<Duration>, StoreError> {
        let select = sqlx::query(
            "SELECT made_at FROM tickets WHERE box_id = $1 AND asked_by IS NOT NULL AND made_at > $2 \
             AND made_at <= $3 ORDER BY made_at DESC LIMIT 1 OFFSET $4",
        )
        .bind(self.box_id.to_string())
        .bind(self.now.unix() - DAY_SECONDS)
        .bind(self.now.unix())
        .bind(PER_DAY - 1);
        let Some(row) = tx.read(select).await? else { return Ok(None) };
        let free_at = time(&row, "tickets", "made_at")?.unix() + DAY_SECONDS;
        Ok(Some(Duration::from_secs(u64::try_from(free_at - self.now.unix()).unwrap_or(1).max(1))))
    }
}
