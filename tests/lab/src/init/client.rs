//! The init as seen from outside: found, started, talked to and ended.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde::{Deserialize, Serialize};

use super::protocol::{Answer, PROTOCOL, Request, Service, ServiceState};
use crate::dir::Dir;
use crate::error::{Context, Error, Result};
use crate::identity::{Identity, Process};

pub(super) const LOCK: &str = "init.lock";
pub(super) const RECORD: &str = "init.json";
pub(super) const CONTROL: &str = "control.sock";

/// How long an init may take from its first breath to its open socket. It takes about 50 ms.
const BIRTH: Duration = Duration::from_secs(20);

/// What the init writes down about itself before it does anything that could need cleaning up.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) identity: Identity,
    pub(super) protocol: u32,
}

/// A living init.
#[derive(Debug)]
pub(crate) struct Init {
    dir: Dir,
    record: Record,
    process: Process,
}

impl Init {
    /// The init that owns the folder, if one lives.
    pub(crate) fn find(dir: &Dir) -> Result<Option<Self>> {
        let end = Instant::now() + BIRTH;
        while is_claimed(dir)? {
            // It claims the folder first and says who it is a moment later.
            if let Some(record) =
                fs::read(dir.join(RECORD)).ok().and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok())
                && let Some(process) = record.identity.open()?
            {
                return Ok(Some(Self { dir: dir.clone(), record, process }));
            }
            if Instant::now() > end {
                return Err(Error::Conflict(format!(
                    "something holds {} but does not say who it is",
                    dir.join(LOCK).display()
                )));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(None)
    }

    /// Starts an init for the folder and waits until it answers. `program` is the `lab` binary.
    pub(crate) fn start(dir: &Dir, program: &Path) -> Result<Self> {
        let log = dir.log("init");
        fs::create_dir_all(dir.join("log")).during(|| format!("making {}", dir.join("log").display()))?;
        let output = File::create(&log).during(|| format!("writing {}", log.display()))?;
        let mut child = Command::new("unshare")
            .args(["--pid", "--mount", "--net", "--fork", "--kill-child=SIGKILL"])
            .arg(program)
            .args(["init", "--dir"])
            .arg(dir.path())
            .stdin(Stdio::null())
            .stdout(output.try_clone().during(|| "sharing a log".to_owned())?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .during(|| "starting unshare (of util-linux)".to_owned())?;
        Self::await_socket(dir, &mut child)
    }

    fn await_socket(dir: &Dir, child: &mut Child) -> Result<Self> {
        let end = Instant::now() + BIRTH;
        while Instant::now() < end {
            if child.try_wait().during(|| "waiting for the init".to_owned())?.is_some() {
                break;
            }
            if dir.join(CONTROL).exists()
                && let Some(init) = Self::find(dir)?
                && init.list().is_ok()
            {
                return Ok(init);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(Error::NotReady { what: "the lab's init".to_owned(), limit: BIRTH, log: dir.log_tail("init") })
    }

    /// Refuses an init that speaks another version of the protocol.
    pub(crate) fn understood(self) -> Result<Self> {
        if self.record.protocol == PROTOCOL {
            return Ok(self);
        }
        Err(Error::Conflict(
            "this lab was started by another version of `lab`; take it down first: lab down".to_owned(),
        ))
    }

    /// The init's PID outside the lab: nsenter(1) enters by it.
    pub(crate) fn pid(&self) -> i32 {
        self.record.identity.pid
    }

    /// Moves the calling thread, and threads it starts later, into the lab's network.
    pub(crate) fn enter_network(&self) -> Result<()> {
        let path = format!("/proc/{}/ns/net", self.pid());
        let link = File::open(&path).during(|| format!("opening {path}"))?;
        if self.process.has_ended(Duration::ZERO) {
            return Err(Error::NotUp(self.dir.path().to_owned()));
        }
        move_into_link_name_space(link.as_fd(), Some(LinkNameSpaceType::Network))
            .during(|| "entering the lab's network (as root?)".to_owned())
    }

    /// Starts a service; false if it already runs.
    pub(crate) fn start_service(&self, service: Service) -> Result<bool> {
        self.done(&Request::Start(service))
    }

    /// Sends a signal by number; false if the service has ended.
    pub(crate) fn signal(&self, name: &str, signal: rustix::process::Signal) -> Result<bool> {
        self.done(&Request::Signal { name: name.to_owned(), signal: signal.as_raw() })
    }

    /// Whether the service ends within the limit.
    pub(crate) fn await_end(&self, name: &str, limit: Duration) -> Result<bool> {
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        self.done(&Request::AwaitEnd { name: name.to_owned(), limit_ms })
    }

    /// Every service ever started.
    pub(crate) fn list(&self) -> Result<Vec<ServiceState>> {
        match self.ask(&Request::List)? {
            Answer::Services(services) => Ok(services),
            other => Err(Error::Refused(format!("{other:?}"))),
        }
    }

    /// Ends the init, and with it all that lives in its namespaces.
    pub(crate) fn end(&self) -> Result<()> {
        self.process.kill()?;
        if self.process.has_ended(Duration::from_secs(30)) {
            return Ok(());
        }
        Err(Error::Conflict(format!(
            "the init (PID {}) was killed but does not end; a process in it hangs in the kernel",
            self.pid()
        )))
    }

    fn done(&self, request: &Request) -> Result<bool> {
        match self.ask(request)? {
            Answer::Done(done) => Ok(done),
            Answer::Refused(why) => Err(Error::Refused(why)),
            Answer::Services(_) => Err(Error::Refused("an answer to another question".to_owned())),
        }
    }

    fn ask(&self, request: &Request) -> Result<Answer> {
        let exchange = || -> std::io::Result<Answer> {
            let mut stream = UnixStream::connect(self.dir.join(CONTROL))?;
            let mut line = serde_json::to_string(request)?;
            line.push('\n');
            stream.write_all(line.as_bytes())?;
            let mut answer = String::new();
            BufReader::new(stream).read_line(&mut answer)?;
            Ok(serde_json::from_str(&answer)?)
        };
        exchange().during(|| "talking to the lab's init".to_owned())
    }
}

/// Whether a living init holds the folder.
fn is_claimed(dir: &Dir) -> Result<bool> {
    let path = dir.join(LOCK);
    match File::options().append(true).open(&path) {
        Ok(file) => Ok(flock(&file, FlockOperation::NonBlockingLockShared).is_err()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).during(|| format!("opening {}", path.display())),
    }
}
