//! What the blueprint promises, seen from outside.
// `cfg(test)` on each module is how clippy.toml's leave for unwrap in tests reaches their helpers.

#[cfg(test)]
mod events;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod honesty;
#[cfg(test)]
mod restarts;
#[cfg(test)]
mod restricted;
#[cfg(test)]
mod world;
