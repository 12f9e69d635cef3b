//! `/metrics`, `/livez` and `/readyz`, on one port. Nothing here shows what pipelines hold.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::metrics::Metrics;

/// Whether the API server has answered. A standby is as ready as the leader: it is ready to take over.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    ready: Arc<AtomicBool>,
}

impl Readiness {
    /// The API server has answered.
    pub fn set(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }

    fn get(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }
}

/// Serves until it is dropped.
///
/// # Errors
/// The listener failed.
pub async fn serve(listener: TcpListener, metrics: Metrics, readiness: Readiness) -> std::io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(text))
        .route("/livez", get(async || "ok"))
        .route("/readyz", get(move || async move { ready(&readiness) }))
        .with_state(metrics);
    axum::serve(listener, router).await
}

/// Listens, with an error that says on what.
///
/// # Errors
/// The address is taken or not this machine's.
pub async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

async fn text(State(metrics): State<Metrics>) -> Response {
    match metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn ready(readiness: &Readiness) -> (StatusCode, &'static str) {
    if readiness.get() {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "waiting for: the API server's first answer")
    }
}
