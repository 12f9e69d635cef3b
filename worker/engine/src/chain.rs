//! A list through the slots of a table, oldest first. Whoever knows a slot takes it out without a search.

/// No slot: an end of the list.
const NONE: u32 = u32::MAX;

#[derive(Debug)]
pub(crate) struct Chain {
    oldest: u32,
    newest: u32,
}

/// The neighbours of a slot that is in a chain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Links {
    older: u32,
    newer: u32,
}

/// What may be in a chain, one at a time.
pub(crate) trait Linked {
    fn links(&mut self) -> &mut Links;
}

impl Default for Chain {
    fn default() -> Self {
        Self { oldest: NONE, newest: NONE }
    }
}

impl Default for Links {
    fn default() -> Self {
        Self { older: NONE, newer: NONE }
    }
}

impl Links {
    /// The slot that was put in after this one.
    pub(crate) fn newer(self) -> Option<u32> {
        (self.newer != NONE).then_some(self.newer)
    }
}

impl Chain {
    /// The slot that was put in before all others.
    pub(crate) fn oldest(&self) -> Option<u32> {
        (self.oldest != NONE).then_some(self.oldest)
    }

    /// Puts a slot in that is not in.
    pub(crate) fn push<T: Linked>(&mut self, slots: &mut [T], slot: u32) {
        let older = core::mem::replace(&mut self.newest, slot);
        match older {
            NONE => self.oldest = slot,
            older => slots[older as usize].links().newer = slot,
        }
        *slots[slot as usize].links() = Links { older, newer: NONE };
    }

    /// Takes a slot out that is in.
    pub(crate) fn remove<T: Linked>(&mut self, slots: &mut [T], slot: u32) {
        let Links { older, newer } = *slots[slot as usize].links();
        match older {
            NONE => self.oldest = newer,
            older => slots[older as usize].links().newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            newer => slots[newer as usize].links().older = older,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Linked for Links {
        fn links(&mut self) -> &mut Links {
            self
        }
    }

    fn listed(chain: &Chain, slots: &[Links]) -> Vec<u32> {
        core::iter::successors(chain.oldest(), |slot| slots[*slot as usize].newer()).collect()
    }

    #[test]
    fn slots_stand_in_the_order_in_which_they_came_and_leave_from_anywhere() {
        let (mut chain, mut slots) = (Chain::default(), [Links::default(); 4]);
        for slot in [2, 0, 3, 1] {
            chain.push(&mut slots, slot);
        }
        assert_eq!(listed(&chain, &slots), [2, 0, 3, 1]);
        for (slot, left) in [(0, &[2, 3, 1][..]), (1, &[2, 3]), (2, &[3]), (3, &[])] {
            chain.remove(&mut slots, slot);
            assert_eq!(listed(&chain, &slots), left);
        }
        chain.push(&mut slots, 1);
        assert_eq!(listed(&chain, &slots), [1]);
    }
}
