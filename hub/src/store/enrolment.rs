//! A node joins its box with a ticket.

use tenwords_protocol::{
    id::{BoxId, NodeId},
    time::Timestamp,
};

use super::{
    Act, CertificateKind, Entry, StoreError, Tx,
    tickets::{Found, Issued, Purpose, TicketRefusal},
};

/// Uses an enrolment ticket.
#[derive(Debug)]
pub struct Enroll {
    /// The ticket's keyed hash.
    pub ticket_hash: String,
    /// What the node calls itself.
    pub hostname: String,
    /// The certificate to give, unless this key has one for this ticket already.
    pub issued: Issued,
    /// The node of this host, which the certificate names, if the box was thought to have it.
    pub known: Option<NodeId>,
    /// When.
    pub now: Timestamp,
}

/// How it went.
#[derive(Debug)]
pub enum EnrollOutcome {
    /// The node has a certificate.
    Enrolled {
        /// Its box.
        box_id: BoxId,
        /// What the hub calls the box.
        box_name: String,
        /// The node.
        node_id: NodeId,
        /// The certificate.
        der: Vec<u8>,
    },
    /// The host is a node whose certificate holds, and the ticket is not for installing it anew.
    Lives(BoxId),
    /// The box has so many nodes already.
    NoRoom,
    /// The certificate names another node than the one that this host is, or none knew of it when it was
    /// signed: sign one for this node, or for a new one.
    OtherNode(Option<NodeId>),
    /// The ticket is not good.
    Refused(TicketRefusal, Option<BoxId>),
}

impl Act for Enroll {
    type Reply = EnrollOutcome;

    async fn perform(&self, tx: &mut Tx<'_>) -> Result<EnrollOutcome, StoreError> {
        let Self { ticket_hash, hostname, issued, known, now } = self;
        let ticket = match tx.find_ticket(ticket_hash, Purpose::Enroll, issued.spki_sha256, *now).await? {
            Found::Refused(why, box_id) => return Ok(EnrollOutcome::Refused(why, box_id)),
            Found::Again(ticket, der, node_id, _) => {
                return Ok(EnrollOutcome::Enrolled { box_id: ticket.box_id, box_name: ticket.box_name, node_id, der });
            }
            Found::Open(ticket) => ticket,
        };
        if ticket.hostname.as_ref().is_some_and(|named| named != hostname) {
            return Ok(EnrollOutcome::Refused(TicketRefusal::OtherMachine, Some(ticket.box_id)));
        }
        let found = tx.node_called(ticket.box_id, hostname).await?;
        if found != *known {
            return Ok(EnrollOutcome::OtherNode(found));
        }
        // A machine that only calls itself as a node does not end that node's certificates.
        if let (Some(node_id), None) = (found, &ticket.hostname)
            && tx.node_lives(node_id, *now).await?
        {
            return Ok(EnrollOutcome::Lives(ticket.box_id));
        }
        if !tx.has_room(ticket.box_id, issued.node_id).await? {
            return Ok(EnrollOutcome::NoRoom);
        }
        let new_node = known.is_none().then_some(hostname.as_str());
        tx.bind_ticket(ticket_hash, ticket.box_id, issued, CertificateKind::Box, new_node, *now).await?;
        let update =
            sqlx::query("UPDATE boxes SET enrolled_at = COALESCE(enrolled_at, $1), heard_at = $1 WHERE box_id = $2")
                .bind(now.unix())
                .bind(ticket.box_id.to_string());
        tx.write("boxes", 1, update).await?;
        tx.audit(Entry {
            time: *now,
            actor: format!("node:{}", issued.node_id),
            action: "box.enroll",
            box_id: Some(ticket.box_id),
            detail: format!(
                "host {hostname}{}, certificate {}",
                if known.is_some() { ", installed anew" } else { "" },
                issued.serial
            ),
        })
        .await?;
        Ok(EnrollOutcome::Enrolled {
            box_id: ticket.box_id,
            box_name: ticket.box_name,
            node_id: issued.node_id,
            der: issued.der.clone(),
        })
    }
}
