//! What `resolve()` fills in and what it refuses.

use super::*;
use crate::pipeline::Batch;
use crate::schema::parse;

const LEAST: &str = "
apiVersion: penstock.dev/v1alpha1
kind: ConsumerPipeline
metadata: {name: orders, namespace: shop}
spec:
  kafka: {bootstrapServers: 'kafka:9092'}
  source: {topics: [{name: orders}]}
  processor: {type: discard}
";

/// The least pipeline with `more` lines in its spec, two spaces deep.
fn pipeline(more: &str) -> Result<Pipeline, Vec<Violation>> {
    resolve(&parse(&format!("{LEAST}{more}")).map_err(|violations| dbg_join(&violations)).unwrap())
}

fn dbg_join(violations: &[Violation]) -> String {
    violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn refused(more: &str, expected: &str) {
    let text = dbg_join(&pipeline(more).expect_err("this pipeline should be refused"));
    assert!(text.contains(expected), "{text}");
}

#[test]
fn three_groups_are_enough() {
    let pipeline = pipeline("").unwrap();
    assert_eq!(pipeline.source.group_id, "shop.orders");
    assert_eq!(pipeline.delivery.concurrency, 64);
    assert_eq!(pipeline.delivery.drain, Duration::from_secs(20));
    assert_eq!(
        pipeline.delivery.dead_letter,
        Some(DeadLetter { topic: "shop.orders.dlq".to_owned(), create: true, max_percent: 20, headers: vec![] })
    );
    assert_eq!(pipeline.grace, Duration::from_secs(60));
    assert_eq!((pipeline.scaling.min_replicas, pipeline.scaling.max_replicas), (1, None));
}

#[test]
fn grace_follows_a_long_timeout() {
    assert_eq!(pipeline("  delivery: {timeout: 5m}").unwrap().grace, Duration::from_secs(315));
    refused("  delivery: {timeout: 5m}\n  worker: {terminationGracePeriodSeconds: 60}", "at least 315 are needed");
}

#[test]
fn a_batch_has_bounds_and_defaults() {
    let batch = |text: &str| pipeline(&format!("  delivery: {{batch: {text}}}"));
    assert_eq!(pipeline("").unwrap().delivery.batch, None);
    let least = Batch { max_records: 1, max_bytes: 1 << 20, max_wait: Duration::ZERO, same_lane: false };
    assert_eq!(batch("{maxRecords: 1}").unwrap().delivery.batch, Some(least));
    for (text, expected) in [
        ("{maxRecords: 0}", "spec.delivery.batch.maxRecords: is 0; 1 to 10000 are possible"),
        ("{maxRecords: 2, maxBytes: 1}", "spec.delivery.batch.maxBytes: is 1; 1024 to 16777216 are possible"),
        ("{maxRecords: 2, maxWait: 2m}", "spec.delivery.batch.maxWait: is 120s; 0ns to 60s are possible"),
    ] {
        assert!(dbg_join(&batch(text).unwrap_err()).contains(expected), "{text}");
    }
}

#[test]
fn drain_must_end_before_max_poll_interval() {
    refused("  delivery: {drain: 280s}", "spec.delivery.drain: is 280s; 0ns to 270s are possible");
}

#[test]
fn relations_are_checked_as_the_api_server_does() {
    refused("  scaling: {mode: Manual}", "spec.replicas: is missing");
    refused("  scaling: {minReplicas: 3, maxReplicas: 2}", "spec.scaling.minReplicas: is greater");
    refused("  output: {topic: orders}", "spec.output.topic: orders is one of source.topics");
    refused(
        "  delivery: {deadLetter: {topic: orders}}",
        "spec.delivery.deadLetter.topic: orders is one of source.topics",
    );
    refused("  delivery: {onExhausted: Block, deadLetter: {topic: x}}", "goes only with onExhausted DeadLetter or");
    refused("  delivery: {onExhausted: ParkKey, ordering: Partition}", "spec.delivery.onExhausted: is ParkKey");
    refused(
        "  delivery: {deadLetter: {maxPercent: 0}}",
        "spec.delivery.deadLetter.maxPercent: is 0; 1 to 100 are possible",
    );
    refused("  delivery: {retry: {initialDelay: 2m}}", "is longer than retry.maxDelay");
    refused("  delivery: {retry: {initialDelay: 2s, maxAge: 1s}}", "is longer than retry.maxAge");
    refused("  delivery: {retry: {maxAge: 500ms}}", "spec.delivery.retry.maxAge: is 500ms; 1s to 604800s are possible");
    refused(
        "  delivery: {retry: {maxAge: 169h}}",
        "spec.delivery.retry.maxAge: is 608400s; 1s to 604800s are possible",
    );
    refused("  delivery: {ordering: Unordered, batch: {maxRecords: 2, sameLane: true}}", "sameLane: needs an order");
}

#[test]
fn delay_topics_bear_the_name_of_their_group_and_delay() {
    let given = pipeline("  delivery: {ordering: Unordered, retry: {delayTopics: [60s, 10m]}}").unwrap();
    let topics = given.delivery.retry.delay_topics;
    let names: Vec<&str> = topics.iter().map(|one| one.topic.as_str()).collect();
    assert_eq!(names, ["shop.orders.retry.1m", "shop.orders.retry.10m"]);
    assert_eq!(topics[0].retention_min(), Duration::from_secs(7 * 86_400 + 60));
}

#[test]
fn delay_topics_rise_are_used_and_go_with_no_order() {
    let refused = |retry: &str, expected: &str| {
        refused(&format!("  delivery: {{ordering: Unordered, retry: {{{retry}}}}}"), expected);
    };
    refused("delayTopics: [1m, 60s]", "delayTopics: does not rise");
    refused("delayTopics: [10m, 1m]", "delayTopics: does not rise");
    refused("delayTopics: [500ms]", "delayTopics: is 500ms; 1s to");
    refused("delayTopics: [1m, 10m], maxAttempts: 2", "delayTopics: has 2 entries, and with retry.maxAttempts 2");
    refused("delayTopics: [10m], maxAge: 5m", "longer than retry.maxAge");
    super::tests::refused("  delivery: {retry: {delayTopics: [1m]}}", "delayTopics: needs delivery.ordering Unordered");
}

#[test]
fn nothing_else_is_written_to_a_delay_topic() {
    let retry = "ordering: Unordered, retry: {delayTopics: [1m]}";
    refused(
        &format!("  delivery: {{{retry}, deadLetter: {{topic: shop.orders.retry.1m}}}}"),
        "deadLetter.topic: shop.orders.retry.1m is the pipeline's own delay topic",
    );
    refused(
        &format!("  delivery: {{{retry}}}\n  output: {{topic: shop.orders.retry.1m}}"),
        "output.topic: shop.orders.retry.1m is the pipeline's own delay topic",
    );
}

#[test]
fn a_socket_has_a_folder_of_its_own() {
    let resolved = |more: &str| {
        let container = format!("{{image: 'a:1', {more}}}");
        let text = LEAST.replace("{type: discard}", &format!("{{type: container, container: {container}}}"));
        resolve(&parse(&text).unwrap())
    };
    let pipeline = resolved("socket: /run/app/http.sock, path: /records").unwrap();
    assert_eq!(pipeline.processor_url().as_deref(), Some("http://localhost/records"));
    assert_eq!(pipeline.processor_socket(), Some("/run/app/http.sock"));

    let mounted = |path: &str| {
        let volume = "volumes: [{name: run, emptyDir: {}}]";
        format!("socket: /run/app/http.sock, {volume}, volumeMounts: [{{name: run, mountPath: {path}}}]")
    };
    assert!(resolved(&mounted("/run/apps")).is_ok());
    let (longest, longer) = (format!("/run/{}", "x".repeat(64)), format!("/run/{}", "x".repeat(65)));
    assert!(resolved(&format!("socket: {longest}")).is_ok());
    for (more, expected) in [
        ("socket: run/app/http.sock", "is no path like /run/app/http.sock"),
        ("socket: /http.sock", "is no path like /run/app/http.sock"),
        ("socket: /run/../http.sock", "is no path like /run/app/http.sock"),
        ("socket: /run/app/", "is no path like /run/app/http.sock"),
        ("socket: '/run/an app/s'", "is no path like /run/app/http.sock"),
        (&format!("socket: {longer}"), "at most 107 bytes, its name at most 64"),
        (&format!("socket: /{}/s", "x".repeat(105)), "at most 107 bytes, its name at most 64"),
        ("socket: /run/app/http.sock, port: 80", "stands in the place of container.port"),
        (&mounted("/run/app/"), "is in /run/app, which becomes a volume of its own, and /run/app/ of"),
        (&mounted("/run"), "and /run of container.volumeMounts is above, below or there"),
        (&mounted("/run//app/http.sock"), "and /run//app/http.sock of"),
    ] {
        let text = dbg_join(&resolved(more).unwrap_err());
        assert!(text.contains("spec.processor.container.socket: ") && text.contains(expected), "{more}: {text}");
    }
}

#[test]
fn a_container_with_a_socket_has_no_port_with_a_name() {
    for (probe, allowed) in [("{httpGet: {port: processor}}", false), ("{tcpSocket: {port: 9000}}", true)] {
        let container = format!("{{image: 'a:1', socket: /run/app/http.sock, readinessProbe: {probe}}}");
        let text = LEAST.replace("{type: discard}", &format!("{{type: container, container: {container}}}"));
        let resolved = resolve(&parse(&text).unwrap());
        assert_eq!(resolved.is_ok(), allowed, "{probe}");
        let told = resolved.map_or_else(|violations| dbg_join(&violations), |_| String::new());
        assert_eq!(told.contains("spec.processor.container.readinessProbe: names a port"), !allowed, "{told}");
    }
}

#[test]
fn a_probe_asks_the_container_and_nobody_else() {
    let container = "{image: 'a:1', livenessProbe: {httpGet: {host: elsewhere, port: 80}}}";
    let text = LEAST.replace("{type: discard}", &format!("{{type: container, container: {container}}}"));
    let text = dbg_join(&resolve(&parse(&text).unwrap()).unwrap_err());
    assert!(text.contains("spec.processor.container.livenessProbe: names a host"), "{text}");
}

#[test]
fn a_property_that_reads_files_is_refused_and_a_typo_gets_a_hint() {
    let with = |property: &str| {
        let text = LEAST.replace(
            "{bootstrapServers: 'kafka:9092'}",
            &format!("{{bootstrapServers: 'kafka:9092', properties: {{{property}}}}}"),
        );
        dbg_join(&resolve(&parse(&text).unwrap()).unwrap_err())
    };
    assert!(with("ssl.ca.location: /etc/shadow").contains("ssl.ca.location is not one of the tuning keys"));
    assert!(with("fetch.min.byte: '1'").contains("Did you mean fetch.min.bytes?"));
}

#[test]
fn everything_wrong_is_said_at_once() {
    let violations =
        pipeline("  scaling: {mode: Manual, minReplicas: 2000}\n  delivery: {concurrency: 0}").unwrap_err();
    assert_eq!(violations.len(), 3, "{}", dbg_join(&violations));
}

#[test]
fn an_unknown_field_is_named_with_the_nearest_right_one() {
    let text = dbg_join(&parse(&format!("{LEAST}  delivery: {{concurency: 3}}")).unwrap_err());
    assert_eq!(
        text,
        "spec.delivery.concurency: is not a field of ConsumerPipeline v1alpha1; did you mean concurrency?"
    );
}

#[test]
fn text_that_is_no_pipeline_is_refused() {
    for (text, expected) in [("{", "is not YAML"), ("kind: Pod", "kind: is Pod"), ("", "kind: is missing")] {
        assert!(dbg_join(&parse(text).unwrap_err()).contains(expected), "{text}");
    }
}

#[test]
fn the_allow_list_holds_nothing_that_names_a_file_a_url_or_a_credential() {
    for key in ALLOWED_PROPERTIES {
        for part in [
            "location",
            "sasl",
            "password",
            "username",
            "plugin",
            "url",
            "pem",
            "servers",
            "group.id",
            "client.id",
            "enable.auto",
        ] {
            assert!(!key.contains(part), "{key}");
        }
    }
}

#[test]
fn the_page_of_properties_lists_those_that_are_allowed() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/kafka-properties.md");
    let mut page = String::from(
        "# Tuning properties\n\n<!-- Generated from crds/src/resolve/properties.rs by `make generate`. Do not edit. -->\n\n\
         `spec.kafka.properties` takes these, by librdkafka's names and with its values. They change how much and how often, never\n\
         where to or who: endpoints and credentials come from `spec.kafka` and its Secret alone, because the operator opens the same\n\
         client in its own pod.\n\n",
    );
    let mut allowed = ALLOWED_PROPERTIES;
    allowed.sort_unstable();
    page.extend(allowed.map(|property| ["- `", property, "`\n"].concat()));
    if std::env::var_os("PENSTOCK_GENERATE").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    assert!(std::fs::read_to_string(&path).unwrap_or_default() == page, "run `make generate` and commit");
}
