//! Bringing a lab up. Each step looks at what is there and does what is missing, so that a second `up` is quick, and an `up` that
//! was killed midway is continued by the next.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::artifacts::{self, Artifacts};
use crate::cgroup;
use crate::command::{run, succeeds};
use crate::components::Components;
use crate::dir::{Cache, Dir, remove_tree, write_atomically};
use crate::down;
use crate::error::{Context, Error, Result};
use crate::image::Image;
use crate::init::{Init, Service};
use crate::lab::{Lab, Shape, read_shape, write_shape};
use crate::layout::{API_PORT, KAFKA, KUBERNETES, MAX_BROKERS, NODE, NODE_NAME};
use crate::pki;
use crate::preflight;
use crate::progress::Progress;
use crate::render::{self, PAUSE_IMAGE};
use crate::wait::until;

/// How long each part may take on a slow machine; a tenth of it is normal.
const PATIENCE: Duration = Duration::from_secs(90);

impl Lab {
    /// Brings up the lab of that folder, or finishes bringing it up, and waits until node and brokers are ready. Without a shape, a
    /// lab that runs is taken as it is, and a new one has a node and a broker.
    pub fn up(dir: &Dir, wanted: Option<Shape>, progress: &Progress) -> Result<Self> {
        if wanted.is_some_and(|shape| !(1..=MAX_BROKERS).contains(&shape.brokers)) {
            return Err(Error::Conflict(format!("a lab has 1 to {MAX_BROKERS} brokers")));
        }
        dir.claim()?;
        let cache = Cache::resolve()?;
        let built = Artifacts::find(&cache);
        preflight::check(built.is_none(), progress)?;
        let artifacts = match built {
            Some(artifacts) => artifacts,
            None => Artifacts::ensure(&cache, progress)?,
        };
        let _lock = dir.lock(progress)?;
        let (init, shape) = living_init(dir, wanted, progress)?;
        let formatted = artifacts::formatted_brokers(&cache, &artifacts.kafka, shape.brokers, progress)?;
        let lab = Self { dir: dir.clone(), init, artifacts, shape };
        lab.write_files(&formatted)?;
        lab.start_all(progress)?;
        let first = if shape.kubernetes { "lab kubectl get nodes" } else { "lab kafka topics" };
        progress.say(format!("up: {shape} ready; try: {first}"));
        Ok(lab)
    }

    /// Everything that components read at their start. Written again at each `up`: the content is the same for the same shape.
    fn write_files(&self, formatted: &std::path::Path) -> Result<()> {
        let cni = preflight::cni_folder().unwrap_or_default();
        for (name, text) in render::node_files(&self.dir, cni) {
            let path = self.dir.join(name);
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder).during(|| format!("making {}", folder.display()))?;
            }
            write_atomically(&path, text.as_bytes())?;
        }
        pki::ensure(&self.dir)?;
        cgroup::make(&self.dir.cgroup())?;

        let data = self.dir.join("kafka");
        let pki = self.dir.join("pki");
        fs::create_dir_all(&data).during(|| format!("making {}", data.display()))?;
        for id in 1..=self.shape.brokers {
            let properties =
                render::broker_properties(id, self.shape.brokers, &data.to_string_lossy(), &pki.to_string_lossy());
            write_atomically(&data.join(format!("{id}.properties")), properties.as_bytes())?;
            copy_once(&formatted.join(id.to_string()), &data.join(id.to_string()))?;
        }
        Ok(())
    }

    fn start_all(&self, progress: &Progress) -> Result<()> {
        if self.shape.kubernetes {
            self.start_kubernetes(progress)?;
        }
        self.start_brokers(1..=self.shape.brokers, PATIENCE)
    }

    /// The brokers start while the API server does.
    fn start_kubernetes(&self, progress: &Progress) -> Result<()> {
        let components = Components { dir: &self.dir, artifacts: &self.artifacts };
        if self.init.start_service(components.etcd())? {
            progress.say(format!("starting Kubernetes {KUBERNETES} and Kafka {KAFKA} (about 5 s)"));
        }
        for service in [components.api_server(), components.containerd()] {
            self.start(service)?;
        }
        for id in 1..=self.shape.brokers {
            self.broker(id).launch()?;
        }
        self.await_api_server()?;
        for service in [components.controller_manager(), components.scheduler(), components.proxy(), components.dns()] {
            self.start(service)?;
        }
        let names = self.dir.join(render::KAFKA_SERVICE_FILE);
        run(self.command("kubectl").arg("apply").arg("--server-side").arg("-f").arg(names))?;
        self.import_pause()?;
        self.start(components.kubelet())?;
        self.await_node()
    }

    fn start(&self, service: Service) -> Result<()> {
        self.init.start_service(service).map(drop)
    }

    fn await_api_server(&self) -> Result<()> {
        until("kube-apiserver", PATIENCE, &self.dir, || {
            self.alive("kube-apiserver")?;
            let listens = self.inside(|| Ok(std::net::TcpStream::connect((NODE, API_PORT)).is_ok()))?;
            Ok(listens && succeeds(self.command("kubectl").args(["get", "--raw=/readyz"])))
        })
    }

    fn await_node(&self) -> Result<()> {
        let ready = r#"jsonpath={.status.conditions[?(@.type=="Ready")].status} {.spec.taints}"#;
        until("kubelet", PATIENCE, &self.dir, || {
            self.alive("kubelet")?;
            let status = run(self.command("kubectl").args(["get", "node", NODE_NAME, "-o", ready]));
            Ok(status.is_ok_and(|status| status.trim() == "True"))
        })?;
        until("kube-controller-manager", PATIENCE, &self.dir, || {
            self.alive("kube-controller-manager")?;
            Ok(succeeds(self.command("kubectl").args(["get", "serviceaccount", "default"])))
        })
    }

    fn import_pause(&self) -> Result<()> {
        let image = Image::new(PAUSE_IMAGE, "/pause").file("/pause", &self.artifacts.pause);
        until("containerd", PATIENCE, &self.dir, || {
            self.alive("containerd")?;
            Ok(succeeds(self.ctr().arg("version")))
        })?;
        self.load_image(&image).map(drop)
    }

    /// A component that has ended will not become ready: say so at once instead of waiting for it.
    pub(crate) fn alive(&self, name: &str) -> Result<()> {
        let state = self.services()?.into_iter().find(|service| service.name == name).map(|service| service.state);
        match state {
            Some(crate::init::State::Running) => Ok(()),
            other => Err(Error::NotReady {
                what: format!("{name} ({other:?})"),
                limit: Duration::ZERO,
                log: self.dir.log_tail(name),
            }),
        }
    }
}

/// The init that lives in the folder if it is of the shape asked for, else a new one after sweeping up what a dead one left.
fn living_init(dir: &Dir, wanted: Option<Shape>, progress: &Progress) -> Result<(Init, Shape)> {
    if let Some(init) = Init::find(dir)? {
        let init = init.understood()?;
        let shape = read_shape(dir).unwrap_or_default();
        if wanted.is_some_and(|wanted| wanted != shape) {
            let what = format!("this lab is up with {shape}; for another one take it down first: lab down");
            return Err(Error::Conflict(what));
        }
        progress.say(format!("a lab lives in {} (init PID {})", dir.path().display(), init.pid()));
        return Ok((init, shape));
    }
    let shape = wanted.unwrap_or_default();
    down::sweep(dir, progress)?;
    remove_tree(&dir.join("log"))?;
    write_shape(dir, shape)?;
    Ok((Init::start(dir, &lab_program()?)?, shape))
}

/// The `lab` program. A test that uses the library is another program, so it looks beside itself.
fn lab_program() -> Result<PathBuf> {
    let own = std::env::current_exe().during(|| "finding this program".to_owned())?;
    if own.file_name().is_some_and(|name| name == "lab") {
        return Ok(own);
    }
    let named = std::env::var_os("LAB_PROGRAM").map(PathBuf::from);
    let beside = own.ancestors().skip(1).take(2).map(|folder| folder.join("lab"));
    named.into_iter().chain(beside).find(|path| path.is_file()).ok_or_else(|| Error::Missing {
        what: "the `lab` program is not built, and it is what becomes the lab's init".to_owned(),
        remedy: "cargo build --release -p penstock-lab, or set LAB_PROGRAM".to_owned(),
    })
}

/// Copies a folder unless its copy is there; half a copy never has the name.
fn copy_once(from: &std::path::Path, to: &std::path::Path) -> Result<()> {
    if to.is_dir() {
        return Ok(());
    }
    let partial = to.with_extension("partial");
    remove_tree(&partial)?;
    run(std::process::Command::new("cp").arg("-a").arg(from).arg(&partial))?;
    fs::rename(&partial, to).during(|| format!("naming {}", to.display()))
}
