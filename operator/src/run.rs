//! Puts the operator together: connect, serve, lead, work, stop.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use axum::http::Uri;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use futures::future;
use futures::stream::StreamExt as _;
use k8s_controller::events::{EventRecorder, Reporter};
use kube::runtime::reflector::ObjectRef;
use kube::{Client, Config};
use penstock_blueprint::Release;
use penstock_crds::ConsumerPipeline;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::Run;
use crate::clock::Clock;
use crate::context::Context;
use crate::controller;
use crate::http::{self, Readiness};
use crate::leader::{Candidate, lead};
use crate::metrics::Metrics;
use crate::sampling::Sampler;

/// Who publishes Events. The API server wants a qualified name.
const REPORTER: &str = "penstock.dev/operator";

/// Why the operator could not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No kubeconfig and no service account, or a broken one.
    #[error("the API server is not configured: {0}; set KUBECONFIG, or run in a pod with a service account")]
    Config(String),
    /// The client could not be made.
    #[error("no client for the API server: {0}")]
    Client(#[from] kube::Error),
    /// The HTTP port is not to be had.
    #[error("cannot listen on {address}: {source}; choose another with --http")]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// The HTTP server failed.
    #[error("the HTTP server failed: {0}")]
    Serve(std::io::Error),
    /// Signals cannot be received.
    #[error("signals cannot be received: {0}")]
    Signal(std::io::Error),
    /// Two metrics of one name.
    #[error("metrics could not be registered: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// What keeps the operator from starting; see [`RunError`].
pub async fn run(run: Run) -> Result<(), RunError> {
    let Run {
        watch_namespaces,
        worker_image,
        worker_image_pull_policy,
        http: address,
        lease_name,
        lease_namespace,
        identity,
        service_account_dir,
        log_format: _,
    } = run;
    let config = config(service_account_dir.as_deref()).await?;
    let namespace = lease_namespace.unwrap_or_else(|| config.default_namespace.clone());
    let identity = identity.unwrap_or_else(|| format!("penstock-operator-{}", std::process::id()));
    let client = Client::try_from(config)?;
    let metrics = Metrics::new()?;
    let readiness = Readiness::default();
    let listener = http::listen(address).await.map_err(|source| RunError::Listen { address, source })?;
    let release = Release {
        worker_image,
        image_pull_policy: worker_image_pull_policy.map(|policy| policy.as_str().to_owned()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let candidate = Candidate { namespace, lease: lease_name, identity };
    tracing::info!(%address, lease = %candidate.lease, identity = %candidate.identity, "the operator starts");

    let reporter = Reporter { controller: REPORTER.to_owned(), instance: Some(candidate.identity.clone()) };
    let namespaces = watched(watch_namespaces);
    let work = || {
        let events = EventRecorder::new(client.clone(), reporter.clone());
        let clock = Clock::system();
        work(client.clone(), clock, release.clone(), events, metrics.clone(), namespaces.clone())
    };
    let leading = lead(client.clone(), &candidate, &metrics, stop()?, work);
    tokio::select! {
        served = http::serve(listener, metrics.clone(), readiness.clone()) => served.map_err(RunError::Serve),
        () = ready(client.clone(), &readiness) => Ok(()),
        () = leading => {
            tracing::info!("the operator has stopped");
            Ok(())
        }
    }
}

/// What a leader does, until it is dropped. Everything it holds goes with it: another leader may have changed the world meanwhile.
async fn work(
    client: Client,
    clock: Clock,
    release: Release,
    events: EventRecorder,
    metrics: Metrics,
    namespaces: Vec<Option<String>>,
) {
    let sampler = Sampler::new(clock);
    let context = Arc::new(Context::new(client, clock, release, sampler.clone(), events, metrics));
    let (changed, mut news) = unbounded::<ObjectRef<ConsumerPipeline>>();
    let mut routes: BTreeMap<Option<String>, UnboundedSender<ObjectRef<ConsumerPipeline>>> = BTreeMap::new();
    let mut controllers = Vec::new();
    for namespace in namespaces {
        let (sender, receiver) = unbounded();
        routes.insert(namespace.clone(), sender);
        controllers.push(controller::run(Arc::clone(&context), namespace, receiver));
    }
    let route = async {
        while let Some(pipeline) = news.next().await {
            if let Some(route) = routes.get(&None).or_else(|| routes.get(&pipeline.namespace)) {
                // The receiver lives as long as its controller, and that as long as this.
                let _ = route.unbounded_send(pipeline);
            }
        }
    };
    tokio::select! {
        () = sampler.run(changed) => {}
        () = route => {}
        _ = future::join_all(controllers) => {}
    }
}

fn watched(namespaces: Vec<String>) -> Vec<Option<String>> {
    let named: Vec<_> = namespaces.into_iter().filter(|name| !name.is_empty()).map(Some).collect();
    if named.is_empty() { vec![None] } else { named }
}

async fn config(service_account: Option<&Path>) -> Result<Config, RunError> {
    let Some(folder) = service_account else {
        return Config::infer().await.map_err(|error| RunError::Config(error.to_string()));
    };
    let mut config = Config::new(in_cluster(std::env::var_os)?);
    config.root_cert_file = Some(folder.join("ca.crt"));
    // kube verifies by the file, and asks for the system's certificates, of which the image has none, where no list is given.
    config.root_cert = Some(Vec::new());
    config.auth_info.token_file = Some(folder.join("token").display().to_string());
    if let Ok(namespace) = std::fs::read_to_string(folder.join("namespace")) {
        namespace.trim().clone_into(&mut config.default_namespace);
    }
    Ok(config)
}

/// The API server as every pod is told of it.
fn in_cluster(variable: impl Fn(&'static str) -> Option<OsString>) -> Result<Uri, RunError> {
    let read = |name| {
        let value = variable(name).and_then(|value| value.into_string().ok());
        value.ok_or_else(|| RunError::Config(format!("{name} is not set")))
    };
    let (host, port) = (read("KUBERNETES_SERVICE_HOST")?, read("KUBERNETES_SERVICE_PORT")?);
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let uri = format!("https://{host}:{port}");
    uri.parse().map_err(|_| RunError::Config(format!("{uri} is no address")))
}

/// Ready with the first answer of the API server, and never done.
async fn ready(client: Client, readiness: &Readiness) {
    while let Err(error) = client.apiserver_version().await {
        tracing::warn!(%error, "the API server does not answer");
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    readiness.set();
    future::pending::<()>().await;
}

fn stop() -> Result<impl Future<Output = ()>, RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signal)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_server_is_found_as_pods_are_told() {
        let told = |host: &'static str| {
            move |name: &str| Some(if name.ends_with("HOST") { host.into() } else { OsString::from("443") })
        };
        assert_eq!(in_cluster(told("10.0.0.1")).unwrap().to_string(), "https://10.0.0.1:443/");
        assert_eq!(in_cluster(told("fd00::1")).unwrap().to_string(), "https://[fd00::1]:443/");
        assert!(in_cluster(|_| None).unwrap_err().to_string().contains("KUBERNETES_SERVICE_HOST"));
    }

    #[test]
    fn without_names_all_namespaces_are_watched() {
        assert_eq!(watched(vec![String::new()]), [None]);
        assert_eq!(watched(vec!["a".to_owned()]), [Some("a".to_owned())]);
    }
}
