//! `lab kafka …`.

use std::ffi::OsString;
use std::io::BufRead;
use std::time::Duration;

use clap::Subcommand;
use penstock_lab::{Error, Kafka, Lab, Result};

use super::{become_program, print};

/// How long a broker may take to come back. A clean start takes 5 s; after SIGKILL it first checks its logs.
const RETURN: Duration = Duration::from_secs(90);

#[derive(Debug, Subcommand)]
pub(super) enum KafkaCommand {
    /// List topics with their partitions and records
    Topics,
    /// Make a topic
    Create {
        topic: String,
        #[arg(long, default_value_t = 1)]
        partitions: i32,
        /// Settings such as retention.ms=1000
        #[arg(long = "config", value_parser = parse_setting)]
        config: Vec<(String, String)>,
    },
    /// Delete a topic
    Delete { topic: String },
    /// Send stdin, a record a line
    Produce {
        topic: String,
        /// Split each line at the first of these into key and value
        #[arg(long)]
        separator: Option<String>,
    },
    /// Print a topic's records from the beginning to the present end: partition, offset, key, value
    Consume {
        topic: String,
        /// At most so many
        #[arg(long)]
        limit: Option<u64>,
    },
    /// List consumer groups with committed offsets and lag
    Groups,
    /// Run one of Kafka's own tools by class name: lab kafka tool AclCommand --list
    #[command(disable_help_flag = true)]
    Tool {
        class: String,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// End a broker by SIGTERM: it hands over and shuts down [default: all brokers]
    Stop { id: Option<u8> },
    /// End a broker by SIGKILL [default: all brokers]
    Kill { id: Option<u8> },
    /// Start a broker and wait until it serves [default: all brokers]
    Start { id: Option<u8> },
    /// Hang a broker by SIGSTOP [default: all brokers]
    Pause { id: Option<u8> },
    /// Let a hanging broker go on [default: all brokers]
    Resume { id: Option<u8> },
}

fn parse_setting(text: &str) -> std::result::Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Carries out a command. The process moves into the lab's network first, before any Kafka client has a thread.
pub(super) fn run(lab: &Lab, command: KafkaCommand) -> Result<()> {
    let brokers = |id: Option<u8>| match id {
        Some(id) => id..=id,
        None => 1..=lab.shape().brokers,
    };
    match command {
        KafkaCommand::Stop { id } => return brokers(id).try_for_each(|id| lab.broker(id).stop()),
        KafkaCommand::Kill { id } => return brokers(id).try_for_each(|id| lab.broker(id).kill()),
        KafkaCommand::Pause { id } => return brokers(id).try_for_each(|id| lab.broker(id).pause()),
        KafkaCommand::Resume { id } => return brokers(id).try_for_each(|id| lab.broker(id).resume()),
        KafkaCommand::Tool { class, arguments } => return become_program(lab.kafka_tool(&class), &arguments).map(drop),
        KafkaCommand::Start { id } => return lab.start_brokers(brokers(id), RETURN),
        _ => {}
    }
    lab.enter_network()?;
    let kafka = Kafka::new(&lab.bootstrap_servers());
    match command {
        KafkaCommand::Topics => {
            print(&format!("{:<48}{:>10}{:>14}", "TOPIC", "PARTITIONS", "OFFSETS"))?;
            for topic in kafka.topics()? {
                print(&format!("{:<48}{:>10}{:>14}", topic.name, topic.partitions, topic.offsets))?;
            }
        }
        KafkaCommand::Create { topic, partitions, config } => kafka.create_topic(&topic, partitions, &config)?,
        KafkaCommand::Delete { topic } => kafka.delete_topic(&topic)?,
        KafkaCommand::Produce { topic, separator } => produce(&kafka, &topic, separator.as_deref())?,
        KafkaCommand::Consume { topic, limit } => kafka.consume(&topic, limit.unwrap_or(u64::MAX), &mut |record| {
            let show = |bytes: Option<&[u8]>| {
                bytes.map_or("-".to_owned(), |bytes| String::from_utf8_lossy(bytes).into_owned())
            };
            print(&format!("{}\t{}\t{}\t{}", record.partition, record.offset, show(record.key), show(record.value)))
        })?,
        KafkaCommand::Groups => {
            print(&format!(
                "{:<36}{:<12}{:>8} {:<36}{:>10}{:>10}",
                "GROUP", "STATE", "MEMBERS", "TOPIC", "COMMITTED", "LAG"
            ))?;
            for group in kafka.groups()? {
                print(&format!(
                    "{:<36}{:<12}{:>8} {:<36}{:>10}{:>10}",
                    group.name, group.state, group.members, group.topic, group.committed, group.lag
                ))?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn produce(kafka: &Kafka, topic: &str, separator: Option<&str>) -> Result<()> {
    let lines = std::io::stdin().lock().lines();
    let mut records = kafka.producer()?;
    for line in lines {
        let line = line.map_err(|source| Error::Io { what: "reading stdin".to_owned(), source })?;
        match separator.and_then(|separator| line.split_once(separator)) {
            Some((key, value)) => records.send(topic, Some(key.as_bytes()), value.as_bytes())?,
            None => records.send(topic, None, line.as_bytes())?,
        }
    }
    print(&format!("{} records sent", records.finish()?))
}
