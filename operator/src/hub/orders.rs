//! Orders and pins statements at the hub. It carries them and vouches for nothing in them.

use reqwest::Method;
use tenwords_protocol::{
    hash::Sha256,
    id::BoxId,
    orders::{AnswerRequest, AnswerStored, OrderList, PinsList, PinsRequest},
};

use super::{Hub, Refused};

impl Hub {
    /// Those that wait, or all of them.
    pub(crate) async fn orders(&self, all: bool) -> Result<OrderList, Refused> {
        let query = if all { "?all=true" } else { "" };
        self.ask(Method::GET, &format!("/v1/orders{query}"), None::<&()>).await
    }

    /// Leaves a signature for the box.
    pub(crate) async fn answer(
        &self,
        id: BoxId,
        order: Sha256,
        request: &AnswerRequest,
    ) -> Result<AnswerStored, Refused> {
        self.ask(Method::POST, &format!("/v1/boxes/{id}/orders/{order}/answers"), Some(request)).await
    }

    /// Every pins statement that the hub carries.
    pub(crate) async fn pins(&self) -> Result<PinsList, Refused> {
        self.ask(Method::GET, "/v1/pins", None::<&()>).await
    }

    /// Has a pins statement carried no more.
    pub(crate) async fn end_pins(&self, sha256: Sha256) -> Result<(), Refused> {
        self.send(Method::DELETE, &format!("/v1/pins/{sha256}"), None::<&()>).await?;
        Ok(())
    }

    /// Leaves a pins statement for every box.
    pub(crate) async fn add_pins(&self, request: &PinsRequest) -> Result<(), Refused> {
        self.send(Method::POST, "/v1/pins", Some(request)).await?;
        Ok(())
    }
}
