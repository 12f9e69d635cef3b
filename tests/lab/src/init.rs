//! The process that owns a lab: first in its PID, mount and network namespaces, parent of every component.
//!
//! When it dies, the kernel ends every process in the PID namespace and takes away the mounts and interfaces of the other two;
//! so to end the lab is to end one process, and nothing is ever looked up by name. Because the init is the parent of what it starts, a
//! component's PID cannot pass to a stranger before the init has buried it: signals go where they are meant to.

mod client;
mod namespaces;
mod protocol;
mod server;
mod services;

pub(crate) use client::Init;
pub use protocol::{Service, ServiceState, State};
pub use server::run;
