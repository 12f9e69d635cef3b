//! The Deployment and its pods in the words of the decision. Pure.

use k8s_openapi::api::apps::v1::Deployment;
use penstock_scaling::{Timestamp, Workers};

use super::pods::PodView;

/// What runs. `settling` remembers since when, for which generation of the Deployment.
pub fn workers(
    deployment: Option<&Deployment>,
    pods: &[PodView],
    settling: &mut Option<(i64, Timestamp)>,
    now: Timestamp,
) -> Workers {
    let Some(deployment) = deployment else {
        *settling = None;
        return Workers::default();
    };
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas);
    let status = deployment.status.clone().unwrap_or_default();
    let ready = status.ready_replicas.unwrap_or(0);
    let generation = deployment.metadata.generation.unwrap_or(0);
    let settled = status.observed_generation == Some(generation)
        && status.ready_replicas.unwrap_or(0) == wanted.unwrap_or(1)
        && status.updated_replicas.unwrap_or(0) == wanted.unwrap_or(1)
        && status.replicas.unwrap_or(0) == wanted.unwrap_or(1);
    if settled {
        *settling = None;
    } else if settling.is_none_or(|(of, _)| of != generation) {
        // Another number or another template: the wait begins anew.
        *settling = Some((generation, now));
    }
    Workers {
        replicas: wanted.and_then(|wanted| u32::try_from(wanted).ok()),
        ready: u32::try_from(ready).unwrap_or(0),
        starting_since: settling.map(|(_, since)| since),
        waiting_reason: pods.iter().flat_map(|pod| &pod.troubles).map(|trouble| trouble.reason.clone()).next(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(generation: i64, wanted: i32, ready: i32) -> Deployment {
        serde_json::from_value(json!({
            "metadata": {"generation": generation},
            "spec": {"replicas": wanted, "selector": {}, "template": {}},
            "status": {"observedGeneration": generation, "replicas": ready, "updatedReplicas": ready, "readyReplicas": ready},
        }))
        .unwrap()
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn the_wait_for_pods_begins_anew_with_each_change_and_ends_when_all_are_ready() {
        let mut settling = None;
        let look = |deployment: Deployment, settling: &mut _, now| workers(Some(&deployment), &[], settling, now);
        assert_eq!(look(deployment(1, 2, 0), &mut settling, at(1)).starting_since, Some(at(1)));
        assert_eq!(look(deployment(1, 2, 1), &mut settling, at(5)).starting_since, Some(at(1)));
        assert_eq!(look(deployment(2, 3, 1), &mut settling, at(6)).starting_since, Some(at(6)));
        let all = look(deployment(2, 3, 3), &mut settling, at(9));
        assert_eq!((all.starting_since, all.ready, all.replicas), (None, 3, Some(3)));
    }

    #[test]
    fn without_a_deployment_there_is_nothing() {
        assert_eq!(workers(None, &[], &mut Some((1, at(1))), at(2)), Workers::default());
    }
}
