//! Deliveries for the tests of this module.

use penstock_engine::seam::{ArenaBuilder, CallId, Delivery, NewRecord, Ticket, Tp};

/// A record on its way to a processor, in a call of its own.
pub(super) fn delivery(new: NewRecord<'_>, headers: &[(&[u8], Option<&[u8]>)]) -> Delivery {
    let mut arena = ArenaBuilder::default();
    arena.push(new).unwrap();
    for (name, value) in headers {
        arena.header(name, *value).unwrap();
    }
    let ticket = Ticket { call: CallId { slot: 0, serial: 0 }, item: 0 };
    let record = arena.finish().record(0).unwrap();
    Delivery { ticket, tp: Tp(0), attempt: 2, owner: 7, record }
}

/// So many of them, with the keys `k0`, `k1`, ….
pub(super) fn deliveries(count: usize) -> Vec<Delivery> {
    let key = |number: usize| format!("k{number}");
    (0..count)
        .map(|number| delivery(NewRecord { key: Some(key(number).as_bytes()), ..NewRecord::default() }, &[]))
        .collect()
}
