//! One file per endpoint. A route that is not in [`table`] does not exist, and one without a row in
//! the table of authorisation tests turns them red.

mod answers;
mod arm;
mod boxes;
mod calls;
mod certificates;
mod claim;
mod directive;
mod directives;
mod disarm;
mod drill;
mod drill_nonce;
mod enroll;
mod health;
mod inventory;
mod nodes;
mod orders;
mod outcome;
mod parts;
mod pins;
mod prove;
mod push;
mod renew;
mod reports;
mod retirement;
mod tickets;
mod versions;

use std::{any::Any, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{ConnectInfo, Request},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{MethodRouter, delete, get, patch, post, put},
};
use tenwords_protocol::problem::ProblemCode;
use tower_http::catch_panic::CatchPanicLayer;

use crate::{app::App, refusal::Refusal, tls::Peer};

/// A request takes so long, at most, its body included.
const REQUEST_TIME: Duration = Duration::from_secs(60);

/// A route of the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// Which listener.
    pub side: Side,
    /// Its method.
    pub method: &'static str,
    /// Its path.
    pub path: &'static str,
}

/// Which listener a route is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// Mutual TLS.
    Agents,
    /// Operators.
    People,
}

/// All routes, as they are served.
#[must_use]
pub fn table() -> Vec<Route> {
    let mut routes = agents().1;
    routes.extend(people().1);
    routes
}

pub(crate) fn agents() -> (Router<Arc<App>>, Vec<Route>) {
    Routes::on(Side::Agents)
        .add("POST", "/v1/enroll", post(enroll::post))
        .add("POST", "/v1/recovery/claim", post(claim::post))
        .add("POST", "/v1/recovery/prove", post(prove::post))
        .add("POST", "/v1/boxes/{box_id}/versions", post(push::post))
        .add("GET", "/v1/boxes/{box_id}/versions", get(versions::list))
        .add("GET", "/v1/boxes/{box_id}/versions/{number}", get(versions::get))
        .add("GET", "/v1/boxes/{box_id}/versions/{number}/parts/{*name}", get(parts::get))
        .add("POST", "/v1/boxes/{box_id}/versions/{number}/inventory", post(inventory::post))
        .add("GET", "/v1/boxes/{box_id}/inventory", get(inventory::get))
        .add("GET", "/v1/boxes/{box_id}/directive", get(directive::get))
        .add("GET", "/v1/boxes/{box_id}/certificates", get(certificates::get))
        .add("POST", "/v1/boxes/{box_id}/drills/nonce", post(drill_nonce::post))
        .add("POST", "/v1/boxes/{box_id}/drills", post(drill::post))
        .add("POST", "/v1/boxes/{box_id}/orders", post(orders::post))
        .add("GET", "/v1/boxes/{box_id}/answers", get(answers::get))
        .add("POST", "/v1/boxes/{box_id}/orders/{order}/outcome", post(outcome::post))
        .add("GET", "/v1/boxes/{box_id}/pins", get(pins::get))
        .add("POST", "/v1/boxes/{box_id}/certificate", post(renew::post))
        .add("GET", "/v1/boxes/{box_id}/nodes", get(nodes::get))
        .add("PUT", "/v1/boxes/{box_id}/keeper", put(nodes::put_keeper))
        .add("POST", "/v1/boxes/{box_id}/tickets", post(tickets::post_by_node))
        .add("GET", "/v1/boxes/{box_id}/calls", get(calls::get))
        .add("POST", "/v1/boxes/{box_id}/reports", post(reports::post))
        .finish()
}

pub(crate) fn people() -> (Router<Arc<App>>, Vec<Route>) {
    Routes::on(Side::People)
        .add("POST", "/v1/boxes", post(boxes::post))
        .add("GET", "/v1/boxes", get(boxes::get))
        .add("POST", "/v1/boxes/{box_id}/recovery", post(arm::post))
        .add("DELETE", "/v1/boxes/{box_id}/recovery", delete(disarm::delete))
        .add("GET", "/v1/boxes/{box_id}/inventory", get(inventory::get_by_operator))
        .add("GET", "/v1/boxes/{box_id}/directives", get(directives::list))
        .add("POST", "/v1/boxes/{box_id}/directives", post(directives::post))
        .add("GET", "/v1/boxes/{box_id}/directives/{number}", get(directives::get))
        .add("GET", "/v1/orders", get(orders::list))
        .add("GET", "/v1/boxes/{box_id}/orders/{order}", get(orders::get))
        .add("POST", "/v1/boxes/{box_id}/orders/{order}/answers", post(answers::post))
        .add("PATCH", "/v1/boxes/{box_id}", patch(boxes::patch))
        .add("POST", "/v1/boxes/{box_id}/tickets", post(tickets::post))
        .add("POST", "/v1/boxes/{box_id}/calls", post(calls::post))
        .add("DELETE", "/v1/boxes/{box_id}/nodes/{node_id}", delete(nodes::delete))
        .add("POST", "/v1/boxes/{box_id}/retirement", post(retirement::post))
        .add("DELETE", "/v1/boxes/{box_id}/retirement", delete(retirement::delete))
        .add("POST", "/v1/pins", post(pins::post))
        .add("GET", "/v1/pins", get(pins::get_by_operator))
        .add("DELETE", "/v1/pins/{sha256}", delete(pins::delete))
        .finish()
}

/// The loopback's routes: no identity, nothing of any box.
pub(crate) fn health() -> Router<Arc<App>> {
    let router = Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics));
    framed(router)
}

struct Routes {
    side: Side,
    router: Router<Arc<App>>,
    table: Vec<Route>,
}

impl Routes {
    fn on(side: Side) -> Self {
        Self { side, router: Router::new(), table: Vec::new() }
    }

    fn add(mut self, method: &'static str, path: &'static str, handler: MethodRouter<Arc<App>>) -> Self {
        self.table.push(Route { side: self.side, method, path });
        Self { router: self.router.route(path, handler), ..self }
    }

    fn finish(self) -> (Router<Arc<App>>, Vec<Route>) {
        (framed(self.router), self.table)
    }
}

/// What goes for every route: an unknown path or method, a panic and a request that takes too long
/// are problem documents too.
fn framed(router: Router<Arc<App>>) -> Router<Arc<App>> {
    router
        .fallback(async || Refusal::new(ProblemCode::NotFound))
        .method_not_allowed_fallback(async || Refusal::new(ProblemCode::MethodNotAllowed))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(bounded))
}

async fn bounded(request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<Peer>>();
    let _busy = peer.map(|ConnectInfo(peer)| peer.activity.begin());
    match tokio::time::timeout(REQUEST_TIME, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Refusal::saying(ProblemCode::Unavailable, "the request took too long").into_response(),
    }
}

/// What a panic says is not logged: it may carry anything.
fn panicked(_: Box<dyn Any + Send + 'static>) -> http::Response<axum::body::Body> {
    tracing::error!("a handler panicked");
    Refusal::new(ProblemCode::Internal).into_response()
}
