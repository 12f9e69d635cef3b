use k8s_openapi::api::core::v1::ConfigMap;
use penstock_scaling::Timestamp;
use serde_json::json;

use super::*;

fn config(value: &serde_json::Value) -> ConfigMap {
    serde_json::from_value(value.clone()).unwrap()
}

fn owned(uid: &str, kind: &str) -> ConfigMap {
    config(&json!({"metadata": {"name": "orders-pipeline", "namespace": "shop", "ownerReferences": [
        {"apiVersion": "penstock.dev/v1alpha1", "kind": kind, "name": "orders", "uid": uid, "controller": true}
    ]}}))
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

#[test]
fn only_an_object_with_our_uid_as_its_controller_is_touched() {
    assert!(refuse_foreign(&owned("u1", "ConsumerPipeline"), "u1").is_ok());
    assert!(matches!(refuse_foreign(&owned("u0", "ConsumerPipeline"), "u1"), Err(ApplyError::Outgoing { .. })));
    let theirs = refuse_foreign(&owned("u2", "Deployment"), "u1").unwrap_err();
    assert_eq!(theirs.trouble().unwrap().reason, Reason::NameConflict);
    let bare = config(&json!({"metadata": {"name": "orders-pipeline", "managedFields": [{"manager": "kubectl"}]}}));
    let error = refuse_foreign(&bare, "u1").unwrap_err();
    assert!(error.to_string().contains("whoever used kubectl"), "{error}");
}

#[test]
fn an_answer_stands_in_for_a_watch_until_it_moves_or_time_passes() {
    let old = Arc::new(config(&json!({"metadata": {"name": "a", "resourceVersion": "1"}})));
    let new = config(&json!({"metadata": {"name": "a", "resourceVersion": "2"}}));
    let mut slot = Slot::default();
    slot.sent(&new, Some("1".to_owned()), new.clone(), at(0));
    let version = |object: Option<Arc<ConfigMap>>| object.and_then(|object| object.resource_version()).unwrap();
    assert_eq!(version(slot.freshest(Some(Arc::clone(&old)), at(1))), "2");
    let third = Arc::new(config(&json!({"metadata": {"name": "a", "resourceVersion": "3"}})));
    assert_eq!(version(slot.freshest(Some(third), at(2))), "3");
    slot.sent(&new, Some("1".to_owned()), new.clone(), at(0));
    assert_eq!(version(slot.freshest(Some(old), at(11))), "1");
}

#[test]
fn what_a_webhook_made_of_an_object_is_not_sent_again() {
    let wanted = config(&json!({"metadata": {"name": "a"}, "data": {"k": "ours"}}));
    let answer = config(&json!({"metadata": {"name": "a", "resourceVersion": "2"}, "data": {"k": "theirs"}}));
    let mut slot = Slot::default();
    assert!(!slot.is_settled(&wanted, &answer));
    slot.sent(&wanted, None, answer.clone(), at(0));
    assert!(slot.is_settled(&wanted, &answer));
    let drifted = config(&json!({"metadata": {"name": "a", "resourceVersion": "3"}, "data": {"k": "a user's"}}));
    assert!(!slot.is_settled(&wanted, &drifted));
    let other = config(&json!({"metadata": {"name": "a"}, "data": {"k": "more"}}));
    assert!(!slot.is_settled(&other, &answer));
}
