//! The pipeline that a round's workers run.

use penstock_lab::Listener;

use super::Names;
use crate::cluster::Cluster;
use crate::history::{OnExhausted, Ordering};
use crate::plan::{Batches, Plan, SESSION_TIMEOUT};

/// `spec.kafka`, but for its properties.
pub(super) fn kafka(plan: &Plan, cluster: &Cluster) -> String {
    if plan.has_user() {
        let bootstrap = cluster.lab.bootstrap_servers_of(Listener::Sasl);
        format!("bootstrapServers: '{bootstrap}'\n    secretRef: {{name: secret}}\n    authentication: {{type: plain}}")
    } else {
        format!("bootstrapServers: '{}'", cluster.bootstrap)
    }
}

/// The pipeline file of one worker: what a user would write.
pub(super) fn text(plan: &Plan, names: &Names, kafka: &str, port: u16) -> String {
    let ordering = match plan.ordering {
        Ordering::Key => "Key",
        Ordering::Partition => "Partition",
        Ordering::Unordered => "Unordered",
    };
    let on_exhausted = match plan.on_exhausted {
        OnExhausted::DeadLetter => format!("onExhausted: DeadLetter\n    deadLetter: {{topic: {}}}", names.letters),
        OnExhausted::Discard => "onExhausted: Discard".to_owned(),
        OnExhausted::Block => "onExhausted: Block".to_owned(),
    };
    let output = if plan.output { format!("  output: {{topic: {}}}\n", names.output) } else { String::new() };
    let batch = plan.batches.map(|Batches { max_records, max_wait, same_lane }| {
        let max_wait = max_wait.as_millis();
        format!("    batch: {{maxRecords: {max_records}, maxWait: {max_wait}ms, sameLane: {same_lane}}}\n")
    });
    let batch = batch.unwrap_or_default();
    let (processor, worker) = if plan.asked.quick {
        ("{type: embedded}".to_owned(), "  worker: {image: ours}\n")
    } else {
        (format!("{{type: http, http: {{url: 'http://127.0.0.1:{port}/'}}}}"), "")
    };
    let protocol = if plan.classic { "classic" } else { "consumer" };
    let session = SESSION_TIMEOUT.as_millis();
    let (timeout, drain) = (plan.timeout.as_millis(), plan.drain.as_millis());
    format!(
        "apiVersion: penstock.dev/v1alpha1
kind: ConsumerPipeline
metadata:
  name: chaos
  namespace: chaos
  annotations: {{penstock.dev/group-protocol: {protocol}}}
spec:
  kafka:
    {kafka}
    properties:
      session.timeout.ms: '{session}'
      heartbeat.interval.ms: '1000'
      topic.metadata.refresh.interval.ms: '2000'
  source:
    topics: [{topics}]
    groupId: {group}
  processor: {processor}
  delivery:
    ordering: {ordering}
    concurrency: {concurrency}
    timeout: {timeout}ms
    drain: {drain}ms
{batch}    retry: {{maxAttempts: {attempts}, initialDelay: 50ms, maxDelay: 400ms}}
    {on_exhausted}
{output}{worker}",
        topics = names.sources.iter().map(|name| format!("{{name: {name}}}")).collect::<Vec<_>>().join(", "),
        group = names.group,
        concurrency = plan.concurrency,
        attempts = plan.mix.max_attempts,
    )
}
