//! The command line. Every flag is also an environment variable, which is what the chart sets.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Runs the consumers of every ConsumerPipeline: it watches pipelines, asks Kafka what is unread, and sees to it that as many workers run
/// as that takes.
#[derive(Debug, Parser)]
#[command(name = "penstock-operator", version, after_help = EXAMPLES)]
pub struct Arguments {
    /// What to do; `run` unless given.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Flags of `run`.
    #[command(flatten)]
    pub run: Run,
}

const EXAMPLES: &str = "Examples:
  penstock-operator crd | kubectl apply --server-side -f -
  penstock-operator --worker-image registry.example/penstock-worker:0.1.0
  penstock-operator --watch-namespaces shop,billing --log-format json

The API server is found as kubectl finds it: in a pod by its service account, elsewhere by KUBECONFIG.";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the operator (the default).
    Run(Box<Run>),
    /// Print the CustomResourceDefinition as YAML, ready to apply.
    Crd,
}

/// How to run.
#[derive(Clone, Debug, Args)]
pub struct Run {
    /// Namespaces whose pipelines are run, separated by commas; all of them unless given.
    #[arg(long, alias = "namespace", env = "PENSTOCK_WATCH_NAMESPACES", value_delimiter = ',', value_name = "NAMES")]
    pub watch_namespaces: Vec<String>,
    /// Image of workers whose pipeline names none.
    #[arg(long, env = "PENSTOCK_WORKER_IMAGE", value_name = "IMAGE", default_value = DEFAULT_WORKER_IMAGE)]
    pub worker_image: String,
    /// When to pull it: Always, IfNotPresent or Never; Kubernetes decides unless given.
    #[arg(long, env = "PENSTOCK_WORKER_IMAGE_PULL_POLICY", value_name = "POLICY")]
    pub worker_image_pull_policy: Option<PullPolicy>,
    /// Address of /metrics, /livez and /readyz.
    #[arg(long, env = "PENSTOCK_HTTP", value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    pub http: SocketAddr,
    /// Name of the Lease by which one operator is active.
    #[arg(long, env = "PENSTOCK_LEASE", value_name = "NAME", default_value = "penstock-leader")]
    pub lease_name: String,
    /// Namespace of that Lease; the one of the service account, or of the kubeconfig's context, unless given.
    #[arg(long, env = "PENSTOCK_NAMESPACE", value_name = "NAMESPACE")]
    pub lease_namespace: Option<String>,
    /// Who this operator is among those that ask for the Lease: the pod's name.
    #[arg(long, env = "PENSTOCK_POD", value_name = "NAME")]
    pub identity: Option<String>,
    /// Folder with token and ca.crt of the service account. The chart mounts them away from the usual place, because tenants' Kafka
    /// properties are opened in this process.
    #[arg(long, env = "PENSTOCK_SERVICE_ACCOUNT_DIR", value_name = "FOLDER")]
    pub service_account_dir: Option<PathBuf>,
    /// Form of the log on standard error. Its level is set by RUST_LOG, such as `info` or `penstock_operator=debug`.
    #[arg(long, env = "PENSTOCK_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

const DEFAULT_WORKER_IMAGE: &str = concat!("penstock-worker:", env!("CARGO_PKG_VERSION"));

/// When to pull an image, in Kubernetes' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PullPolicy {
    /// At every start of a pod.
    #[value(name = "Always")]
    Always,
    /// When the node lacks it.
    #[value(name = "IfNotPresent")]
    IfNotPresent,
    /// Never: it was put on the node.
    #[value(name = "Never")]
    Never,
}

impl PullPolicy {
    /// Kubernetes' word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn run_is_the_default_and_namespaces_are_a_list() {
        let arguments = Arguments::parse_from(["penstock-operator", "--watch-namespaces", "a,b"]);
        assert!(arguments.command.is_none());
        assert_eq!(arguments.run.watch_namespaces, ["a", "b"]);
    }
}
