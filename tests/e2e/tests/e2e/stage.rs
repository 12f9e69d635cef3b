//! What every test stands on.

use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use penstock_e2e::cluster::Cluster;
use penstock_e2e::dataset;
use penstock_e2e::failure::Result;
use penstock_e2e::flight::Flight;
use penstock_e2e::images::Images;
use penstock_e2e::pipeline::Pipeline;
use penstock_e2e::topic::Brokers;
use penstock_lab::Progress;
use serde_json::{Value, json};

/// An image that is there, two containers, joining the group: a few seconds, and more while other tests run.
pub(crate) const START: Duration = Duration::from_secs(90);
/// A crashed worker is missed after its session, 45 s.
pub(crate) const RECOVERY: Duration = Duration::from_secs(150);

struct Shared {
    cluster: Cluster,
    images: Images,
    /// Fetched before anybody enters the lab, whose network ends at its bridge.
    flights: String,
}

/// Whoever breaks what all tests use (the broker, the operator) does so alone.
static PEACE: RwLock<()> = RwLock::new(());

fn shared() -> &'static Shared {
    static SHARED: OnceLock<Result<Shared>> = OnceLock::new();
    let made = SHARED.get_or_init(|| {
        let flights = dataset::text()?;
        let (cluster, _) = Cluster::up(&Progress::new())?;
        let images = cluster.install()?;
        Ok(Shared { cluster, images, flights })
    });
    let shared = made.as_ref().unwrap_or_else(|failure| panic!("{failure}"));
    shared.cluster.enter().unwrap();
    shared
}

/// A test's namespace, and what is in it.
pub(crate) struct Stage {
    shared: &'static Shared,
    pub(crate) namespace: String,
    _peace: Peace,
}

/// Held as long as the test runs.
enum Peace {
    Kept { _guard: RwLockReadGuard<'static, ()> },
    Broken { _guard: RwLockWriteGuard<'static, ()> },
}

impl Stage {
    /// For a test that leaves broker and operator alone.
    pub(crate) fn beside_others(name: &str) -> Self {
        Self::set(name, Peace::Kept { _guard: PEACE.read().unwrap_or_else(PoisonError::into_inner) })
    }

    /// For a test that others would notice, or that would notice others.
    pub(crate) fn alone(name: &str) -> Self {
        Self::set(name, Peace::Broken { _guard: PEACE.write().unwrap_or_else(PoisonError::into_inner) })
    }

    fn set(name: &str, peace: Peace) -> Self {
        let shared = shared();
        let namespace = format!("e2e-{name}");
        shared.cluster.delete_namespace(&namespace).unwrap();
        shared.cluster.namespace(&namespace).unwrap();
        Self { shared, namespace, _peace: peace }
    }

    pub(crate) fn cluster(&self) -> &'static Cluster {
        &self.shared.cluster
    }

    pub(crate) fn brokers(&self) -> &'static Brokers {
        self.cluster().brokers()
    }

    /// A name that no other test uses, for topics.
    pub(crate) fn topic(&self, name: &str) -> String {
        format!("{}.{name}", self.namespace)
    }

    /// A topic that is new.
    pub(crate) fn new_topic(&self, name: &str, partitions: i32) -> String {
        let topic = self.topic(name);
        self.brokers().delete(&topic).unwrap();
        // By the broker's clock the order of records can be told across topics.
        self.brokers().create(&topic, partitions, &[("message.timestamp.type", "LogAppendTime")]).unwrap();
        topic
    }

    /// A pipeline that counts records and does nothing with them.
    pub(crate) fn discarding(&self, name: &str, topic: &str) -> Value {
        json!({
            "apiVersion": "penstock.dev/v1alpha1",
            "kind": "ConsumerPipeline",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "kafka": {"bootstrapServers": self.brokers().bootstrap_servers()},
                "source": {"topics": [{"name": topic}]},
                "processor": {"type": "discard"},
                "worker": {"resources": {"requests": {"cpu": "10m", "memory": "32Mi"}}},
            },
        })
    }

    /// A pipeline that turns flights into delays: 5 ms a record and call.
    pub(crate) fn flying(&self, name: &str, topic: &str, output: &str) -> Value {
        let mut manifest = self.discarding(name, topic);
        manifest["spec"]["processor"] = json!({"type": "container", "container": {
            "image": self.shared.images.flight_delays,
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
        }});
        manifest["spec"]["output"] = json!({ "topic": output });
        manifest
    }

    /// Applies a pipeline and waits until it is Ready.
    pub(crate) fn ready(&self, manifest: &Value) -> Pipeline<'static> {
        let pipeline = self.applied(manifest);
        pipeline.until("Ready", START, penstock_e2e::pipeline::Status::is_ready).unwrap();
        pipeline
    }

    /// Applies a pipeline.
    pub(crate) fn applied(&self, manifest: &Value) -> Pipeline<'static> {
        self.cluster().apply(&manifest.to_string()).unwrap();
        Pipeline::new(self.cluster(), &self.namespace, manifest["metadata"]["name"].as_str().unwrap())
    }

    /// The first flights of the year.
    pub(crate) fn flights(&self, count: usize) -> Vec<Flight<'static>> {
        let mut flights = dataset::flights(&self.shared.flights).unwrap();
        flights.truncate(count);
        flights
    }

    /// Names of the objects of a kind in this test's namespace that are there, but for those of every namespace.
    pub(crate) fn objects(&self, kind: &str) -> Vec<String> {
        let list = self.cluster().get(&self.namespace, [kind]).unwrap();
        let names = list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap());
        names.filter(|name| !["default", "kube-root-ca.crt"].contains(name)).map(str::to_owned).collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the operator's last words:\n{}", self.cluster().operator_log(30));
        }
        // The next run deletes it too, so a failure here costs nothing.
        let _ = self.cluster().kubectl(["delete", "namespace", &self.namespace, "--wait=false"]);
    }
}
