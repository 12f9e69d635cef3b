//! The demo's records: a flight as its topic has it, and the delay that is made of it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// A departure from New York in 2013. Times are local, as `hhmm`; delays and time in the air are minutes, distance is miles.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Flight<'a> {
    /// Line of the data set, from 0: it tells flights apart and orders them.
    pub id: u32,
    /// The aircraft; absent where the data set has none.
    #[serde(borrow)]
    pub tailnum: Option<Cow<'a, str>>,
    /// Two letters of the airline.
    #[serde(borrow)]
    pub carrier: Cow<'a, str>,
    /// Number of the flight.
    pub flight: u32,
    /// Airport of departure.
    #[serde(borrow)]
    pub origin: Cow<'a, str>,
    /// Airport of arrival.
    #[serde(borrow)]
    pub dest: Cow<'a, str>,
    /// Hour of departure as scheduled, RFC 3339.
    #[serde(borrow)]
    pub time_hour: Cow<'a, str>,
    /// When it left; absent if it was cancelled.
    pub dep_time: Option<u32>,
    /// When it should have left.
    pub sched_dep_time: u32,
    /// How late it left; negative is early.
    pub dep_delay: Option<i32>,
    /// When it arrived; absent if it was cancelled or diverted.
    pub arr_time: Option<u32>,
    /// When it should have arrived.
    pub sched_arr_time: u32,
    /// How late it arrived; negative is early, absent if it was cancelled or diverted.
    pub arr_delay: Option<i32>,
    /// How long it flew.
    pub air_time: Option<u32>,
    /// How far.
    pub distance: u32,
}

/// How late a flight arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delay<'a> {
    /// The flight's id.
    pub id: u32,
    /// The aircraft, if known.
    #[serde(borrow)]
    pub tailnum: Option<Cow<'a, str>>,
    /// Airline and number, such as `UA1545`.
    pub flight: String,
    /// From where to where, such as `EWR-IAH`.
    pub route: String,
    /// Minutes late at arrival; negative is early.
    pub arr_delay: i32,
}

impl<'a> Delay<'a> {
    /// The delay of a flight that arrived.
    pub fn of(flight: &Flight<'a>) -> Option<Self> {
        Some(Self {
            id: flight.id,
            tailnum: flight.tailnum.clone(),
            flight: format!("{}{}", flight.carrier, flight.flight),
            route: format!("{}-{}", flight.origin, flight.dest),
            arr_delay: flight.arr_delay?,
        })
    }
}
