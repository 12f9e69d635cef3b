//! What the pipeline is doing, in a word.

use penstock_crds::status::Phase;
use penstock_scaling::Reason as Why;

use super::View;
use super::judge::{Others, at_zero_by_hand};
use crate::conditions::Status;
use crate::{Group, Objects, Reason};

pub(super) fn phase(view: &View<'_>, others: &Others) -> Phase {
    let Ok(pipeline) = view.facts.pipeline else { return Phase::Invalid };
    if pipeline.paused {
        return Phase::Paused;
    }
    let waiting = matches!(view.facts.group, Group::Waiting { .. });
    if waiting && !at_zero_by_hand(pipeline) {
        return Phase::WaitingForGroup;
    }
    if degraded(view, others) {
        return Phase::Degraded;
    }
    if !others.available.is(Status::True) {
        return Phase::Starting;
    }
    if view.rollout.wanted == 0 {
        return Phase::Idle;
    }
    let behind = view.facts.decision.is_some_and(|decision| {
        let late = decision.parts.backlog > 0.0
            && decision.parts.behind_seconds.is_some_and(|seconds| seconds > pipeline.scaling.lag.as_secs_f64());
        late || matches!(decision.reason, Why::CatchingUp | Why::Overloaded | Why::Woken)
    });
    if behind { Phase::CatchingUp } else { Phase::Running }
}

/// Something stands in the way that is neither wished for nor a step on the way up.
fn degraded(view: &View<'_>, others: &Others) -> bool {
    let expected = [Reason::Progressing, Reason::Paused, Reason::NoneWanted];
    let bad = [&others.accepted, &others.kafka, &others.available, &others.delivering]
        .into_iter()
        .any(|verdict| verdict.is(Status::False) && !expected.iter().any(|reason| verdict.because(*reason)));
    bad || matches!(view.facts.objects, Objects::Failed { .. })
}
