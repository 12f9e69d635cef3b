//! Stories with a fake clock, laws by proptest, and the small world that both run in.

use proptest::test_runner::{Config, RngSeed};

#[cfg(test)]
mod laws;
#[cfg(test)]
mod laws_of_one_decision;
#[cfg(test)]
mod stories;
#[cfg(test)]
mod world;

/// That many cases, the same ones in every run: a test that fails now and then tells nobody anything. `PROPTEST_CASES` and
/// `PROPTEST_RNG_SEED` look elsewhere.
fn cases(cases: u32) -> Config {
    let seed = std::env::var("PROPTEST_RNG_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(cases);
    Config { cases, rng_seed: RngSeed::Fixed(seed), failure_persistence: None, ..Config::default() }
}
