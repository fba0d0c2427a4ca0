//! Who is asking. Each handler names one of these as an argument; one without looks naked.
//!
//! A certificate's word is its serial number: what it may do, whether it was revoked and when it
//! ends are asked of the store at each request, so a revocation holds on connections that are open.

use std::{ops::Deref, sync::Arc, time::Duration};

use axum::extract::{ConnectInfo, FromRequestParts, RawPathParams};
use http::{header, request::Parts};
use tenwords_protocol::{
    hash::Sha256,
    id::{BoxId, NodeId},
    problem::ProblemCode,
    renew::GRACE,
};

use crate::{
    app::App,
    authority::serial_of,
    keyed::{Token, same},
    meter::Source,
    refusal::{Refusal, chain},
    store::{Certificate, CertificateKind, Entry, FORBIDDEN, REVOKED_USED, Revoked, TRESPASSED, TakeOver},
    tls::Peer,
};

/// A node's programs have all its newer certificate by then: a waiting call goes on for the better part of an hour.
const CHANGING: Duration = Duration::from_secs(2 * 60 * 60);

/// A machine with a certificate that holds: the box's, or one that may only read.
#[derive(Debug)]
pub(crate) struct BoxCaller {
    pub(crate) box_id: BoxId,
    pub(crate) node_id: NodeId,
    pub(crate) kind: CertificateKind,
    pub(crate) serial: String,
    pub(crate) spki_sha256: Sha256,
    /// The certificate (DER).
    pub(crate) der: Vec<u8>,
}

/// A node of the box that the path names, whose certificate may have ended, though not too long ago: all that it
/// may do is to ask for the next one.
#[derive(Debug)]
pub(crate) struct Renewer(BoxCaller);

/// A caller who may read the box that the path names.
#[derive(Debug)]
pub(crate) struct Reader(BoxCaller);

/// A caller who speaks for the box that the path names.
#[derive(Debug)]
pub(crate) struct Writer(BoxCaller);

/// An operator, by his token.
#[derive(Debug)]
pub(crate) struct OperatorCaller {
    pub(crate) name: String,
}

/// Somebody without a certificate who has a ticket, or guesses. An attempt is counted against his
/// address when this is made, and forgiven when the ticket was good.
#[derive(Debug)]
pub(crate) struct TicketCaller {
    pub(crate) address: std::net::IpAddr,
}

// === impl BoxCaller ===

impl BoxCaller {
    pub(crate) fn actor(&self) -> String {
        format!("node:{}", self.node_id)
    }

    /// Asks once more, for a request that takes long.
    pub(crate) async fn still_holds(&self, app: &App, path: &str) -> Result<(), Refusal> {
        match app.store.certificate(&self.serial).await? {
            Some(found) => self.judge(app, &found, path).await,
            None => Err(Refusal::new(ProblemCode::Unauthenticated)),
        }
    }

    /// Refuses a certificate that holds no more, with a row in the audit.
    async fn judge(&self, app: &App, found: &Certificate, path: &str) -> Result<(), Refusal> {
        self.judge_revoked(app, found, path).await?;
        if found.expires_at <= app.now() {
            return Err(self.refuse(app, ProblemCode::CertificateExpired, path, "expired").await);
        }
        Ok(())
    }

    async fn judge_revoked(&self, app: &App, found: &Certificate, path: &str) -> Result<(), Refusal> {
        let Some((at, because)) = found.revoked else { return Ok(()) };
        let code = match because {
            Revoked::Retired => ProblemCode::BoxRetired,
            _ => ProblemCode::CertificateRevoked,
        };
        // What is at work while its node takes a newer certificate into use, still has the one before.
        let is_lately = at <= app.now() && app.now().since(at) < CHANGING;
        let action = match because {
            Revoked::Superseded if is_lately => FORBIDDEN,
            _ => self.of_box(REVOKED_USED),
        };
        let refusal = self.refuse_for(app, code.clone(), path, action, "revoked").await;
        // Whoever has a stolen box is not told that anybody knows; whoever looks at the former machine is told
        // why it is not the box.
        let why = match because {
            Revoked::Otherwise => return Err(refusal),
            Revoked::Recovered => format!("this box lives on another machine now, since {at}"),
            Revoked::Removed => format!("the operator has taken this node out of its box, at {at}"),
            Revoked::Retired => format!("the operator has retired this box, at {at}"),
            Revoked::Superseded => format!(
                "this node uses a newer certificate, since {at}: this is an old copy of its disk, or the node was \
                 enrolled anew"
            ),
        };
        Err(Refusal::saying(code, why))
    }

    /// The first use shows that the node has it: what it was given before ends. Reading goes on even when this
    /// cannot be written, and the next request tries again.
    async fn take_over(&self, app: &App, found: &Certificate) {
        if found.used_at.is_some() || self.kind != CertificateKind::Box {
            return;
        }
        if let Err(error) = app.store.perform(TakeOver { serial: self.serial.clone(), now: app.now() }).await {
            tracing::warn!(cause = chain(&error), "it could not be written that a certificate is in use");
        }
    }

    async fn identify(parts: &mut Parts, app: &Arc<App>) -> Result<(Self, Certificate), Refusal> {
        let ConnectInfo(peer) = peer(parts, app).await?;
        let unknown = || Refusal::saying(ProblemCode::Unauthenticated, "this needs a node's certificate");
        let Some(der) = peer.certificate else { return Err(unknown()) };
        let serial = serial_of(&der).map_err(|_| unknown())?;
        let Some(found) = app.store.certificate(&serial).await?.filter(|found| found.der == *der) else {
            return Err(unknown());
        };
        let caller = Self {
            box_id: found.box_id,
            node_id: found.node_id,
            kind: found.kind,
            serial,
            spki_sha256: found.spki_sha256,
            der: found.der.clone(),
        };
        Ok((caller, found))
    }

    /// Refuses a path that names another box.
    async fn of_path(&self, parts: &mut Parts, app: &Arc<App>) -> Result<(), Refusal> {
        let params = RawPathParams::from_request_parts(parts, app).await;
        let params = params.map_err(|_| Refusal::new(ProblemCode::NotFound))?;
        let named = params.iter().find(|(name, _)| *name == "box_id").and_then(|(_, id)| id.parse::<BoxId>().ok());
        if named == Some(self.box_id) {
            return Ok(());
        }
        let path = described(parts);
        app.counters.foreign.add();
        let action = self.of_box(TRESPASSED);
        Err(self.refuse_for(app, ProblemCode::Forbidden, &path, action, "another box's").await)
    }

    /// What is said of the box itself is said by its own certificates: who has a recovery ticket and no words is not it.
    fn of_box(&self, action: &'static str) -> &'static str {
        match self.kind {
            CertificateKind::Box => action,
            CertificateKind::Recovery => FORBIDDEN,
        }
    }

    async fn refuse(&self, app: &App, code: ProblemCode, path: &str, why: &str) -> Refusal {
        self.refuse_for(app, code, path, FORBIDDEN, why).await
    }

    async fn refuse_for(&self, app: &App, code: ProblemCode, path: &str, action: &'static str, why: &str) -> Refusal {
        app.counters.forbidden.add();
        let entry = Entry {
            time: app.now(),
            actor: self.actor(),
            action,
            box_id: Some(self.box_id),
            detail: format!("{path}: {why}, certificate {}", self.serial),
        };
        app.note(&self.serial, entry).await;
        Refusal::new(code)
    }
}

impl FromRequestParts<Arc<App>> for BoxCaller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let (caller, found) = Self::identify(parts, app).await?;
        let now = app.now();
        caller.judge(app, &found, &described(parts)).await?;
        caller.take_over(app, &found).await;
        if caller.kind == CertificateKind::Box {
            app.heard(caller.box_id, caller.node_id, now).await;
        }
        Ok(caller)
    }
}

// === impl Renewer ===

impl FromRequestParts<Arc<App>> for Renewer {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let (caller, found) = BoxCaller::identify(parts, app).await?;
        let (path, now) = (described(parts), app.now());
        caller.judge_revoked(app, &found, &path).await?;
        if found.expires_at.plus(GRACE) <= now {
            caller.refuse(app, ProblemCode::CertificateExpired, &path, "expired too long ago").await;
            let why = "it ended more than 180 days ago: a new enrolment ticket is needed (`tenwords box ticket`)";
            return Err(Refusal::saying(ProblemCode::CertificateExpired, why));
        }
        caller.of_path(parts, app).await?;
        if caller.kind != CertificateKind::Box {
            let why = "a recovery certificate may only read";
            return Err(caller.refuse(app, ProblemCode::Forbidden, &path, why).await);
        }
        caller.take_over(app, &found).await;
        app.heard(caller.box_id, caller.node_id, now).await;
        Ok(Self(caller))
    }
}

impl Deref for Renewer {
    type Target = BoxCaller;

    fn deref(&self) -> &BoxCaller {
        &self.0
    }
}

// === impl Reader ===

impl FromRequestParts<Arc<App>> for Reader {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let caller = BoxCaller::from_request_parts(parts, app).await?;
        caller.of_path(parts, app).await?;
        Ok(Self(caller))
    }
}

impl Deref for Reader {
    type Target = BoxCaller;

    fn deref(&self) -> &BoxCaller {
        &self.0
    }
}

// === impl Writer ===

impl FromRequestParts<Arc<App>> for Writer {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let Reader(caller) = Reader::from_request_parts(parts, app).await?;
        match caller.kind {
            CertificateKind::Box => Ok(Self(caller)),
            CertificateKind::Recovery => {
                let path = described(parts);
                Err(caller.refuse(app, ProblemCode::Forbidden, &path, "a recovery certificate may only read").await)
            }
        }
    }
}

impl Deref for Writer {
    type Target = BoxCaller;

    fn deref(&self) -> &BoxCaller {
        &self.0
    }
}

// === impl OperatorCaller ===

impl OperatorCaller {
    pub(crate) fn actor(&self) -> String {
        format!("operator:{}", self.name)
    }
}

impl FromRequestParts<Arc<App>> for OperatorCaller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let refused = || Refusal::saying(ProblemCode::Unauthenticated, "this needs an operator's token");
        let value = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = value.and_then(|value| value.strip_prefix("Bearer ")).and_then(Token::parse);
        let hash = app.home.secret().of_token(&token.ok_or_else(refused)?);
        let operators = app.store.operators().await?;
        let found = operators.into_iter().find(|operator| same(&operator.token_hash, &hash));
        match found {
            Some(operator) => Ok(Self { name: operator.name }),
            None => {
                let ConnectInfo(peer) = peer(parts, app).await?;
                let address = peer.address.ip().to_canonical();
                let entry = Entry {
                    time: app.now(),
                    actor: "anonymous".to_owned(),
                    action: "token.refused",
                    box_id: None,
                    detail: format!("{} from {address}", described(parts)),
                };
                app.note(&format!("token {address}"), entry).await;
                Err(refused())
            }
        }
    }
}

// === impl TicketCaller ===

impl TicketCaller {
    /// The ticket was good.
    pub(crate) fn forgive(&self, app: &App) {
        app.attempts.give_back(&Source::from(self.address));
    }
}

impl FromRequestParts<Arc<App>> for TicketCaller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let ConnectInfo(peer) = peer(parts, app).await?;
        let address = peer.address.ip().to_canonical();
        match app.attempts.take(&Source::from(address), app.now()) {
            Ok(()) => Ok(Self { address }),
            Err(after) => {
                Err(Refusal::later(ProblemCode::RateLimited, "too many tickets were tried from this address", after))
            }
        }
    }
}

async fn peer(parts: &mut Parts, app: &Arc<App>) -> Result<ConnectInfo<Peer>, Refusal> {
    ConnectInfo::from_request_parts(parts, app).await.map_err(|_| Refusal::new(ProblemCode::Internal))
}

/// Method and path, cut to what a log line takes. Paths carry ids, numbers and names of parts.
fn described(parts: &Parts) -> String {
    let path: String = parts.uri.path().chars().filter(char::is_ascii_graphic).take(160).collect();
    format!("{} {path}", parts.method)
}
