use super::*;

const PLACE: Place<'static> =
    Place { cluster_id: "lkc-1", topic_id: 0x1234_5678_9abc, partition: 3, offset: 1000, leader_epoch: 7 };

fn full() -> Checkpoint {
    Checkpoint {
        owner: 12,
        done: vec![1001..1005, 1007..1008, 1100..1200],
        failing: vec![
            Failing { offset: 1000, attempts: 4, class: ErrorClass::Timeout, seconds: 90 },
            Failing { offset: 1005, attempts: 1, class: ErrorClass::ServerError, seconds: 2 },
        ],
        counters: Some(Counters {
            incarnation: u64::MAX,
            worker_millis: 86_400_000,
            processed: 1_000_000,
            busy_millis: 5_000_000,
            lane_blocked_millis: 17,
        }),
        gauges: Some(Gauges { in_flight: 64, oldest_call_millis: 1500, concurrency: 32 }),
        hold: Some(Hold {
            reason: HoldReason::DataLoss,
            class: ErrorClass::Unknown,
            seconds: 300,
            lost: Some(Lost { wanted: 1200, found: 7 }),
        }),
        parked: vec![
            ParkedKey { key: u64::MAX, generation: 0, letters: 1, expected: 1 },
            ParkedKey { key: 7, generation: 999, letters: 300, expected: 12 },
        ],
    }
}

#[test]
fn reads_back_what_was_written() {
    let encoded = encode(&full(), &PLACE, 1000);
    assert!(encoded.text.bytes().all(|byte| byte.is_ascii_graphic()), "{}", encoded.text);
    assert_eq!((encoded.done_cut, encoded.failing_left_out, encoded.parked_left_out), (false, 0, 0));
    assert_eq!(decode(&encoded.text, &PLACE), Ok(full()));
}

#[test]
fn a_checkpoint_opens_nowhere_but_where_it_was_written() {
    let text = encode(&full(), &PLACE, 1000).text;
    let other_log = Err(Rejected::OtherLog);
    assert_eq!(decode(&text, &Place { cluster_id: "lkc-2", ..PLACE }), other_log);
    assert_eq!(decode(&text, &Place { topic_id: 1, ..PLACE }), other_log);
    assert_eq!(decode(&text, &Place { partition: 4, ..PLACE }), other_log);
    assert_eq!(
        decode(&text, &Place { offset: 1001, ..PLACE }),
        Err(Rejected::OtherOffset { found: 1000, committed: 1001 })
    );
    assert_eq!(
        decode(&text, &Place { leader_epoch: 8, ..PLACE }),
        Err(Rejected::OtherEpoch { found: 7, committed: 8 })
    );
    assert_eq!(decode(&text, &Place { leader_epoch: -1, ..PLACE }), Ok(full()), "an unknown epoch is no mismatch");
}

#[test]
fn foreign_text_is_ignored() {
    assert_eq!(decode("", &PLACE), Err(Rejected::Empty));
    assert_eq!(decode("p1.", &PLACE), Err(Rejected::OtherLog));
    for foreign in ["bitset,AAA=", "{\"a\":1}", "p1.***", "p2.AAAA", "\u{1f980}", "p1.\u{1f980}"] {
        assert_eq!(decode(foreign, &PLACE), Err(Rejected::Foreign), "{foreign}");
    }
}

#[test]
fn no_prefix_of_a_checkpoint_opens() {
    let text = encode(&full(), &PLACE, 1000).text;
    for end in 0..text.len() {
        assert!(decode(&text[..end], &PLACE).is_err(), "cut at {end}");
    }
}

#[test]
fn every_limit_is_kept_and_claims_only_shrink() {
    let whole = full();
    for limit in 0..300 {
        let encoded = encode(&whole, &PLACE, limit);
        assert!(encoded.text.len() <= limit, "{} > {limit}", encoded.text.len());
        if encoded.text.is_empty() {
            continue;
        }
        let read = decode(&encoded.text, &PLACE).unwrap_or_else(|error| panic!("limit {limit}: {error}"));
        assert_eq!(read.owner, whole.owner);
        assert_eq!(encoded.done_cut, read.done != whole.done, "limit {limit}");
        assert_eq!(encoded.failing_left_out, whole.failing.len() - read.failing.len(), "limit {limit}");
        assert_eq!(encoded.parked_left_out, whole.parked.len() - read.parked.len(), "limit {limit}");
        assert!(whole.parked.starts_with(&read.parked), "limit {limit}");
        for run in &read.done {
            assert!(whole.done.iter().any(|all| all.start <= run.start && run.end <= all.end), "S8 at limit {limit}");
        }
    }
}

#[test]
fn under_pressure_single_failures_go_before_repeated_ones() {
    let mut checkpoint = Checkpoint { owner: 1, done: full().done, ..Checkpoint::default() };
    checkpoint.failing = (1000..1040)
        .map(|offset| Failing { offset, attempts: 1 + u32::from(offset == 1030), class: ErrorClass::Retry, seconds: 1 })
        .collect();
    let encoded = encode(&checkpoint, &PLACE, 48);
    let read = decode(&encoded.text, &PLACE).unwrap();
    assert_eq!(read.done, checkpoint.done);
    assert_eq!(read.failing.iter().map(|record| record.offset).collect::<Vec<_>>(), [1030]);
    assert_eq!(encoded.failing_left_out, 39);
}

#[test]
fn scattered_offsets_take_a_bitmap_and_wide_ones_runs() {
    let text_of = |done: Vec<Range<i64>>| {
        let checkpoint = Checkpoint { owner: 1, done, ..Checkpoint::default() };
        let text = encode(&checkpoint, &PLACE, 4096).text;
        assert_eq!(decode(&text, &PLACE), Ok(checkpoint));
        text.len()
    };
    assert!(text_of((0..1000).map(|n| 1001 + 2 * n..1002 + 2 * n).collect()) < 370, "2000 offsets, 250 bytes");
    assert!(text_of(vec![1001..5_000_000, 9_000_000_000..9_000_000_001]) < 40);
}

#[test]
fn an_older_reader_skips_what_it_does_not_know() {
    let mut body = vec![0; SEAL_BYTES];
    put_varint(&mut body, zigzag(PLACE.offset));
    put_varint(&mut body, zigzag(i64::from(PLACE.leader_epoch)));
    put_varint(&mut body, 5);
    put_section(&mut body, 200, b"from the future");
    put_section(&mut body, TAG_DONE_RUNS, &[0, 1, 0, 0]);
    let sealed = seal(&PLACE, &body[SEAL_BYTES..]);
    body[..SEAL_BYTES].copy_from_slice(&sealed.to_le_bytes());
    let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(&body));
    assert_eq!(
        decode(&text, &PLACE),
        Ok(Checkpoint { owner: 5, done: vec![1001..1003, 1004..1005], ..Checkpoint::default() })
    );
}

#[test]
fn no_head_is_longer_than_the_longest() {
    assert_eq!(head_bytes(i64::MIN, i32::MIN, u64::MAX), HEAD_BYTES_MAX);
    assert!(head_bytes(0, -1, 1) < HEAD_BYTES_MAX);
}

/// Whatever bytes stand under a right seal: an answer, never a panic, never an offset at or below the frontier.
#[test]
fn random_bodies_never_panic() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..200_000 {
        let frontier = if round % 2 == 0 { PLACE.offset } else { i64::MAX - (random() % 40).cast_signed() };
        let place = Place { offset: frontier, ..PLACE };
        let mut body = vec![0; SEAL_BYTES];
        put_varint(&mut body, zigzag(frontier));
        put_varint(&mut body, zigzag(i64::from(PLACE.leader_epoch)));
        for _ in 0..random() % 24 {
            body.push(if random() % 2 == 0 { (random() % 10) as u8 } else { (random() & 0xff) as u8 });
        }
        let sealed = seal(&place, &body[SEAL_BYTES..]);
        body[..SEAL_BYTES].copy_from_slice(&sealed.to_le_bytes());
        if let Ok(checkpoint) = decode(&format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(&body)), &place) {
            assert!(checkpoint.done.iter().all(|run| frontier < run.start && run.start < run.end));
            let again = encode(&checkpoint, &place, 4096);
            assert!(again.text.len() <= 4096);
        }
    }
}
