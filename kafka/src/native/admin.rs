//! Admin calls: each is sent with a number, and its answer is the event with that number.

pub(crate) mod configs;
pub(crate) mod groups;
pub(crate) mod offsets;
pub(crate) mod options;
pub(crate) mod topics;

use std::time::Duration;

use super::client::Client;
use super::queue::Queue;

/// Where a call goes, how long it may take, and which number its answer shall carry.
pub(crate) struct Call<'a> {
    pub(crate) client: &'a Client,
    pub(crate) replies: &'a Queue,
    pub(crate) timeout: Duration,
    pub(crate) number: u64,
}
