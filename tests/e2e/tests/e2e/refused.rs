//! What cannot be carried out is said so, and nothing is touched.

use penstock_e2e::pipeline::Status;
use serde_json::json;

use crate::stage::{START, Stage};

#[test]
fn an_invalid_spec_is_refused_with_path_and_remedy_and_heals() {
    let stage = Stage::beside_others("invalid");
    let topic = stage.new_topic("orders", 2);
    let mut manifest = stage.discarding("orders", &topic);
    manifest["spec"]["kafka"]["properties"] = json!({"fetch.min.byte": "1"});
    let pipeline = stage.applied(&manifest);
    let status =
        pipeline.until("refused", START, |status| status.condition("Accepted") == ("False", "Invalid")).unwrap();
    let message = status.message("Accepted");
    assert!(message.contains("spec.kafka.properties") && message.contains("fetch.min.bytes"), "{message}");
    assert!(!status.is_ready() && status.phase() == "Invalid", "{}", status.in_words());
    assert!(stage.objects("deployments").is_empty());

    pipeline.patch(&json!({"kafka": {"properties": null}})).unwrap();
    pipeline.until("Ready once it is right", START, Status::is_ready).unwrap();

    // What runs stays as it is when a later edit is wrong.
    pipeline.patch(&json!({"kafka": {"properties": {"group.id": "x"}}})).unwrap();
    let status = pipeline.until("refused again", START, |status| status.condition("Accepted").0 == "False").unwrap();
    assert_eq!((status.ready_replicas(), stage.objects("deployments").len()), (1, 1));
}

#[test]
fn a_foreign_deployment_of_that_name_is_left_alone() {
    let stage = Stage::beside_others("foreign");
    let topic = stage.new_topic("orders", 2);
    let foreign = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "orders-worker", "namespace": stage.namespace},
        "spec": {
            "replicas": 0, "selector": {"matchLabels": {"app": "foreign"}},
            "template": {"metadata": {"labels": {"app": "foreign"}}, "spec": {"containers": [{"name": "a", "image": "a"}]}},
        },
    });
    stage.cluster().apply(&foreign.to_string()).unwrap();
    let read = || stage.cluster().get(&stage.namespace, ["deployment", "orders-worker"]).unwrap();
    // The Deployment's own controller writes its status once; from then on nobody may write.
    penstock_e2e::wait::until_true("the foreign Deployment observed", START, || {
        Ok(read()["status"]["observedGeneration"] == 1)
    })
    .unwrap();
    let before = read();

    let pipeline = stage.applied(&stage.discarding("orders", &topic));
    let status =
        pipeline.until("NameConflict", START, |status| status.condition("Ready") == ("False", "NameConflict")).unwrap();
    assert!(status.message("Ready").contains("orders-worker"), "{}", status.in_words());
    // Its own controller may still write its status; the rest is nobody's to change.
    let own = |object: &serde_json::Value| {
        let metadata = &object["metadata"];
        let labels = (metadata["labels"].clone(), metadata["annotations"].clone(), metadata["ownerReferences"].clone());
        (object["spec"].clone(), metadata["generation"].clone(), labels)
    };
    let after = read();
    assert_eq!(own(&after), own(&before), "it was written to");

    stage.cluster().kubectl(["--namespace", &stage.namespace, "delete", "deployment", "orders-worker"]).unwrap();
    pipeline.until("Ready once the way is free", START, Status::is_ready).unwrap();
}

#[test]
fn a_topic_that_is_not_there_is_named() {
    let stage = Stage::beside_others("topicless");
    let topic = stage.topic("nowhere");
    stage.brokers().delete(&topic).unwrap();
    let pipeline = stage.applied(&stage.discarding("orders", &topic));
    let status = pipeline.until("TopicMissing", START, |status| status.condition("Ready").1 == "TopicMissing").unwrap();
    assert!(status.message("Ready").contains(&topic), "{}", status.in_words());
    stage.brokers().create(&topic, 2, &[]).unwrap();
    pipeline.until("Ready once the topic is there", START, Status::is_ready).unwrap();
}
