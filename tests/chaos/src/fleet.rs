//! The workers: real processes of one group, each with a pipeline file, a processor's port and a log of its own.

mod metrics;
mod pipeline;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::cluster::Cluster;
use crate::error::{During as _, Error, Result};
use crate::history::{Disturbance, Micros, Worker, micros};
use crate::plan::{Plan, SESSION_TIMEOUT, SLOTS};
use crate::processor::{Processor, now};

/// A worker that goes on has done what had come due meanwhile.
const AWAKE: Duration = Duration::from_secs(1);
/// The worker's program, as short as Linux's limit of 15 bytes for the name of a process.
const PROGRAM: &str = "penstock-worker";
/// The same with a handler that is compiled in.
const QUICK_PROGRAM: &str = "chaos-asks";
/// What a worker may use.
pub const MEMORY_BYTES: u64 = 96 << 20;
/// From SIGTERM to the end, by Kubernetes' default.
pub const GRACE: Duration = Duration::from_secs(60);

/// The processes of a round.
pub struct Fleet<'a> {
    plan: &'a Plan,
    names: &'a Names,
    processor: &'a Processor,
    program: PathBuf,
    folder: PathBuf,
    /// `spec.kafka` but for its properties.
    kafka: String,
    /// Who works where.
    slots: [Option<usize>; SLOTS],
    live: Vec<Live>,
    /// Pauses and kills so far.
    pub disturbances: Vec<Disturbance>,
}

/// What a round's topics and group are called.
#[derive(Clone, Debug)]
pub struct Names {
    /// The source topics.
    pub sources: Vec<String>,
    /// The dead-letter topic.
    pub letters: String,
    /// The output topic.
    pub output: String,
    /// The group.
    pub group: String,
}

impl Names {
    /// The topic that grows.
    pub fn first_source(&self) -> &str {
        self.sources.first().map(String::as_str).unwrap_or_default()
    }

    /// A topic's place among the sources.
    pub fn place(&self, topic: &str) -> Option<usize> {
        self.sources.iter().position(|one| one == topic)
    }
}

/// What became of the workers.
#[derive(Debug)]
pub struct Lives {
    /// Each of them, by number.
    pub workers: Vec<Worker>,
    /// What was done to them.
    pub disturbances: Vec<Disturbance>,
    /// When their logs say that they lost partitions unasked.
    pub losses: Vec<Disturbance>,
}

struct Live {
    child: Child,
    worker: Worker,
    log: PathBuf,
    paused: Option<Micros>,
}

impl Live {
    fn runs(&self) -> bool {
        self.worker.ended.is_none()
    }

    /// Notes what it has counted, before that goes with it. Whoever does not answer has broken no promise.
    fn ask(&mut self) {
        match metrics::read(self.child.id(), now().saturating_sub(self.worker.started)) {
            Ok(metrics) => self.worker.metrics = metrics,
            Err(error) => self.worker.mute = Some(error.to_string()),
        }
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        pid.map_or(Ok(()), |pid| kill_process(pid, signal)).during("signalling a worker")
    }
}

/// The `penstock-worker` that was built with this program.
pub fn worker_program() -> Result<PathBuf> {
    program(PROGRAM)
}

fn program(name: &str) -> Result<PathBuf> {
    // Programs are beside this one, and one folder above tests.
    let own = std::env::current_exe().during("finding this program")?;
    let mut beside = own.ancestors().skip(1).take(2).map(|folder| folder.join(name));
    let what = || format!("no {name} near {}; build it: cargo build --release --bins", own.display());
    beside.find(|program| program.is_file()).ok_or_else(|| Error::Evidence(what()))
}

impl<'a> Fleet<'a> {
    /// No workers yet; their files go to `folder`.
    ///
    /// # Errors
    /// There is no worker program, or no folder can be made.
    pub fn new(
        plan: &'a Plan,
        names: &'a Names,
        processor: &'a Processor,
        cluster: &Cluster,
        folder: &Path,
    ) -> Result<Self> {
        let secret = folder.join("secret");
        fs::create_dir_all(&secret).during("making a folder")?;
        for (name, content) in cluster.credentials()? {
            fs::write(secret.join(name), content).during("writing credentials")?;
        }
        Ok(Self {
            plan,
            names,
            processor,
            program: program(program_name(plan))?,
            folder: folder.to_owned(),
            kafka: pipeline::kafka(plan, cluster),
            slots: [None; SLOTS],
            live: Vec::new(),
            disturbances: Vec::new(),
        })
    }

    /// Starts a worker in a slot, beside one that is on its way out.
    ///
    /// # Errors
    /// The operating system's.
    pub fn start(&mut self, slot: usize) -> Result<()> {
        let number = self.live.len();
        let port = self.processor.open(u32::try_from(number).unwrap_or(u32::MAX))?;
        let file = self.folder.join(format!("worker-{number}.yaml"));
        fs::write(&file, pipeline::text(self.plan, self.names, &self.kafka, port)).during("writing a pipeline")?;
        let log = self.folder.join(format!("worker-{number}.log"));
        let output = File::create(&log).during("making a log")?;
        // Tied to this process: no worker outlives the harness, however that ends.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&self.program)
            .args(["--log-format", "json", "run"])
            .arg(&file)
            .arg("--secret-dir")
            .arg(self.folder.join("secret"))
            .args(["--http", "127.0.0.1:0", "--termination-log"])
            .arg(self.folder.join(format!("worker-{number}.end")))
            .env("PENSTOCK_MEMORY_BYTES", MEMORY_BYTES.to_string())
            .env("PROCESSOR", format!("127.0.0.1:{port}")) // for those whose pipeline does not name it
            .stdin(Stdio::null())
            .stdout(output.try_clone().during("sharing a log")?)
            .stderr(output)
            .spawn()
            .during("starting a worker")?;
        self.live.push(Live { child, worker: Worker { started: now(), ..Worker::default() }, log, paused: None });
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(number);
        }
        Ok(())
    }

    /// Starts a worker in a slot where nobody works.
    ///
    /// # Errors
    /// The operating system's.
    pub fn fill(&mut self, slot: usize) -> Result<()> {
        if self.works(slot) { Ok(()) } else { self.start(slot) }
    }

    fn at(&mut self, slot: usize) -> Option<&mut Live> {
        let number = (*self.slots.get(slot)?)?;
        self.live.get_mut(number).filter(|live| live.runs())
    }

    /// Whether a worker that was not told to stop runs in that slot.
    fn works(&self, slot: usize) -> bool {
        let live = self.slots.get(slot).copied().flatten().and_then(|number| self.live.get(number));
        live.is_some_and(|live| live.runs() && live.worker.told.is_none())
    }

    /// kill -9.
    ///
    /// # Errors
    /// The operating system's.
    pub fn kill(&mut self, slot: usize) -> Result<()> {
        let Some(live) = self.at(slot) else { return Ok(()) };
        live.worker.killed = Some(now());
        let from = live.paused.take().unwrap_or_else(now) - 1_000;
        live.child.kill().during("killing a worker")?;
        let number = self.slots.get_mut(slot).and_then(Option::take);
        let worker = number.and_then(|number| u32::try_from(number).ok());
        self.disturbances.push(Disturbance { worker, from, until: Micros::MAX, what: "kill -9".to_owned() });
        Ok(())
    }

    /// SIGTERM, to a worker that is asked for its metrics first.
    ///
    /// # Errors
    /// The operating system's.
    pub fn tell_to_stop(&mut self, slot: usize) -> Result<()> {
        self.resume(slot)?;
        let Some(live) = self.at(slot).filter(|live| live.worker.told.is_none()) else { return Ok(()) };
        live.ask();
        live.worker.told = Some(now());
        live.signal(Signal::TERM)
    }

    /// SIGSTOP.
    ///
    /// # Errors
    /// The operating system's.
    pub fn pause(&mut self, slot: usize) -> Result<()> {
        let Some(live) = self.at(slot).filter(|live| live.paused.is_none()) else { return Ok(()) };
        live.paused = Some(now());
        live.signal(Signal::STOP)
    }

    /// SIGCONT after [`Fleet::pause`].
    ///
    /// # Errors
    /// The operating system's.
    pub fn resume(&mut self, slot: usize) -> Result<()> {
        let Some(live) = self.at(slot) else { return Ok(()) };
        let Some(from) = live.paused.take() else { return Ok(()) };
        live.worker.stops.push((from, now()));
        live.signal(Signal::CONT)?;
        let worker = self.slots.get(slot).copied().flatten().and_then(|number| u32::try_from(number).ok());
        let until = now() + aftermath(now().saturating_sub(from));
        self.disturbances.push(Disturbance { worker, from, until, what: "SIGSTOP".to_owned() });
        Ok(())
    }

    /// Starts workers in the lowest vacant slots, or tells those in the highest to stop, until so many work.
    ///
    /// # Errors
    /// The operating system's.
    pub fn scale(&mut self, to: usize) -> Result<()> {
        let mut working = (0..SLOTS).filter(|slot| self.works(*slot)).count();
        for slot in 0..SLOTS {
            if working < to && !self.works(slot) {
                self.start(slot)?;
                working += 1;
            }
        }
        for slot in (0..SLOTS).rev() {
            if working > to && self.works(slot) {
                self.tell_to_stop(slot)?;
                working -= 1;
            }
        }
        Ok(())
    }

    /// Notes who has ended, and how much memory the others have.
    pub fn look(&mut self) {
        let name = program_name(self.plan);
        for live in self.live.iter_mut().filter(|live| live.worker.ended.is_none()) {
            let status = fs::read_to_string(format!("/proc/{}/status", live.child.id()));
            if let Some(peak) = status.ok().as_deref().and_then(|status| memory_peak(name, status)) {
                live.worker.memory_peak = live.worker.memory_peak.max(peak);
            }
            if let Ok(Some(status)) = live.child.try_wait() {
                live.worker.ended = Some((now(), status.code()));
            }
        }
    }

    /// Whether anybody runs.
    pub fn is_empty(&self) -> bool {
        !self.live.iter().any(Live::runs)
    }

    /// Ends whoever is left and gives everybody's life.
    ///
    /// # Errors
    /// The operating system's.
    pub fn finish(mut self) -> Result<Lives> {
        for live in &mut self.live {
            if live.runs() {
                live.child.kill().during("ending a worker")?;
                live.child.wait().during("ending a worker")?;
            }
        }
        let mut lost = Vec::new();
        for (number, live) in (0..).zip(&self.live) {
            lost.extend(losses(number, &live.log)?);
        }
        let workers: Vec<Worker> = self.live.into_iter().map(|live| live.worker).collect();
        if workers.iter().all(|worker| worker.memory_peak == 0) {
            let name = program_name(self.plan);
            return Err(Error::Evidence(format!(
                "no process by the name of {name} was seen: how much memory did they have?"
            )));
        }
        Ok(Lives { workers, disturbances: self.disturbances, losses: lost })
    }
}

/// What the workers of a plan run.
fn program_name(plan: &Plan) -> &'static str {
    if plan.asked.quick { QUICK_PROGRAM } else { PROGRAM }
}

/// How long a pause goes on to explain what befalls its worker after it is over. One so short that the session cannot have ended takes no
/// partition: a heartbeat that was due as it began is sent as it ends.
fn aftermath(pause: Micros) -> Micros {
    if pause < micros(SESSION_TIMEOUT) / 3 { micros(AWAKE) } else { micros(SESSION_TIMEOUT) }
}

/// The most memory that a worker ever had, bytes, by what Linux says of it; none before it is a worker.
///
/// A child that was spawned shares its parent's memory until it runs its own program, and Linux wakes the parent a moment before that
/// (`exec_mmap`: `mm_release` first, the new `mm` later): the memory seen in between is the harness's. The program's name changes last.
fn memory_peak(program: &str, status: &str) -> Option<u64> {
    if status.lines().next()?.strip_prefix("Name:\t")? != program {
        return None;
    }
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
}

/// When a worker's log says that it lost partitions, or its client, without having been asked.
fn losses(worker: u32, log: &Path) -> Result<Vec<Disturbance>> {
    let text = fs::read_to_string(log).during("reading a log")?;
    let mut losses = Vec::new();
    for line in text.lines() {
        let Ok(line) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        let message = line["message"].as_str().unwrap_or_default();
        let lost = line["lost"].as_bool() == Some(true);
        if !lost && !message.starts_with("the consumer is of no further use") {
            continue;
        }
        let time = line["timestamp"].as_str().and_then(|time| time.parse::<jiff::Timestamp>().ok());
        let Some(at) = time.and_then(|time| u64::try_from(time.as_microsecond()).ok()) else { continue };
        let (from, until) = (at.saturating_sub(micros(SESSION_TIMEOUT)), at + 2_000_000);
        losses.push(Disturbance { worker: Some(worker), from, until, what: "partitions lost".to_owned() });
    }
    Ok(losses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_explains_what_it_can_have_done() {
        assert_eq!(aftermath(micros(Duration::from_millis(300))), micros(AWAKE));
        assert_eq!(aftermath(micros(Duration::from_secs(3))), micros(SESSION_TIMEOUT));
    }

    #[test]
    fn memory_is_a_workers_only_once_it_runs_its_own_program() {
        let status = |name: &str| format!("Name:\t{name}\nUmask:\t0022\nVmHWM:\t  199680 kB\nVmRSS:\t  1024 kB\n");
        assert_eq!(memory_peak(PROGRAM, &status("penstock-worker")), Some(195 << 20));
        assert_eq!(memory_peak(PROGRAM, &status("chaos")), None);
        assert_eq!(memory_peak(PROGRAM, "Name:\tpenstock-worker\nState:\tZ (zombie)\n"), None);
    }
}
