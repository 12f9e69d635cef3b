//! Calls in progress: a slot each, and a list of them by deadline.

use crate::chain::{Chain, Linked, Links};
use crate::lanes::LaneId;
use crate::seam::{CallId, Ticket, Tp};
use crate::time::Instant;

/// What a call or a forward holds of a record. It outlives the assignment that it began under.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    pub(crate) tp: Tp,
    /// The entry, meaningful while not `stale`.
    pub(crate) seq: u64,
    /// Its lane, or the lane that a stale claim holds shut.
    pub(crate) lane: LaneId,
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    /// Which log of the partition: another topic id, or the same log cut short, is another one.
    pub(crate) log: u32,
    /// The assignment it began under is over.
    pub(crate) stale: bool,
    /// The record came back from the dead letters with a number. Which one is due is known to the present assignment alone.
    pub(crate) numbered: bool,
}

/// By which right a call was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// First try of this owner.
    Fresh,
    /// A retry.
    Again,
    /// A suspect among others: one at a time.
    Suspect,
    /// A suspect with nothing else in flight.
    Solo,
}

/// Why the engine cancelled a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CancelCause {
    /// `delivery.timeout`: a verdict on the record.
    Timeout,
    /// The partition goes away, or the worker slept through the call: no verdict.
    GivingUp,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Flight {
    pub(crate) claim: Claim,
    pub(crate) kind: Kind,
}

/// One record's call has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) flight: Flight,
    pub(crate) cancelled: Option<CancelCause>,
    /// Whether the call held this record alone.
    pub(crate) single: bool,
    /// Whether it is the call's first record, which took the slot.
    pub(crate) first: bool,
    /// Whether the call has ended with it.
    pub(crate) last: bool,
}

#[derive(Debug)]
pub(crate) struct Calls {
    slots: Vec<Call>,
    free: Vec<u32>,
    /// Those that were not cancelled, oldest first: with one timeout for all, that is the order of deadlines.
    running: Chain,
    in_use: u32,
    records: u32,
}

#[derive(Debug)]
struct Call {
    serial: u32,
    started: Instant,
    deadline: Instant,
    links: Links,
    /// Tickets not finished; 0 for a free slot.
    open: u32,
    cancelled: Option<CancelCause>,
    /// The worker slept meanwhile.
    slept: bool,
    first: Option<Flight>,
    rest: Vec<Option<Flight>>,
}

impl Calls {
    pub(crate) fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), running: Chain::default(), in_use: 0, records: 0 }
    }

    /// Calls in progress.
    pub(crate) fn len(&self) -> u32 {
        self.in_use
    }

    /// Forgets to give a slot back: only a deliberately wrong engine does.
    pub(crate) fn leak(&mut self) {
        self.in_use += 1;
    }

    /// Opens a call with its first record.
    pub(crate) fn start(&mut self, flight: Flight, now: Instant, deadline: Instant) -> Ticket {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Call::free());
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX) // at most `concurrency`, a u32
        });
        let call = &mut self.slots[slot as usize];
        call.serial = call.serial.wrapping_add(1);
        (call.started, call.deadline, call.cancelled, call.slept) = (now, deadline, None, false);
        (call.open, call.first) = (1, Some(flight));
        let serial = call.serial;
        self.running.push(&mut self.slots, slot);
        self.in_use += 1;
        self.records += 1;
        Ticket { call: CallId { slot, serial }, item: 0 }
    }

    /// Adds a record to a call that was just opened.
    pub(crate) fn add(&mut self, id: CallId, flight: Flight) -> Ticket {
        let call = &mut self.slots[id.slot as usize];
        call.rest.push(Some(flight));
        call.open += 1;
        self.records += 1;
        Ticket { call: id, item: u32::try_from(call.rest.len()).unwrap_or(u32::MAX) } // at most `batch.maxRecords`
    }

    /// Records of calls in progress.
    pub(crate) fn records(&self) -> u32 {
        self.records
    }

    /// Ends one record of a call; `None` for a ticket that is not open.
    pub(crate) fn finish(&mut self, ticket: Ticket) -> Option<Ended> {
        let call = self.slots.get_mut(ticket.call.slot as usize)?;
        if call.serial != ticket.call.serial || call.open == 0 {
            return None;
        }
        let flight = match ticket.item {
            0 => call.first.take()?,
            item => call.rest.get_mut(item as usize - 1)?.take()?,
        };
        call.open -= 1;
        let (first, last, single) = (ticket.item == 0, call.open == 0, call.rest.is_empty());
        let ended = Ended { flight, cancelled: call.cancelled, single, first, last };
        self.records -= 1;
        if call.open == 0 {
            call.rest.clear();
            if ended.cancelled.is_none() {
                self.running.remove(&mut self.slots, ticket.call.slot);
            }
            self.free.push(ticket.call.slot);
            self.in_use -= 1;
        }
        Some(ended)
    }

    /// Marks the oldest call as timed out if its deadline has come. One that the worker slept through is given up instead: it may never
    /// have been sent.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<CallId> {
        let oldest = self.running.oldest().filter(|slot| self.slots[*slot as usize].deadline <= now)?;
        let slept = self.slots[oldest as usize].slept;
        Some(self.cancel(oldest, if slept { CancelCause::GivingUp } else { CancelCause::Timeout }))
    }

    /// The worker slept, and none of these calls has had its time.
    pub(crate) fn slept(&mut self) {
        let mut next = self.running.oldest();
        while let Some(slot) = next {
            let call = &mut self.slots[slot as usize];
            call.slept = true;
            next = call.links.newer();
        }
    }

    /// The next deadline.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.running.oldest().map(|slot| self.slots[slot as usize].deadline)
    }

    /// Marks as given up the calls, not cancelled yet, of which some record meets the condition.
    pub(crate) fn give_up(&mut self, condition: impl Fn(&Claim) -> bool) -> Vec<CallId> {
        let mut given_up = Vec::new();
        let mut next = self.running.oldest();
        while let Some(slot) = next {
            let call = &self.slots[slot as usize];
            next = call.links.newer();
            if call.flights().any(|flight| condition(&flight.claim)) {
                given_up.push(self.cancel(slot, CancelCause::GivingUp));
            }
        }
        given_up
    }

    /// Visits every claim, those of cancelled calls too, in the order of slots.
    pub(crate) fn claims_mut(&mut self) -> impl Iterator<Item = &mut Claim> {
        let flights =
            self.slots.iter_mut().flat_map(|call| call.first.iter_mut().chain(call.rest.iter_mut().flatten()));
        flights.map(|flight| &mut flight.claim)
    }

    /// When the oldest call of a partition's present assignment began.
    pub(crate) fn oldest_of(&self, tp: Tp) -> Option<Instant> {
        let of_tp = |call: &&Call| call.flights().any(|flight| flight.claim.tp == tp && !flight.claim.stale);
        self.slots.iter().filter(of_tp).map(|call| call.started).min()
    }

    fn cancel(&mut self, slot: u32, cause: CancelCause) -> CallId {
        self.running.remove(&mut self.slots, slot);
        let call = &mut self.slots[slot as usize];
        call.cancelled = Some(cause);
        CallId { slot, serial: call.serial }
    }
}

impl Linked for Call {
    fn links(&mut self) -> &mut Links {
        &mut self.links
    }
}

impl Call {
    fn free() -> Self {
        Self {
            serial: 0,
            started: Instant::ZERO,
            deadline: Instant::NEVER,
            links: Links::default(),
            open: 0,
            cancelled: None,
            slept: false,
            first: None,
            rest: Vec::new(),
        }
    }

    fn flights(&self) -> impl Iterator<Item = &Flight> {
        self.first.iter().chain(self.rest.iter().flatten())
    }
}
