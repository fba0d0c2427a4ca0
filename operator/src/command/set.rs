//! `tenwords box set NAME --customer X`

use serde::Serialize;
use tenwords_protocol::{bounded::Text, boxes::ChangeBoxRequest, id::BoxId, v1::V1};

use super::{Desk, called};
use crate::{cli::SetBox, failure::Failure, show::clean};

#[derive(Serialize)]
struct Shown<'a> {
    v: V1,
    box_id: BoxId,
    #[serde(skip_serializing_if = "str::is_empty")]
    customer: &'a str,
}

pub(super) async fn run(desk: &Desk, set: &SetBox) -> Result<(), Failure> {
    let map = desk.map()?;
    let id = map.find(&set.which.name)?;
    let customer = customer(&set.customer)?;
    let shown = clean(customer.as_str());
    desk.hub()?.change_box(id, &ChangeBoxRequest { v: V1, customer: Some(customer.clone()) }).await?;
    desk.print_json(&Shown { v: V1, box_id: id, customer: customer.as_str() })?;
    let name = called(&map, id);
    desk.print(&if shown.is_empty() { format!("{name} is nobody's.\n") } else { format!("{name} is {shown}'s.\n") })
}

/// As the hub takes one.
pub(super) fn customer(text: &str) -> Result<Text<100>, Failure> {
    let text = text.trim();
    if text.chars().count() > 100 || text.chars().any(char::is_control) || clean(text) != text {
        let what = format!("{:?} is not a customer's name", clean(text));
        return Err(Failure::usage("customer", what, "one line of at most 100 characters, without hidden ones"));
    }
    Ok(Text::cut(text))
}
