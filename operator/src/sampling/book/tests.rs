use penstock_kafka::settings::Connection;

use super::*;

fn config(servers: &str) -> ClientConfig {
    Connection::resolve(Some(servers), None, None, &BTreeMap::new()).unwrap().admin("t")
}

fn subscription(uid: &str, servers: &str, pace: Pace) -> Subscription {
    Subscription {
        uid: uid.to_owned(),
        pipeline: ObjectRef::new(uid).within("n"),
        config: config(servers),
        sources: vec!["t".to_owned()],
        targets: vec![],
        group: uid.to_owned(),
        read_committed: true,
        pace,
    }
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn nothing(round: &Round) -> Answers {
    Answers::none(round, at(0))
}

/// Lets one round be answered, and returns what it asked.
fn answered(book: &mut Book, now: Timestamp) -> Vec<(String, BTreeSet<Asked>)> {
    let (rounds, _) = book.due(now);
    for round in &rounds {
        book.note(&nothing(round));
    }
    let questions = rounds.into_iter().flat_map(|round| round.questions);
    questions.map(|question| (question.uid, question.asked)).collect()
}

#[test]
fn pipelines_of_one_cluster_share_a_round_and_are_asked_once_at_a_time() {
    let mut book = Book::default();
    book.follow(subscription("a", "k:1", Pace::Active), at(0));
    book.follow(subscription("b", "k:1", Pace::Active), at(0));
    book.follow(subscription("c", "other:1", Pace::Active), at(0));
    let (rounds, _) = book.due(at(0));
    assert_eq!(rounds.iter().map(|round| round.questions.len()).collect::<Vec<_>>(), [2, 1]);
    assert!(book.due(at(60_000)).0.is_empty(), "all of them are being asked");
    let fresh = book.note(&nothing(&rounds[0]));
    assert_eq!(fresh.len(), 2);
    assert_eq!(book.due(at(60_000)).0.len(), 1);
}

#[test]
fn active_pipelines_are_asked_every_five_seconds_and_resting_ones_for_their_end_alone_every_second() {
    let mut book = Book::default();
    book.follow(subscription("a", "k:1", Pace::Active), at(0));
    assert_eq!(answered(&mut book, at(0))[0].1.len(), 7);
    assert!(answered(&mut book, at(4_000)).is_empty());
    let asked = answered(&mut book, at(5_000)).remove(0).1;
    assert_eq!(asked, BTreeSet::from([Asked::LogEnd, Asked::StableEnd, Asked::Offsets]));

    assert!(book.follow(subscription("a", "k:1", Pace::Resting), at(5_000)));
    let asked = answered(&mut book, at(6_000)).remove(0).1;
    assert_eq!(asked, BTreeSet::from([Asked::LogEnd, Asked::StableEnd]));
}

#[test]
fn the_same_subscription_changes_nothing_and_another_group_makes_all_due() {
    let mut book = Book::default();
    book.follow(subscription("a", "k:1", Pace::Active), at(0));
    answered(&mut book, at(0));
    assert!(!book.follow(subscription("a", "k:1", Pace::Active), at(1)));
    assert!(answered(&mut book, at(1_000)).is_empty());
    assert!(book.follow(Subscription { group: "b".to_owned(), ..subscription("a", "k:1", Pace::Active) }, at(1)));
    assert_eq!(answered(&mut book, at(1_000))[0].1.len(), 7);
    book.hurry("a");
    assert_eq!(answered(&mut book, at(1_100))[0].1.len(), 7);
}

#[test]
fn answers_for_a_pipeline_that_went_or_moved_are_dropped() {
    let mut book = Book::default();
    book.follow(subscription("a", "k:1", Pace::Active), at(0));
    let (rounds, _) = book.due(at(0));
    book.follow(subscription("a", "other:1", Pace::Active), at(1));
    assert!(book.note(&nothing(&rounds[0])).is_empty());
    book.forget("a");
    assert!(book.note(&nothing(&rounds[0])).is_empty() && book.sample("a").is_none());
}

#[test]
fn sleep_ends_with_the_next_question() {
    let mut book = Book::default();
    book.follow(subscription("a", "k:1", Pace::Resting), at(0));
    answered(&mut book, at(0));
    let (rounds, sleep) = book.due(at(400));
    assert!(rounds.is_empty());
    assert_eq!(sleep, Duration::from_millis(600));
}
