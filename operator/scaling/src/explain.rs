//! A decision in plain sentences, for `kubectl describe`.

use crate::{Capacity, CapacitySource, Decision, Parts, Reason};

impl Decision {
    /// One or two plain sentences with the numbers that decided. The same decision gives the same bytes.
    pub fn explain(&self) -> String {
        let mut sentences = vec![format!("{}: {}", self.headline(), self.reason.sentence())];
        if matches!(self.reason, Reason::LagUnknown | Reason::Manual | Reason::Paused | Reason::Idle) {
            return sentences.concat();
        }
        sentences.push(self.parts.sum());
        if let Some(limit) = self.limited_by {
            sentences.push(limit.sentence().to_owned());
        }
        sentences.join(" ")
    }

    fn headline(&self) -> String {
        let (current, decided) = (self.parts.current, self.advised.unwrap_or(self.replicas));
        let prefix = if self.advised.is_some() { "Advice: " } else { "" };
        if decided == current {
            return format!("{prefix}{} replica{}", decided, plural(decided));
        }
        format!("{prefix}From {current} to {decided} replica{}", plural(decided))
    }
}

impl Parts {
    /// The sum in one sentence: what is there, what it asks for, what one replica does, and what follows.
    fn sum(&self) -> String {
        let arriving = self.arrival_rate.map(|arrivals| format!("{}/s arriving", rate(arrivals)));
        let there: Vec<String> =
            [Some(format!("{} unread", count(self.lag))), arriving].into_iter().flatten().collect();
        let carried = match (self.capacity, self.need) {
            (Some(Capacity { records_per_second, source }), Some(need)) => {
                format!("one replica does {}/s ({}): that takes {need}", rate(records_per_second), source.words())
            }
            _ => "what one replica can do is not known yet".to_owned(),
        };
        let lately = match self.window_need.zip(self.need) {
            Some((highest, need)) if highest > need => format!(", and took {highest} within the scale-down window"),
            _ => String::new(),
        };
        format!("{}, so {}/s must be done; {carried}{lately}.", there.join(", "), rate(self.demand))
    }
}

impl CapacitySource {
    const fn words(self) -> &'static str {
        match self {
            Self::Saturated => "measured while full",
            Self::BusyTime => "by its busy time",
            Self::Learned => "learned earlier",
            Self::Inherited => "learned with an earlier template",
        }
    }
}

const fn plural(count: u32) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// Whole records with thousands set apart.
fn count(records: f64) -> String {
    let digits = format!("{:.0}", records.max(0.0));
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A rate: whole records, below 10 with one decimal.
fn rate(per_second: f64) -> String {
    // 9.95 would be written as 10.0.
    if per_second > 0.0 && per_second < 9.95 { format!("{per_second:.1}") } else { count(per_second) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limit;

    #[test]
    fn a_decision_reads_as_sentences_with_its_numbers() {
        let decision = Decision {
            replicas: 12,
            advised: None,
            reason: Reason::CatchingUp,
            limited_by: Some(Limit::PartitionBound),
            parts: Parts {
                current: 1,
                arrival_rate: Some(11_660.4),
                lag: 330_776.0,
                demand: 17_324.2,
                capacity: Some(Capacity { records_per_second: 600.0, source: CapacitySource::Saturated }),
                need: Some(12),
                ..Parts::default()
            },
            wake_at: None,
        };
        assert_eq!(
            decision.explain(),
            "From 1 to 12 replicas: The backlog does not clear in the catch-up time, so there must be more replicas. 330,776 unread, \
             11,660/s arriving, so 17,324/s must be done; one replica does 600/s (measured while full): that takes 12. More replicas \
             than partitions would have nothing to read: add partitions to go further."
        );
    }

    #[test]
    fn numbers_read_well_at_every_size() {
        assert_eq!([count(0.0), count(999.0), count(1_000.0), count(1_234_567.4)], ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([rate(0.0), rate(0.04), rate(9.94), rate(9.96), rate(2_500.0)], ["0", "0.0", "9.9", "10", "2,500"]);
    }
}
