//! The init's table of services. One lock covers starting, signalling and burying, so that a PID in the table is never a stranger's.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process, wait, waitid};

use super::protocol::{Service, ServiceState, State};

/// With no child left there is nothing to wait on; orphans of programs run by `lab exec` may still arrive.
const ORPHAN_CHECK: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Services {
    table: Mutex<BTreeMap<String, ServiceState>>,
    changed: Condvar,
}

impl Services {
    /// Starts a service; false if it already runs.
    pub(super) fn start(&self, service: &Service) -> Result<bool, String> {
        let mut table = self.lock();
        if table.get(&service.name).is_some_and(|known| known.state == State::Running) {
            return Ok(false);
        }
        let pid = spawn(service).map_err(|error| format!("starting {}: {error}", service.name))?;
        let state = ServiceState { name: service.name.clone(), pid, state: State::Running };
        table.insert(service.name.clone(), state);
        self.changed.notify_all();
        Ok(true)
    }

    /// Sends a signal; false if the service has ended.
    pub(super) fn signal(&self, name: &str, signal: i32) -> Result<bool, String> {
        let table = self.lock();
        let known = table.get(name).ok_or_else(|| format!("no service is called {name}"))?;
        if known.state != State::Running {
            return Ok(false);
        }
        let signal = Signal::from_named_raw(signal).ok_or_else(|| format!("{signal} is no signal"))?;
        let pid = Pid::from_raw(known.pid).ok_or("a service without a PID")?;
        kill_process(pid, signal).map(|()| true).map_err(|error| format!("signalling {name}: {error}"))
    }

    /// Whether the service ends within the limit.
    pub(super) fn await_end(&self, name: &str, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        let mut table = self.lock();
        while table.get(name).is_some_and(|known| known.state == State::Running) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            (table, _) = self.changed.wait_timeout(table, left).unwrap_or_else(PoisonError::into_inner);
        }
        true
    }

    pub(super) fn list(&self) -> Vec<ServiceState> {
        self.lock().values().cloned().collect()
    }

    /// Buries every child that has ended, services and orphans alike, for ever.
    pub(super) fn reap(&self) -> ! {
        loop {
            // NOWAIT leaves the dead where they are until the lock is held: till then their PIDs stay theirs.
            match waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
                Ok(_) => self.bury(),
                Err(Errno::INTR) => {}
                Err(_) => {
                    let table = self.lock();
                    drop(self.changed.wait_timeout(table, ORPHAN_CHECK));
                }
            }
        }
    }

    fn bury(&self) {
        let mut table = self.lock();
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let running =
                |known: &&mut ServiceState| known.pid == pid.as_raw_nonzero().get() && known.state == State::Running;
            if let Some(known) = table.values_mut().find(running) {
                known.state = status
                    .terminating_signal()
                    .map_or(State::Exited(status.exit_status().unwrap_or(-1)), State::Killed);
            }
        }
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, ServiceState>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn spawn(service: &Service) -> std::io::Result<i32> {
    if let Some(folder) = service.log.parent() {
        fs::create_dir_all(folder)?;
    }
    let log = File::options().create(true).append(true).open(&service.log)?;
    let child = Command::new(&service.program)
        .arg0(&service.called)
        .args(&service.arguments)
        .envs(&service.environment)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()?;
    i32::try_from(child.id()).map_err(std::io::Error::other)
}
