//! Rounds whose workers have a handler that is compiled in and answers at once (`chaos-asks`).

use super::{Fault, Outage, Plan};
use crate::behaviour::Mix;

/// While one record is slow, its worker does nothing else: so much rarer they are.
const SLOW_RARER: u64 = 10;

impl Plan {
    /// The same round, as far as such a handler can have it. Nobody hangs up on it, so it must not hang. It takes a connection that breaks for a
    /// failure of its record, so none may break for another reason, and the processor does not crash. And what is answered at once puts nothing out.
    pub(super) fn of_answers_at_once(mut self) -> Self {
        self.mix = Mix { hangs: 0, crashes: 0, slow: self.mix.slow / SLOW_RARER, ..self.mix };
        self.output = false;
        for timed in &mut self.faults {
            if let Fault::Outage { how: how @ Outage::Refuses, .. } = &mut timed.fault {
                *how = Outage::Busy;
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use crate::plan::{Asked, Plan};

    #[test]
    fn a_quick_round_is_the_same_but_for_what_such_a_handler_cannot_have() {
        for seed in 0..50 {
            let asked = |quick| Plan::asked(Asked { seed, brokers: 1, theme: None, extent: None, quick });
            let (usual, quick) = (asked(false), asked(true));
            assert_eq!((usual.theme, usual.faults.len()), (quick.theme, quick.faults.len()));
            assert!(quick.records < 150_000, "each is a request");
            assert!(quick.mix.hangs + quick.mix.crashes == 0 && quick.batches.is_none() && !quick.output);
        }
    }
}
