//! Pure: a pipeline and what was settled about it become Kubernetes objects, and what happened becomes a status.
//!
//! [`render`] is infallible and looks at nothing but its arguments, so the same spec reached by any road gives the same bytes (O3). [`status`]
//! takes what was found out as plain [`Facts`], and time as an argument. There is no client, no clock and no I/O anywhere below.

mod change;
pub mod conditions;
mod facts;
mod hash;
mod objects;
mod reason;
mod render;
mod settled;
mod status;
mod worker_file;

pub use change::{Change, changed};
pub use facts::{Cause, Facts, Group, Hindrance, Objects, PodTrouble, Reachability, Trouble};
pub use objects::{Applied, ObjectSet, Prepared};
pub use reason::{EventType, Reason};
pub use render::{RENDERER, render, template_hash};
pub use settled::{GroupProtocol, Release, Settled};
pub use status::{learned, status};
pub use worker_file::worker_file;
