//! `/metrics`, `/livez` and `/readyz` on one port. Nothing shows what records hold.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State as Extract;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::failure::{Failure, WORKER_ERROR};
use crate::metrics::Metrics;
use crate::shell::state::State;

/// Listens; the answers come from the task that [`Server::serve`] is.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    router: Router,
}

type Shared = (Arc<State>, Arc<Metrics>);

impl Server {
    /// Binds the port.
    ///
    /// # Errors
    /// The address is taken or not ours.
    pub async fn bind(address: SocketAddr, state: Arc<State>, metrics: Arc<Metrics>) -> Result<Self, Failure> {
        let listener = TcpListener::bind(address).await.map_err(|error| {
            let message = format!("{address} cannot be listened on: {error}. Choose another address with --http");
            Failure::new(WORKER_ERROR, message)
        })?;
        let router = Router::new()
            .route("/metrics", get(text))
            .route("/livez", get(livez))
            .route("/readyz", get(readyz))
            .with_state((state, metrics));
        Ok(Self { listener, router })
    }

    /// Answers for as long as the worker runs.
    pub async fn serve(self) {
        if let Err(error) = axum::serve(self.listener, self.router).await {
            tracing::error!(%error, "the HTTP server ended");
        }
    }
}

async fn text(Extract((_, metrics)): Extract<Shared>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.text())
}

async fn livez(Extract((state, _)): Extract<Shared>) -> impl IntoResponse {
    if state.is_live() {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the loop stands still\n")
    }
}

async fn readyz(Extract((state, _)): Extract<Shared>) -> impl IntoResponse {
    match state.ready() {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}
