//! Stories and laws: the limiter before servers that behave in known ways. Virtual time, a closed loop: whenever the limit
//! allows another call there is one.

use core::cmp::Reverse;
use core::time::Duration;
use std::collections::{BinaryHeap, VecDeque};

use super::Limiter;
use crate::simulation::rng::Rng;
use crate::time::Instant;

const CONFIGURED: u32 = 64;

/// How long a call takes once a server is free for it, microseconds.
#[derive(Clone, Copy, Debug)]
enum Service {
    Fixed(u64),
    /// A mean.
    Exponential(u64),
    /// Mostly the first, now and then (in so many of a hundred) the second.
    Either(u64, u64, usize),
}

/// A processor with so many workers behind a queue.
struct World {
    workers: usize,
    service: Service,
    limiter: Limiter,
    rng: Rng,
    /// Microseconds.
    now: u64,
    queue: VecDeque<u64>,
    /// Ends, and when that call was made.
    running: BinaryHeap<Reverse<(u64, u64)>>,
    calls: u64,
    done: u64,
    waited: u64,
    /// Limit × microseconds.
    limits: u64,
    /// Most calls that there is work for.
    offered: u32,
}

/// What some time brought.
#[derive(Clone, Copy, Debug)]
struct Seen {
    per_second: f64,
    latency_millis: f64,
    limit: f64,
}

impl World {
    fn new(seed: u64, workers: usize, service: Service) -> Self {
        Self {
            workers,
            service,
            limiter: Limiter::new(CONFIGURED),
            rng: Rng::new(seed),
            now: 0,
            queue: VecDeque::new(),
            running: BinaryHeap::new(),
            calls: 0,
            done: 0,
            waited: 0,
            limits: 0,
            offered: u32::MAX,
        }
    }

    fn in_flight(&self) -> u32 {
        u32::try_from(self.queue.len() + self.running.len()).unwrap()
    }

    fn takes(&mut self) -> u64 {
        match self.service {
            Service::Fixed(micros) => micros,
            Service::Exponential(mean) => {
                let uniform = (self.rng.below(1 << 30) as f64 + 1.0) / f64::from(1 << 30);
                u64::try_from(Duration::from_micros(mean).mul_f64(-uniform.ln()).as_micros()).unwrap()
            }
            Service::Either(most, some, percent) => {
                if self.rng.percent(percent) {
                    some
                } else {
                    most
                }
            }
        }
    }

    fn fill(&mut self, limit: u32) {
        while self.in_flight() < limit.min(self.offered) {
            self.queue.push_back(self.now);
            self.calls += 1;
        }
        while self.running.len() < self.workers {
            let Some(made) = self.queue.pop_front() else { break };
            let ends = self.now + self.takes();
            self.running.push(Reverse((ends, made)));
        }
    }

    /// One event, and the turn that it causes.
    fn step(&mut self, fixed: Option<u32>) {
        let before = self.in_flight();
        let limit = fixed.unwrap_or_else(|| self.limiter.limit());
        self.fill(limit);
        let before = before.max(self.in_flight());
        let Reverse((at, made)) = self.running.pop().unwrap();
        self.limits += u64::from(limit) * (at - self.now);
        self.now = at;
        let now = Instant::from_nanos(at * 1000);
        self.limiter.turn(before, self.calls, now);
        self.limiter.accepted();
        self.done += 1;
        self.waited += at - made;
        self.fill(fixed.unwrap_or_else(|| self.limiter.limit()));
    }

    fn seen(&mut self, seconds: u64, fixed: Option<u32>) -> Seen {
        let (began, done, waited, limits) = (self.now, self.done, self.waited, self.limits);
        while self.now < began + seconds * 1_000_000 {
            self.step(fixed);
        }
        let (elapsed, done) = ((self.now - began) as f64, (self.done - done) as f64);
        Seen {
            per_second: done / elapsed * 1e6,
            latency_millis: (self.waited - waited) as f64 / done / 1e3,
            limit: (self.limits - limits) as f64 / elapsed,
        }
    }

    fn run(&mut self, seconds: u64) -> Seen {
        self.seen(seconds, None)
    }
}

/// The same server with the configured limit all the time.
fn unlimited(workers: usize, service: Service, seconds: u64) -> Seen {
    World::new(99, workers, service).seen(seconds, Some(CONFIGURED))
}

#[test]
fn a_queue_of_our_own_goes_and_takes_no_throughput_with_it() {
    for (seed, service) in
        [(1, Service::Fixed(20_000)), (2, Service::Exponential(20_000)), (3, Service::Exponential(100_000))]
    {
        let all = unlimited(8, service, 300);
        let mut world = World::new(seed, 8, service);
        world.run(300);
        let seen = world.run(600);
        println!("{service:?}: {all:?} -> {seen:?}");
        assert!((8.0..=18.0).contains(&seen.limit), "{service:?}: {seen:?}");
        assert!(seen.per_second >= 0.95 * all.per_second, "{service:?}: {seen:?}, {all:?}");
        assert!(seen.latency_millis <= 0.35 * all.latency_millis, "{service:?}: {seen:?}, {all:?}");
    }
}

#[test]
fn a_server_whose_latency_is_its_own_keeps_all_it_is_configured_for() {
    let services = [
        Service::Fixed(5_000),
        Service::Fixed(100_000),
        Service::Fixed(2_000_000),
        Service::Exponential(100_000),
        Service::Either(1_000, 100_000, 50),
        Service::Either(10_000, 3_000_000, 2),
    ];
    for (seed, service) in (1..).zip(services) {
        // As many as the calls, and more.
        for workers in [64, 1000] {
            let all = unlimited(workers, service, 2000);
            let mut world = World::new(seed, workers, service);
            let seen = world.run(2000);
            println!("{service:?}, {workers}: {all:?} -> {seen:?}");
            assert!(seen.per_second >= 0.98 * all.per_second, "{service:?}, {workers}: {seen:?}, {all:?}");
            assert!(seen.limit >= 0.98 * f64::from(CONFIGURED), "{service:?}, {workers}: {seen:?}");
        }
    }
}

#[test]
fn throughput_that_grows_with_every_call_is_not_given_away() {
    // Between the two: some of the calls queue.
    for (seed, workers) in (1..).zip([24, 32, 40, 48, 56]) {
        let service = Service::Exponential(100_000);
        let all = unlimited(workers, service, 1000);
        let seen = World::new(seed, workers, service).run(1000);
        println!("{workers}: {all:?} -> {seen:?}");
        assert!(seen.per_second >= 0.96 * all.per_second, "{workers}: {seen:?}, {all:?}");
    }
}

#[test]
fn a_server_that_gets_faster_gets_more() {
    let service = Service::Exponential(50_000);
    let mut world = World::new(5, 8, service);
    world.run(300);
    assert!(world.limiter.limit() <= 16);
    world.workers = 64;
    world.run(120);
    let (seen, all) = (world.run(200), unlimited(64, service, 200));
    assert!(seen.limit >= 0.95 * f64::from(CONFIGURED), "{seen:?}");
    assert!(seen.per_second >= 0.95 * all.per_second, "{seen:?}, {all:?}");
}

#[test]
fn a_server_that_gets_slower_gets_less() {
    let service = Service::Exponential(50_000);
    let mut world = World::new(6, 64, service);
    assert!(world.run(300).limit > 60.0);
    world.workers = 8;
    world.run(300);
    let seen = world.run(200);
    assert!((8.0..=18.0).contains(&seen.limit), "{seen:?}");
}

#[test]
fn a_limit_that_was_found_stays() {
    let service = Service::Exponential(50_000);
    let mut world = World::new(7, 8, service);
    world.run(300);
    let mut limits = Vec::new();
    for _ in 0..3000 {
        world.run(1);
        limits.push(world.limiter.limit());
    }
    let usual = limits.iter().filter(|limit| (8..=16).contains(*limit)).count();
    let most = limits.iter().max().unwrap();
    println!("{usual} of 3000, at most {most}");
    assert!(usual >= 2600 && *most <= 32, "{usual} of 3000 seconds");
}

#[test]
fn no_measurement_lowers_it_below_an_eighth() {
    let mut world = World::new(8, 1, Service::Fixed(20_000));
    world.run(600);
    let seen = world.run(600);
    assert!((8.0..=10.0).contains(&seen.limit), "{seen:?}");
}

#[test]
fn too_few_calls_to_fill_the_slots_teach_nothing_and_forget_what_was_learned() {
    let service = Service::Exponential(50_000);
    let mut world = World::new(9, 8, service);
    world.run(300);
    world.offered = 6;
    world.run(100);
    assert_eq!(world.limiter.limit(), CONFIGURED);
    world.run(1000);
    assert_eq!(world.limiter.limit(), CONFIGURED);
}

#[test]
fn while_the_processor_says_that_it_is_overloaded_nothing_is_tried() {
    let service = Service::Exponential(50_000);
    let mut world = World::new(10, 8, service);
    for second in 1..200_u64 {
        world.run(1);
        world.limiter.overloaded(Instant::from_millis(world.now / 1000 + second));
        assert!(world.limiter.asked_for() < CONFIGURED);
        assert_eq!(world.limiter.limit(), world.limiter.asked_for(), "the lower limit is its own");
    }
}

#[test]
fn slots_that_are_held_back_count_as_busy() {
    let mut world = World::new(11, 8, Service::Exponential(50_000));
    assert_eq!(world.limiter.slot_weight(), super::WHOLE);
    world.run(300);
    let weight = world.limiter.slot_weight() * u64::from(world.limiter.limit());
    assert!(weight.abs_diff(super::WHOLE * u64::from(CONFIGURED)) <= u64::from(CONFIGURED));
}

#[test]
fn trials_of_one_limiter_are_those_of_another() {
    let limits = || {
        let mut world = World::new(12, 8, Service::Exponential(50_000));
        (0..100).map(|_| world.run(1).limit.to_bits()).collect::<Vec<_>>()
    };
    assert_eq!(limits(), limits());
}
