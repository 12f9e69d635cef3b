//! Faults that take their time: each on a thread beside everything else.

use std::time::Duration;

use super::conductor::HEARD;
use crate::cluster::{BROKER_UP, Cluster};
use crate::error::Result;
use crate::history::{Disturbance, Micros, micros};
use crate::plan::{BrokerFault, SESSION_TIMEOUT};
use crate::processor::now;

/// What a broker's absence leads to is over so long after its return: sessions, rejoining, retried requests.
const AFTERMATH: Duration = Duration::from_secs(15);

/// What such a fault excuses.
#[derive(Debug, Default)]
pub(super) struct Aside {
    pub(super) disturbance: Option<Disturbance>,
    pub(super) letters_refused: Option<(Micros, Micros)>,
}

/// A broker goes away and returns.
pub(super) fn broker_away(cluster: &Cluster, id: u8, how: BrokerFault, lasting: Duration) -> Result<Aside> {
    let from = now();
    let broker = cluster.lab.broker(id);
    match how {
        BrokerFault::Stop => broker.stop()?,
        BrokerFault::Kill => broker.kill()?,
        BrokerFault::Pause => broker.pause()?,
    }
    std::thread::sleep(lasting);
    match how {
        BrokerFault::Stop | BrokerFault::Kill => broker.start(BROKER_UP)?,
        BrokerFault::Pause => {
            broker.resume()?;
            broker.await_ready(BROKER_UP)?;
        }
    }
    let until = now() + micros(AFTERMATH + SESSION_TIMEOUT);
    let disturbance = Disturbance { worker: None, from, until, what: format!("broker {id}: {how:?}") };
    Ok(Aside { disturbance: Some(disturbance), ..Aside::default() })
}

/// Leaders move, and that excuses nothing.
pub(super) fn leaders_moved(cluster: &Cluster, topics: &[(&str, i32)], turn: u8) -> Result<Aside> {
    cluster.move_leaders(topics, turn).map(|()| Aside::default())
}

/// Workers may not write to the dead-letter topic.
pub(super) fn letters_forbidden(cluster: &Cluster, letters: &str, lasting: Duration) -> Result<Aside> {
    let from = now();
    cluster.forbid_writing(letters)?;
    std::thread::sleep(lasting);
    cluster.allow_writing(letters)?;
    Ok(Aside { letters_refused: Some((from, now() + micros(HEARD))), ..Aside::default() })
}
