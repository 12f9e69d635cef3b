//! The lab's promises about itself, kept on a lab of its own: what was killed midway is finished, and nothing stays behind.

#![allow(clippy::unwrap_used, reason = "the helpers of a test are tests too")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use penstock_lab::{Dir, KAFKA_PASSWORD, KAFKA_USER, Kafka, Lab, Listener, Progress, Shape, down};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};

const RETURN: Duration = Duration::from_secs(60);

/// What a lab could leave on the machine, as the machine shows it.
#[derive(Debug, PartialEq, Eq)]
struct Machine {
    mounts: String,
    interfaces: BTreeSet<String>,
    settings: Vec<String>,
}

impl Machine {
    fn look() -> Self {
        let settings = ["vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/ip_forward"];
        Self {
            mounts: fs::read_to_string("/proc/self/mounts").unwrap(),
            interfaces: names(Path::new("/sys/class/net")),
            settings: settings.map(|name| fs::read_to_string(Path::new("/proc/sys").join(name)).unwrap()).to_vec(),
        }
    }
}

fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

/// The inodes of the namespaces that the lab's init lives in.
fn namespaces(dir: &Path) -> [u64; 3] {
    let record: serde_json::Value = serde_json::from_slice(&fs::read(dir.join("init.json")).unwrap()).unwrap();
    let pid = record["identity"]["pid"].as_i64().unwrap();
    ["pid", "mnt", "net"].map(|kind| fs::metadata(format!("/proc/{pid}/ns/{kind}")).unwrap().ino())
}

/// How many processes live in any of those namespaces.
fn inhabitants(namespaces: [u64; 3]) -> usize {
    let processes = names(Path::new("/proc")).into_iter().filter(|name| name.parse::<u32>().is_ok());
    let lives = |pid: &String| {
        let kinds = ["pid", "mnt", "net"].into_iter().zip(namespaces);
        kinds
            .into_iter()
            .any(|(kind, inode)| fs::metadata(format!("/proc/{pid}/ns/{kind}")).is_ok_and(|found| found.ino() == inode))
    };
    processes.filter(lives).count()
}

fn cgroups() -> Vec<PathBuf> {
    let hierarchies = fs::read_dir("/sys/fs/cgroup").unwrap().map(|entry| entry.unwrap().path());
    hierarchies.chain([PathBuf::from("/sys/fs/cgroup")]).collect()
}

/// Takes the lab down also when the test fails.
struct Down<'a>(&'a Dir);

impl Drop for Down<'_> {
    fn drop(&mut self) {
        down(self.0, &Progress::quiet()).unwrap();
    }
}

#[test]
fn a_lab_that_was_killed_midway_is_finished_and_then_leaves_nothing() {
    let path = PathBuf::from(format!("/tmp/penstock-lab-test-{}", std::process::id()));
    let dir = Dir::resolve(Some(path.clone())).unwrap();
    let before = Machine::look();
    let _down = Down(&dir);

    kill_midway(&path);
    assert_eq!(Machine::look(), before, "a lab shows outside its namespaces");
    let lab = Lab::up(&dir, None, &Progress::new()).unwrap();
    let again = Instant::now();
    Lab::up(&dir, None, &Progress::new()).unwrap();
    assert!(again.elapsed() < Duration::from_secs(5), "a second up takes {:?}", again.elapsed());
    for shape in [Shape { brokers: 3, ..Shape::default() }, Shape::brokers_only(1)] {
        assert!(Lab::up(&dir, Some(shape), &Progress::quiet()).is_err(), "another shape needs another lab");
    }

    kubernetes_works(&lab);
    kafka_survives_a_crash(&lab);
    groups_of_both_protocols_are_listed(&lab);
    a_named_user_may_do_what_acls_allow(&lab);

    let lived_in = namespaces(&path);
    assert!(inhabitants(lived_in) > 8);
    let cgroup = dir.cgroup();
    down(&dir, &Progress::new()).unwrap();
    down(&dir, &Progress::new()).unwrap();
    assert_eq!(inhabitants(lived_in), 0, "processes are left");
    assert_eq!(Machine::look(), before, "mounts, interfaces or settings are left");
    let left: Vec<PathBuf> =
        cgroups().into_iter().map(|folder| folder.join(&cgroup)).filter(|folder| folder.exists()).collect();
    assert!(left.is_empty(), "cgroups are left: {left:?}");
    assert!(Lab::open(&dir).is_err(), "a lab that is down cannot be opened");
    fs::remove_dir_all(&path).unwrap();
}

/// Starts `lab up` as a person would, and kills it without grace while components are starting.
fn kill_midway(path: &Path) {
    let mut up = Command::new(env!("CARGO_BIN_EXE_lab"));
    let mut up = up.arg("--dir").arg(path).arg("up").stdin(Stdio::null()).spawn().unwrap();
    while !path.join("log/kube-apiserver").exists() {
        assert!(up.try_wait().unwrap().is_none(), "lab up ended before it started anything");
        std::thread::sleep(Duration::from_millis(1));
    }
    up.kill().unwrap();
    up.wait().unwrap();
}

fn kubernetes_works(lab: &Lab) {
    let nodes = lab.command("kubectl").args(["get", "nodes", "--no-headers"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&nodes.stdout).split_whitespace().nth(1), Some("Ready"));
    let chart = lab.command("helm").arg("version").output().unwrap();
    assert!(chart.status.success(), "{}", String::from_utf8_lossy(&chart.stderr));
}

fn kafka_survives_a_crash(lab: &Lab) {
    let kafka = Kafka::new(&lab.bootstrap_servers());
    let count = || {
        let mut values = Vec::new();
        kafka.consume("crash", u64::MAX, &mut |record| {
            values.push(String::from_utf8_lossy(record.value.unwrap()).into_owned());
            Ok(())
        })?;
        Ok(values)
    };
    lab.inside(|| {
        kafka.create_topic("crash", 1, &[])?;
        let mut sender = kafka.producer()?;
        (0..1000).try_for_each(|number| sender.send("crash", None, number.to_string().as_bytes()))?;
        assert_eq!(sender.finish()?, 1000);
        Ok(())
    })
    .unwrap();
    let broker = lab.broker(1);
    broker.kill().unwrap();
    assert!(!broker.is_ready().unwrap());
    broker.start(RETURN).unwrap();
    broker.pause().unwrap();
    assert!(!broker.is_ready().unwrap(), "a hanging broker is not ready");
    broker.resume().unwrap();
    broker.await_ready(RETURN).unwrap();
    let values = lab.inside(count).unwrap();
    assert_eq!(values, (0..1000).map(|number| number.to_string()).collect::<Vec<_>>());
}

fn groups_of_both_protocols_are_listed(lab: &Lab) {
    let member = |protocol: &str| {
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", lab.bootstrap_servers())
            .set("group.id", format!("{protocol}-group"))
            .set("group.protocol", protocol)
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            .create()
            .unwrap();
        client.subscribe(&["crash"]).unwrap();
        // A poll may also come back empty-handed because something else happened in the client.
        let first = (0..100).find_map(|_| client.poll(RETURN)).unwrap().unwrap();
        client.commit_message(&first, CommitMode::Sync).unwrap();
        drop(first);
        client
    };
    let rows = lab.inside(|| {
        let _members = ["classic", "consumer"].map(member);
        Kafka::new(&lab.bootstrap_servers()).groups()
    });
    let seen: Vec<_> =
        rows.unwrap().into_iter().map(|row| (row.name, row.state, row.members, row.committed, row.lag)).collect();
    let expected =
        ["classic", "consumer"].map(|protocol| (format!("{protocol}-group"), "Stable".to_owned(), 1, 1, 999));
    assert_eq!(seen, expected);
}

/// Reads metadata of the topic as the user that Kafka knows by password and certificate, before and after an ACL lets it.
fn a_named_user_may_do_what_acls_allow(lab: &Lab) {
    let certificates = lab.kafka_certificates();
    let client = |listener, settings: &[(&str, &str)]| {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", lab.bootstrap_servers_of(listener));
        config.set("ssl.ca.location", certificates.authority.to_string_lossy());
        for (name, value) in settings {
            config.set(*name, *value);
        }
        config.create::<BaseConsumer>().unwrap()
    };
    let [certificate, key] =
        [&certificates.certificate, &certificates.key].map(|path| path.to_string_lossy().into_owned());
    let password = |mechanism| {
        [
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", mechanism),
            ("sasl.username", KAFKA_USER),
            ("sasl.password", KAFKA_PASSWORD),
        ]
    };
    let by_certificate =
        [("security.protocol", "SSL"), ("ssl.certificate.location", &certificate[..]), ("ssl.key.location", &key[..])];
    let everyone = || {
        let named =
            ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"].map(|mechanism| client(Listener::Sasl, &password(mechanism)));
        named
            .into_iter()
            .chain([client(Listener::Tls, &by_certificate)])
            .map(|client| may_see(&client))
            .collect::<Vec<_>>()
    };
    assert_eq!(lab.inside(|| Ok(everyone())).unwrap(), [false; 4]);
    let allow = ["--add", "--operation", "Describe", "--topic", "crash"];
    let users = ["User:penstock", "User:CN=penstock"].map(|user| ["--allow-principal", user]).concat();
    let granted = lab.kafka_tool("AclCommand").args(allow).args(users).output().unwrap();
    assert!(granted.status.success(), "{}", String::from_utf8_lossy(&granted.stderr));
    assert_eq!(lab.inside(|| Ok(everyone())).unwrap(), [true; 4]);
}

fn may_see(client: &BaseConsumer) -> bool {
    let metadata = client.fetch_metadata(Some("crash"), RETURN).unwrap();
    metadata.topics()[0].error().is_none()
}
