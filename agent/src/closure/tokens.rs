//! Whether the lost box's token of a source is dead, by what its server says.
//!
//! Two things prove it. The server refuses the lost secret itself: that can be asked as long as this box
//! still has it, which is until somebody puts another one in its place. Or the server takes *another*
//! secret for the same user or token: PBS keeps one secret for each, so the former is refused. A token of
//! another name proves nothing of the lost one, and no secret is kept here to ask with; then it is for
//! somebody to remove the lost one on the server and to say so.

use pbs_driver::{Certificate, Client, DriverError, Failure, failure::Refusal, status};

use super::{kept::LostToken, line::Found};
use crate::{
    recover::plan::chain,
    sources::{BoxSource, Place},
};

/// Looks at the source as this box has it now.
pub(super) fn look(client: &Client, lost: &LostToken, source: Option<&BoxSource>) -> Found {
    let server = format!("{}:{}", lost.server, lost.port);
    let unknown = |why: String| Found::Unknown(format!("to be taken as ALIVE: {why}"));
    let Some((source, place)) = source.and_then(|source| Some((source, source.place.as_ref()?))) else {
        return unknown(format!("this box has no source {} to ask {server} with", lost.source));
    };
    if !is_at(place, lost) {
        return unknown(format!("source {} is another server here, and {server} was not asked", lost.source));
    }
    let (secret, access) = match (source.secret(), source.access()) {
        (Ok(secret), Ok(access)) => (secret, access),
        (Err(stop), _) | (_, Err(stop)) => return unknown(stop.in_one_line()),
    };
    if place.repository.auth_id().to_string() != lost.auth_id {
        return unknown(format!(
            "this box uses another token now, and whether {server} still takes {} cannot be seen from \
                                here",
            lost.auth_id
        ));
    }
    let answer = status::probe(client, &access);
    match (lost.is(&secret), answer) {
        (true, Ok(_)) => {
            Found::Not(format!("ALIVE: {server} takes the secret that the lost box has for {}", lost.auth_id))
        }
        (true, Err(error)) if is_refusal(&error) => {
            Found::Proven(format!("{server} refuses the lost box's secret for {}: {}", lost.auth_id, chain(&error)))
        }
        (false, Ok(_)) => Found::Proven(format!(
            "{server} takes another secret for {}, and keeps one for each, so that the lost box's is refused",
            lost.auth_id
        )),
        (true, Err(error)) => unknown(chain(&error)),
        (false, Err(error)) => unknown(format!("the secret that this box has now is of no use: {}", chain(&error))),
    }
}

/// Whether it is the server that the lost box knew, by the same certificate.
fn is_at(place: &Place, lost: &LostToken) -> bool {
    let certificate = match place.certificate {
        Certificate::Pinned(fingerprint) => fingerprint.to_string(),
        Certificate::WebPki => "web-pki".to_owned(),
    };
    place.repository.host().name() == lost.server
        && place.repository.port() == lost.port
        && certificate == lost.certificate
}

/// Whether the server has said that it does not know who that is. (That a right is missing, or that there is
/// no such datastore, it says only to whom it knows.)
fn is_refusal(error: &DriverError) -> bool {
    let who = |why: &Refusal| matches!(why, Refusal::Disabled | Refusal::Unstated | Refusal::WrongSecret);
    matches!(error.failure(), Some(Failure::NotAuthorised { why }) if who(why))
}
