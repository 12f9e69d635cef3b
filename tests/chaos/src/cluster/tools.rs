//! What only Kafka's own command-line tools can do. Each is a process of Java's, and takes seconds.

use std::fs;
use std::process::Command;

use penstock_lab::{KAFKA_PASSWORD, KAFKA_USER};

use super::Cluster;
use crate::error::{During as _, Error, Result};

impl Cluster {
    /// Makes another replica of each partition of the topics the preferred one, and moves leadership there: every partition has another leader, and
    /// no broker was away. `turn` says how far to go round.
    ///
    /// # Errors
    /// Kafka's tools say no.
    pub fn move_leaders(&self, topics: &[(&str, i32)], turn: u8) -> Result<()> {
        let brokers = self.lab.shape().brokers;
        let replicas = |partition: i32| {
            let first = partition.unsigned_abs() + u32::from(turn);
            (0..u32::from(brokers)).map(|next| 1 + (first + next) % u32::from(brokers)).collect::<Vec<_>>()
        };
        let partitions = topics.iter().flat_map(|(topic, partitions)| (0..*partitions).map(move |one| (topic, one)));
        let wanted = partitions.map(
            |(topic, partition)| serde_json::json!({"topic": topic, "partition": partition, "replicas": replicas(partition)}),
        );
        let wanted = serde_json::json!({"version": 1, "partitions": wanted.collect::<Vec<_>>()});
        let name = topics.first().map(|(topic, _)| *topic).unwrap_or_default();
        let file = self.lab.dir().join(format!("{name}.leaders.json"));
        fs::write(&file, wanted.to_string()).during("writing an assignment of replicas")?;
        let mut assign = self.lab.kafka_tool("reassign.ReassignPartitionsCommand");
        assign.arg("--execute").arg("--reassignment-json-file").arg(&file);
        tool(&mut assign)?;
        let mut elect = self.lab.kafka_tool("LeaderElectionCommand");
        tool(elect.args(["--election-type", "preferred", "--all-topic-partitions"]))
    }

    /// What the lab's user proves itself with, as the keys of a Secret.
    ///
    /// # Errors
    /// The lab's authority cannot be read.
    pub fn credentials(&self) -> Result<[(&'static str, Vec<u8>); 3]> {
        let authority = fs::read(self.lab.kafka_certificates().authority).during("reading the lab's authority")?;
        Ok([("username", KAFKA_USER.into()), ("password", KAFKA_PASSWORD.into()), ("ca.crt", authority)])
    }

    /// Gives the lab's user every right to the group of that name, and to topics whose names begin with it.
    ///
    /// # Errors
    /// Kafka's tools say no.
    pub fn grant(&self, group: &str) -> Result<()> {
        let allow = ["--add", "--operation", "All", "--topic", group, "--group", group];
        tool(self.rights("--allow-principal").args(allow).args(["--resource-pattern-type", "prefixed"]))
    }

    /// From now on the lab's user may not write to that topic.
    ///
    /// # Errors
    /// Kafka's tools say no.
    pub fn forbid_writing(&self, topic: &str) -> Result<()> {
        tool(self.rights("--deny-principal").args(["--add", "--operation", "Write", "--topic", topic]))
    }

    /// Takes [`Cluster::forbid_writing`] back.
    ///
    /// # Errors
    /// Kafka's tools say no.
    pub fn allow_writing(&self, topic: &str) -> Result<()> {
        tool(self.rights("--deny-principal").args(["--remove", "--force", "--operation", "Write", "--topic", topic]))
    }

    fn rights(&self, whose: &str) -> Command {
        let mut command = self.lab.kafka_tool("AclCommand");
        command.arg(whose).arg(format!("User:{KAFKA_USER}"));
        command
    }
}

fn tool(command: &mut Command) -> Result<()> {
    let output = command.output().during("running one of Kafka's tools")?;
    if output.status.success() {
        return Ok(());
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Err(Error::Evidence(format!("{command:?} said {}{}", text(&output.stdout), text(&output.stderr))))
}
