//! The hub's calls: what an operator asks this box to do now.

use std::time::Duration;

use reqwest::Method;
use tenwords_protocol::{
    calls::{CallReply, LONGEST_CALL_WAIT},
    id::BoxId,
};

use super::{Hub, HubError, REPLY_LIMIT, read};

impl Hub {
    /// The call after the one with number `after`. If there is none, the hub waits so long for one (at most
    /// [`LONGEST_CALL_WAIT`]) and may then still have none.
    pub(crate) fn call_after(&self, box_id: BoxId, after: u64, wait: Duration) -> Result<CallReply, HubError> {
        let wait = wait.as_secs().min(LONGEST_CALL_WAIT);
        let path = format!("/v1/boxes/{box_id}/calls?after={after}&wait={wait}");
        read(&self.call(Method::GET, &path, None, REPLY_LIMIT)?)
    }
}
