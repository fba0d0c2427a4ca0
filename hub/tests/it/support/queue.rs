//! What a box and an operator send about orders.

use reqwest::{Method, Response, StatusCode};
use tenwords_hub::clock::Clock as _;
use tenwords_protocol::{
    bounded::Text,
    bytes::Base64,
    hash::Sha256,
    id::BoxId,
    orders::{
        Answer, AnswerList, AnswerRequest, AnswerStored, AskRequest, Asked, OrderList, OutcomeKind, OutcomeRequest,
        WaitingOrder,
    },
    v1::V1,
};

use super::{Machine, Operator, TestHub, expect};

/// An order of these bytes that waits so many seconds.
pub(crate) fn order(hub: &TestHub, text: &[u8], seconds: i64) -> AskRequest {
    let expires_at = tenwords_protocol::time::Timestamp::from_unix(hub.clock.now().unix() + seconds).unwrap();
    AskRequest { v: V1, order: Base64(text.to_vec()), expires_at }
}

impl Machine {
    pub(crate) async fn try_ask(&self, request: &AskRequest) -> Response {
        self.client.post(self.url(&self.of_box("/orders"))).json(request).send().await.unwrap()
    }

    /// Asks for an hour.
    pub(crate) async fn ask(&self, hub: &TestHub, text: &[u8]) -> Sha256 {
        let asked: Asked = expect(self.try_ask(&order(hub, text, 3600)).await, StatusCode::CREATED).await;
        assert_eq!(asked.order, Sha256::of(text));
        asked.order
    }

    pub(crate) async fn answers(&self, after: u64, wait: u64) -> Vec<Answer> {
        let response = self.get(&self.of_box(&format!("/answers?after={after}&wait={wait}"))).await;
        expect::<AnswerList>(response, StatusCode::OK).await.answers.to_vec()
    }

    pub(crate) async fn try_tell(&self, order: Sha256, outcome: OutcomeKind, said: &str) -> Response {
        let request = OutcomeRequest { v: V1, outcome, said: Text::cut(said) };
        let url = self.url(&self.of_box(&format!("/orders/{order}/outcome")));
        self.client.post(url).json(&request).send().await.unwrap()
    }

    pub(crate) async fn tell(&self, order: Sha256, outcome: OutcomeKind, said: &str) {
        assert_eq!(self.try_tell(order, outcome, said).await.status(), StatusCode::NO_CONTENT);
    }
}

impl Operator {
    pub(crate) async fn try_answer(&self, box_id: BoxId, order: Sha256, signature: &str) -> Response {
        let request = AnswerRequest { v: V1, signature: Text::cut(signature) };
        self.send(Method::POST, &format!("/v1/boxes/{box_id}/orders/{order}/answers"), Some(&request)).await
    }

    pub(crate) async fn answer(&self, box_id: BoxId, order: Sha256, signature: &str) -> u64 {
        let response = self.try_answer(box_id, order, signature).await;
        expect::<AnswerStored>(response, StatusCode::CREATED).await.number.get()
    }

    pub(crate) async fn order(&self, box_id: BoxId, order: Sha256) -> WaitingOrder {
        let path = format!("/v1/boxes/{box_id}/orders/{order}");
        expect(self.send(Method::GET, &path, None::<&()>).await, StatusCode::OK).await
    }

    /// `""` for those that wait, `"?all=true"` for all.
    pub(crate) async fn orders(&self, query: &str) -> OrderList {
        expect(self.send(Method::GET, &format!("/v1/orders{query}"), None::<&()>).await, StatusCode::OK).await
    }

    /// Those that wait.
    pub(crate) async fn waiting(&self) -> Vec<Sha256> {
        self.orders("").await.orders.iter().map(|order| order.order).collect()
    }
}
