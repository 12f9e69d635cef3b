//! The lab: a real Kubernetes cluster and a real Kafka on this machine, as a library and a program.
//!
//! Everything runs in PID, mount and network namespaces of its own, owned by one init process, from programs that come out of package
//! registries alone; see README.md beside this crate for what is where. A test uses a lab that is up:
//!
//! ```no_run
//! # fn main() -> penstock_lab::Result<()> {
//! let lab = penstock_lab::Lab::current()?;
//! lab.enter_network()?; // this thread, and those it starts, are now beside the API server and the brokers
//! let brokers = lab.bootstrap_servers();
//! lab.command("kubectl").args(["get", "nodes"]).status().ok();
//! lab.broker(1).kill()?;
//! # Ok(()) }
//! ```

mod artifacts;
mod broker;
mod cgroup;
mod command;
mod components;
mod digest;
mod dir;
mod down;
mod error;
mod identity;
mod image;
mod init;
mod kafka;
mod lab;
mod layout;
mod pki;
mod preflight;
mod progress;
mod render;
mod up;
mod wait;

pub use broker::Broker;
pub use dir::{Cache, Dir};
pub use down::down;
pub use error::{Error, Result};
pub use image::{Image, Oci};
pub use init::{Service, ServiceState, State, run as run_init};
pub use kafka::{GroupTopic, Kafka, Record, Sender, Topic};
pub use lab::{Certificates, Lab, Shape};
pub use layout::{
    KAFKA as KAFKA_VERSION, KAFKA_PASSWORD, KAFKA_USER, KUBERNETES as KUBERNETES_VERSION, Listener, MAX_BROKERS, NODE,
    NODE_NAME,
};
pub use progress::Progress;
