//! A process named beyond doubt. A PID alone is not enough: the kernel gives it to a stranger once its owner has ended.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Result};

/// PID, start time and boot: no two processes have all three in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) pid: i32,
    /// Clock ticks after boot (proc(5), field 22 of stat).
    pub(crate) start_ticks: u64,
    pub(crate) boot_id: String,
}

impl Identity {
    /// Who the caller is, as the mounted /proc numbers it. In a fresh PID namespace that still sees its parent's /proc, this is
    /// the number by which the outside knows it.
    pub(crate) fn of_caller() -> Result<Self> {
        let text = fs::read_to_string("/proc/self/stat").during(|| "reading /proc/self/stat".to_owned())?;
        let (pid, start_ticks) =
            parse_stat(&text).ok_or_else(|| Error::Refused(format!("odd /proc/self/stat: {text}")))?;
        Ok(Self { pid, start_ticks, boot_id: boot_id()? })
    }

    /// A handle on the process, if it is still the one meant. The handle never comes to mean another.
    pub(crate) fn open(&self) -> Result<Option<Process>> {
        let Some(pid) = Pid::from_raw(self.pid).filter(|_| boot_id().is_ok_and(|id| id == self.boot_id)) else {
            return Ok(None);
        };
        // First the handle, then the question who it is: the other way round, the PID could change hands in between.
        let handle = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => handle,
            Err(Errno::SRCH | Errno::INVAL) => return Ok(None),
            Err(error) => return Err(error).during(|| format!("opening process {}", self.pid)),
        };
        let same = fs::read_to_string(format!("/proc/{}/stat", self.pid))
            .ok()
            .and_then(|text| parse_stat(&text))
            .is_some_and(|(_, start_ticks)| start_ticks == self.start_ticks);
        let process = Process(handle);
        Ok((same && !process.has_ended(Duration::ZERO)).then_some(process))
    }
}

/// A process that was running when it was opened.
#[derive(Debug)]
pub(crate) struct Process(OwnedFd);

impl Process {
    /// SIGKILL; one that has just ended is fine.
    pub(crate) fn kill(&self) -> Result<()> {
        match pidfd_send_signal(&self.0, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error).during(|| "ending the lab's init".to_owned()),
        }
    }

    /// Waits until the process has ended, at most so long. For the init of a PID namespace that means: and all in it.
    pub(crate) fn has_ended(&self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let timeout = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            };
            match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&timeout)) {
                Ok(0) => return false,
                Ok(_) => return true,
                Err(Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }
}

fn boot_id() -> Result<String> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    let text = fs::read_to_string(path).during(|| format!("reading {}", path.display()))?;
    Ok(text.trim().to_owned())
}

/// PID and start time out of a line of /proc/PID/stat. The name in the middle may hold blanks and brackets, so it is skipped from
/// its end.
fn parse_stat(text: &str) -> Option<(i32, u64)> {
    let pid = text.split(' ').next()?.parse().ok()?;
    let after_name = &text[text.rfind(')')? + 1..];
    Some((pid, after_name.split_whitespace().nth(19)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_process_may_look_like_the_rest_of_the_line() {
        let line = "77 (a) S 1 (b) S 1 77 77 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 9 9";
        assert_eq!(parse_stat(line), Some((77, 4711)));
        assert_eq!(parse_stat("77 (cut"), None);
    }

    #[test]
    fn a_reused_pid_is_not_mistaken_for_its_former_owner() {
        let me = Identity::of_caller().unwrap();
        assert!(me.open().unwrap().is_some());
        assert!(Identity { start_ticks: me.start_ticks + 1, ..me.clone() }.open().unwrap().is_none());
        assert!(Identity { boot_id: "an earlier boot".to_owned(), ..me }.open().unwrap().is_none());
    }

    #[test]
    fn the_end_of_a_process_is_seen_and_remembered() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let (_, start_ticks) = parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).unwrap()).unwrap();
        let identity = Identity { pid, start_ticks, boot_id: boot_id().unwrap() };
        let process = identity.open().unwrap().unwrap();
        assert!(!process.has_ended(Duration::ZERO));
        process.kill().unwrap();
        assert!(process.has_ended(Duration::from_secs(10)));
        assert!(identity.open().unwrap().is_none(), "a zombie is not a running process");
        child.wait().unwrap();
        process.kill().unwrap();
    }
}
