//! One active operator at a time, by a Lease.

use std::future::Future;
use std::time::Duration;

use k8s_controller::LeaderElection;
use kube::Client;

use crate::metrics::Metrics;

/// Another operator takes the lease this long after it last saw a renewal.
const LEASE: Duration = Duration::from_secs(15);
/// A leader that could not renew for this long stops, well before anybody else may start.
const DEADLINE: Duration = Duration::from_secs(10);
/// Between two renewals, and between two tries to get the lease.
const RETRY: Duration = Duration::from_secs(2);

/// Where the lease is, and who asks for it.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub lease: String,
    /// Who asks: unique among candidates.
    pub identity: String,
}

/// Runs `work` whenever this process holds the lease, and drops it the moment the claim is not current: by the clock, not by the answer
/// of an API server that may be away. Ends with `stop`, and then gives the lease back.
pub async fn lead<W: Future<Output = ()>>(
    client: Client,
    candidate: &Candidate,
    metrics: &Metrics,
    stop: impl Future<Output = ()>,
    work: impl Fn() -> W,
) {
    let election = LeaderElection::new(client, &candidate.namespace, &candidate.lease, &candidate.identity)
        .with_lease_duration(LEASE)
        .with_renew_deadline(DEADLINE)
        .with_retry_period(RETRY);
    let campaign = async {
        loop {
            let led = election.with_lease(active(metrics, work())).await;
            metrics.leads(false);
            if led.is_none() {
                tracing::warn!("the lease is lost: this operator stands by");
            }
        }
    };
    tokio::select! {
        () = campaign => {}
        () = stop => {}
    }
    metrics.leads(false);
    election.release().await;
}

async fn active<W: Future<Output = ()>>(metrics: &Metrics, work: W) {
    metrics.leads(true);
    work.await;
}
