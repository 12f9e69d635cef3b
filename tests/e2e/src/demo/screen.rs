//! `kubectl get consumerpipelines --watch` on the screen, and what the READY column said.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use penstock_lab::Progress;

use crate::cluster::Cluster;
use crate::failure::{Context as _, Result};

/// What was read off the table.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ready {
    /// Workers that are ready now.
    pub(super) now: usize,
    /// The most that were.
    pub(super) peak: usize,
    /// When there were so many first.
    pub(super) peaked: Option<Instant>,
}

/// The table, printed line by line as the pipeline changes.
pub(super) struct Screen {
    kubectl: Child,
    printer: Option<JoinHandle<()>>,
    ready: Arc<Mutex<Ready>>,
}

impl Screen {
    /// Starts printing.
    pub(super) fn show(cluster: &Cluster, namespace: &str, progress: &Arc<Progress>) -> Result<Self> {
        let mut kubectl = cluster
            .lab()
            .command("kubectl")
            .args(["--namespace", namespace, "get", "consumerpipelines", "--watch"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting kubectl get --watch")?;
        let ready = Arc::new(Mutex::new(Ready::default()));
        let printer = kubectl.stdout.take().map(|stdout| {
            let (ready, progress) = (Arc::clone(&ready), Arc::clone(progress));
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(std::result::Result::ok) {
                    progress.say(&line);
                    if let Some(now) = ready_of(&line) {
                        ready.lock().unwrap_or_else(PoisonError::into_inner).see(now, Instant::now());
                    }
                }
            })
        });
        Ok(Self { kubectl, printer, ready })
    }

    /// What the table said last.
    pub(super) fn ready(&self) -> Ready {
        *self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // It may have ended by itself, with the API server or the lab.
        let _ = self.kubectl.kill();
        let _ = self.kubectl.wait();
        if let Some(printer) = self.printer.take() {
            let _ = printer.join();
        }
    }
}

impl Ready {
    fn see(&mut self, now: usize, at: Instant) {
        self.now = now;
        if now > self.peak {
            (self.peak, self.peaked) = (now, Some(at));
        }
    }
}

/// The first number of the READY column: 3 of `flights   3/12   12 …`.
fn ready_of(line: &str) -> Option<usize> {
    line.split_whitespace().nth(1)?.split_once('/')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_ready_workers_is_read_off_the_row() {
        assert_eq!(ready_of("flights   3/12    12           51203   9s   Auto   CatchingUp   41s"), Some(3));
        assert_eq!(ready_of("NAME      READY   PARTITIONS"), None);
        assert_eq!(ready_of("flights                                       1s"), None);
    }

    #[test]
    fn the_peak_stays() {
        let mut ready = Ready::default();
        let start = Instant::now();
        for now in [1, 12, 6] {
            ready.see(now, start);
        }
        assert_eq!((ready.now, ready.peak), (6, 12));
    }
}
