//! One partition of the small world: its log, its owner's counters, what it shows.

use penstock_scaling::{Checkpoint, PartitionSample, StuckRecord, Timestamp};

#[derive(Clone, Default)]
pub(super) struct Partition {
    pub(super) end: f64,
    /// Where consumers of committed records may read to.
    pub(super) stable: f64,
    pub(super) position: f64,
    pub(super) committed: f64,
    pub(super) pod: Option<u64>,
    pub(super) owner: u64,
    pub(super) processed: f64,
    pub(super) busy: f64,
    pub(super) lane_blocked: f64,
    pub(super) in_flight: f64,
    pub(super) attempts: u32,
    pub(super) checkpoint: Option<Checkpoint>,
    pub(super) paused_until: u64,
}

impl Partition {
    pub(super) fn check(&mut self, worker_millis: u64, limit: Option<u32>, poisoned: bool, held: bool) {
        let stuck = poisoned.then(|| StuckRecord {
            offset: i64::try_from(whole(self.position)).unwrap(),
            attempts: self.attempts,
            error_class: "http-500".to_owned(),
        });
        self.checkpoint = Some(Checkpoint {
            owner: self.owner,
            incarnation: self.pod.unwrap_or(0),
            worker_time: Timestamp::from_millis(worker_millis),
            done_above: 0,
            processed: whole(self.processed),
            busy_seconds: self.busy,
            lane_blocked_seconds: self.lane_blocked,
            in_flight: u32::try_from(whole(self.in_flight)).unwrap(),
            oldest_start: None,
            concurrency_limit: limit,
            stuck,
            held,
        });
    }

    pub(super) fn sample(&self, index: usize, at: Timestamp) -> PartitionSample {
        let end = i64::try_from(whole(self.end)).unwrap();
        PartitionSample {
            topic: "flights".to_owned(),
            partition: i32::try_from(index).unwrap(),
            log_at: at,
            log_start: 0,
            end,
            stable_end: i64::try_from(whole(self.stable)).unwrap(),
            committed_at: at,
            committed: Some(i64::try_from(whole(self.committed)).unwrap()),
            start_pin: Some(0),
            checkpoint: self.checkpoint.clone(),
            density: 1.0,
        }
    }
}

/// Shares room among those who wait, each at most its own need and the lane limit.
pub(super) fn fair(waiting: &[(usize, f64)], room: f64, lane: f64) -> Vec<(usize, f64)> {
    let mut needs: Vec<(usize, f64)> = waiting.iter().map(|&(index, need)| (index, need.min(lane))).collect();
    needs.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
    let (mut left, mut count) = (room, needs.len());
    for (_, need) in &mut needs {
        *need = need.min(left / count as f64);
        left -= *need;
        count -= 1;
    }
    needs
}

/// The whole records of a position.
pub(super) fn reached(position: f64) -> f64 {
    whole(position) as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of a test are far from the limits")]
pub(super) fn whole(records: f64) -> u64 {
    // A sum of halves and thirds ends a hair below the whole number that it stands for.
    (records + 1e-6).max(0.0) as u64
}
