//! docs/reference/events.md is the enum, as a table.

use std::fmt::Write as _;
use std::path::Path;

use penstock_blueprint::Reason;
use penstock_scaling::{Limit, Reason as Why};

use crate::golden::matches;

const HEAD: &str = "# Events and reasons

What Penstock says in Events, and as the reasons of conditions. The words are part of the API: alerts and scripts may rely on them.
This page is made from the code (`operator/blueprint/src/reason.rs`, `operator/scaling/src/decision.rs`); a test fails when it differs.

| Reason | Type | What it means, and what to do |
| --- | --- | --- |
";

const SCALING: &str = "
## Reasons of the Scaling condition

Why the replicas are as many as they are: the condition's reason, and `status.decision.reason`.

| Reason | What it means |
| --- | --- |
";

const LIMITS: &str = "
## What keeps the number from being another

`status.decision.limitedBy`, and in the message of the Scaling condition.

| Limit | What it means, and what would lift it |
| --- | --- |
";

fn page() -> String {
    let mut page = HEAD.to_owned();
    for reason in Reason::ALL {
        writeln!(page, "| `{}` | {} | {} |", reason.as_str(), reason.event_type().as_str(), reason.meaning()).unwrap();
    }
    page.push_str(SCALING);
    for reason in Why::ALL {
        writeln!(page, "| `{}` | {} |", reason.as_str(), reason.sentence()).unwrap();
    }
    page.push_str(LIMITS);
    // The scaler knows a ceiling on the whole pipeline's records and calls, but the resource has no field for it, and the operator
    // gives none (`policy` in operator/src/decide.rs): nobody can meet this limit.
    for limit in Limit::ALL.into_iter().filter(|limit| *limit != Limit::RateLimit) {
        writeln!(page, "| `{}` | {} |", limit.as_str(), limit.sentence()).unwrap();
    }
    page
}

#[test]
fn the_page_is_what_the_code_says() {
    matches(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/events.md"), &page());
}

#[test]
fn the_words_are_those_that_the_api_takes() {
    for reason in Reason::ALL {
        let word = reason.as_str();
        assert!(word.starts_with(|first: char| first.is_ascii_uppercase()), "{word}");
        assert!(word.len() <= 128 && word.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{word}");
        assert!(reason.meaning().ends_with('.') && !reason.meaning().contains('|'), "{word}");
    }
}
