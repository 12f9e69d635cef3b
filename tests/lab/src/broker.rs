//! One Kafka node of a lab, and the faults that can befall it.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rustix::process::Signal;

use crate::components::{Components, broker_name};
use crate::error::{Error, Result};
use crate::lab::Lab;
use crate::layout::{Listener, NODE, NODE_ADDRESS};
use crate::wait::until;

/// A controlled shutdown moves leaderships first; Kafka gives it this long by default.
const SHUTDOWN: Duration = Duration::from_secs(60);
const DEATH: Duration = Duration::from_secs(10);
const QUESTION: Duration = Duration::from_millis(1_000);

/// One Kafka node.
#[derive(Debug, Clone, Copy)]
pub struct Broker<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) id: u8,
}

impl Broker<'_> {
    /// Its `node.id`, from 1.
    pub fn id(&self) -> u8 {
        self.id
    }

    /// Its address for clients.
    pub fn address(&self) -> String {
        format!("{NODE}:{}", Listener::Plaintext.port(self.id))
    }

    /// Starts it, unless it runs, and waits until it serves clients.
    pub fn start(&self, limit: Duration) -> Result<()> {
        self.launch()?;
        self.await_ready(limit)
    }

    /// Starts it, unless it runs.
    pub(crate) fn launch(&self) -> Result<()> {
        let components = Components { dir: &self.lab.dir, artifacts: &self.lab.artifacts };
        self.lab.init.start_service(components.broker(self.id, self.lab.shape.brokers)).map(drop)
    }

    /// SIGTERM, and waits for its end: a controlled shutdown, as in a rolling restart.
    pub fn stop(&self) -> Result<()> {
        self.end(Signal::TERM, SHUTDOWN)
    }

    /// SIGKILL, and waits for its end: a crash. What it had not flushed is kept by the operating system, as after a real crash of
    /// the process alone.
    pub fn kill(&self) -> Result<()> {
        self.end(Signal::KILL, DEATH)
    }

    /// SIGSTOP: it hangs with its connections open, as with a long garbage collection or a stalled disk.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT after [`Broker::pause`].
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Waits until the broker answers a client and counts itself among the brokers.
    pub fn await_ready(&self, limit: Duration) -> Result<()> {
        let name = broker_name(self.id);
        until(&name, limit, &self.lab.dir, || {
            self.lab.alive(&name)?;
            self.is_ready()
        })
    }

    /// Whether it serves clients at this moment.
    pub fn is_ready(&self) -> Result<bool> {
        self.lab.inside(|| {
            let address = SocketAddr::from((NODE_ADDRESS, Listener::Plaintext.port(self.id)));
            if TcpStream::connect_timeout(&address, QUESTION).is_err() {
                return Ok(false);
            }
            let client: BaseConsumer = ClientConfig::new()
                .set("bootstrap.servers", self.address())
                .create()
                .map_err(|source| Error::Kafka { what: format!("making a client for {}", self.address()), source })?;
            let metadata = client.fetch_metadata(None, QUESTION);
            Ok(metadata.is_ok_and(|metadata| metadata.brokers().iter().any(|broker| broker.id() == i32::from(self.id))))
        })
    }

    fn end(&self, signal: Signal, limit: Duration) -> Result<()> {
        let name = broker_name(self.id);
        if self.lab.init.signal(&name, signal)? && !self.lab.init.await_end(&name, limit)? {
            return Err(Error::NotReady {
                what: format!("the end of {name}"),
                limit,
                log: self.lab.dir.log_tail(&name),
            });
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let name = broker_name(self.id);
        if self.lab.init.signal(&name, signal)? {
            return Ok(());
        }
        Err(Error::Conflict(format!("{name} is not running; start it: lab kafka start {}", self.id)))
    }
}
