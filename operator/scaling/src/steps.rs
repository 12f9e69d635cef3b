//! How partitions spread over members: which numbers of replicas make a difference, and how full the fullest member is.

use crate::{Assignor, PartitionSample};

/// The partitions of a group in the sizes that its assignor evens out.
///
/// An assignor evens out *counts*. So only numbers of replicas that lower the fullest member's count bring anything: `⌈P/k⌉` for one
/// group of P partitions, 1, 2, 3, 4, 5, 7 and 13 for P = 13. Everything between costs pods and a rebalance for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spread {
    /// Index of its group for each partition, in the order of the samples.
    group_of: Vec<usize>,
    /// Partitions in each group: one for all topics with `Uniform`, one a topic with `Range`.
    sizes: Vec<usize>,
    steps: Vec<u32>,
}

impl Spread {
    /// Reads the groups off samples that are sorted by topic and partition.
    pub(crate) fn of(partitions: &[&PartitionSample], assignor: Assignor) -> Self {
        let mut group_of = Vec::with_capacity(partitions.len());
        let mut sizes: Vec<usize> = Vec::new();
        for (index, sample) in partitions.iter().enumerate() {
            let new_topic = index == 0 || partitions[index - 1].topic != sample.topic;
            if sizes.is_empty() || (assignor == Assignor::Range && new_topic) {
                sizes.push(0);
            }
            let group = sizes.len() - 1;
            sizes[group] += 1;
            group_of.push(group);
        }
        let mut spread = Self { group_of, sizes, steps: Vec::new() };
        spread.steps = spread.find_steps();
        spread
    }

    fn find_steps(&self) -> Vec<u32> {
        let most = self.sizes.iter().copied().max().unwrap_or(0);
        let mut steps = Vec::new();
        let mut fullest = usize::MAX;
        for members in 1..=most {
            let count = self.fullest_count(members);
            if count < fullest {
                fullest = count;
                steps.push(u32::try_from(members).unwrap_or(u32::MAX));
            }
        }
        steps
    }

    fn fullest_count(&self, members: usize) -> usize {
        self.sizes.iter().map(|size| size.div_ceil(members)).sum()
    }

    /// Useful numbers of replicas, ascending; empty without partitions.
    pub(crate) fn steps(&self) -> &[u32] {
        &self.steps
    }

    /// The greatest number that can be useful.
    pub(crate) fn most(&self) -> u32 {
        self.steps.last().copied().unwrap_or(0)
    }

    /// The greatest step not above `replicas`; the least step if all are above.
    pub(crate) fn at_most(&self, replicas: u32) -> u32 {
        self.steps.iter().rev().copied().find(|&step| step <= replicas).or(self.steps.first().copied()).unwrap_or(0)
    }

    /// The least step not below `replicas`; the greatest step if all are below.
    pub(crate) fn at_least(&self, replicas: u32) -> u32 {
        self.steps.iter().copied().find(|&step| step >= replicas).unwrap_or(self.most())
    }

    /// The least step at which no member has more than `capacity` to do; the greatest step if none carries it.
    pub(crate) fn need(&self, demands: &[f64], capacity: f64) -> u32 {
        // Equal loads must not miss a step by the last bit of a sum.
        let capacity = capacity * (1.0 + 1e-9);
        let means = self.means(demands, capacity);
        self.steps
            .iter()
            .copied()
            .find(|&step| {
                let members = step as usize;
                let even: f64 =
                    means.iter().zip(&self.sizes).map(|(mean, size)| mean * size.div_ceil(members) as f64).sum();
                even <= capacity && self.fullest_load(demands, members, capacity / 2.0) <= capacity
            })
            .unwrap_or(self.most())
    }

    /// The least step that carries a total that is spread evenly; the greatest step if none does.
    pub(crate) fn need_evenly(&self, total: f64, capacity: f64) -> u32 {
        let partitions = self.group_of.len();
        self.need(&vec![total / partitions.max(1) as f64; partitions], capacity)
    }

    /// Mean demand in each group. A partition is never more than one replica's work, whatever it asks for.
    fn means(&self, demands: &[f64], capacity: f64) -> Vec<f64> {
        let mut sums = vec![0.0; self.sizes.len()];
        for (demand, &group) in demands.iter().zip(&self.group_of) {
            sums[group] += demand.min(capacity);
        }
        sums.iter().zip(&self.sizes).map(|(sum, &size)| sum / size.max(1) as f64).collect()
    }

    /// The work of the fullest member when each group is dealt out in turn.
    ///
    /// A partition counts as `at_most`, half a replica: an assignor that evens out counts could give a heavier one room only by
    /// giving every partition a member of its own, and one hot partition must not pull the whole group to the maximum.
    fn fullest_load(&self, demands: &[f64], members: usize, at_most: f64) -> f64 {
        let mut loads = vec![0.0; members];
        let mut dealt = vec![0_usize; self.sizes.len()];
        for (demand, &group) in demands.iter().zip(&self.group_of) {
            loads[dealt[group] % members] += demand.min(at_most);
            dealt[group] += 1;
        }
        loads.into_iter().fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;

    fn partitions(topics: &[(&str, i32)]) -> Vec<PartitionSample> {
        let of = |&(topic, count): &(&str, i32)| {
            let topic = topic.to_owned();
            (0..count).map(move |partition| PartitionSample {
                topic: topic.clone(),
                partition,
                log_at: Timestamp::default(),
                log_start: 0,
                end: 0,
                stable_end: 0,
                committed_at: Timestamp::default(),
                committed: None,
                start_pin: None,
                checkpoint: None,
                density: 1.0,
            })
        };
        topics.iter().flat_map(of).collect()
    }

    fn spread(topics: &[(&str, i32)], assignor: Assignor) -> Spread {
        let partitions = partitions(topics);
        Spread::of(&partitions.iter().collect::<Vec<_>>(), assignor)
    }

    #[test]
    fn only_ceilings_of_quotients_are_steps() {
        let steps = |count| spread(&[("t", count)], Assignor::Uniform).steps().to_vec();
        assert_eq!(steps(1), [1]);
        assert_eq!(steps(12), [1, 2, 3, 4, 6, 12]);
        assert_eq!(steps(13), [1, 2, 3, 4, 5, 7, 13]);
        assert!(steps(126).ends_with(&[18, 21, 26, 32, 42, 63, 126]), "the set asked for in kedacore/keda#7517");
        assert!(steps(0).is_empty());
    }

    #[test]
    fn range_gives_the_odd_partitions_of_every_topic_to_the_same_members() {
        let topics = [("a", 3), ("b", 4)];
        let range = spread(&topics, Assignor::Range);
        assert_eq!(
            range.steps(),
            [1, 2, 3, 4],
            "the fullest has 7, 4, 3 and 2 partitions, and a fifth member would have none"
        );
        assert_eq!(spread(&topics, Assignor::Uniform).steps(), [1, 2, 3, 4, 7]);
    }

    #[test]
    fn the_need_is_the_least_step_that_carries_the_fullest_member() {
        let spread = spread(&[("t", 12)], Assignor::Uniform);
        assert_eq!(spread.need(&[0.0; 12], 100.0), 1);
        assert_eq!(spread.need(&[50.0; 12], 600.0), 1);
        assert_eq!(spread.need(&[51.0; 12], 600.0), 2);
        assert_eq!(spread.need(&[130.0; 12], 600.0), 3);
        assert_eq!(spread.need(&[250.0; 12], 600.0), 6);
        assert_eq!(spread.need(&[9_999.0; 12], 600.0), 12);
    }

    #[test]
    fn one_hot_partition_does_not_pull_the_group_to_its_maximum() {
        let spread = spread(&[("t", 60)], Assignor::Uniform);
        let mut demands = [5.0; 60];
        demands[7] = 5_000.0;
        assert_eq!(spread.need(&demands, 600.0), 2, "one replica for it and half a one for the rest");
    }
}
