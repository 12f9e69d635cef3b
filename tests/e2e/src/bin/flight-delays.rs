//! The demo's processor: a flight in, its arrival delay out. It stands for any service of a user's: it knows HTTP and JSON, and
//! neither Kafka nor Penstock. It listens on port 8080 or, if the variable `SOCKET` names one, on a Unix socket.

use std::fmt::Debug;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::Listener;
use penstock_e2e::flight::{Delay, Flight};
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};

/// What a call costs, as a look-up in a real service's database would.
const LOOKUP: Duration = Duration::from_millis(5);
/// Long enough for the calls in progress, well below any pod's grace.
const ADDRESS: (&str, u16) = ("0.0.0.0", 8080);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("flight-delays: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> io::Result<()> {
    match std::env::var_os("SOCKET") {
        None => answer(TcpListener::bind(ADDRESS).await?).await,
        Some(socket) => {
            // The file of one that ended before: it stays when a container is started again.
            match std::fs::remove_file(&socket) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => answer(UnixListener::bind(socket)?).await,
            }
        }
    }
}

async fn answer(listener: impl Listener<Addr: Debug>) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let app = Router::new().route("/", post(delay));
    axum::serve(listener, app).with_graceful_shutdown(async move { terminate.recv().await.unwrap_or_default() }).await
}

/// 200 with the delay; 422 for a flight that never arrived, which no second try would change; 400 for what is no flight.
async fn delay(body: Bytes) -> Response {
    let flight: Flight = match serde_json::from_slice(&body) {
        Ok(flight) => flight,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("not a flight: {error}")).into_response(),
    };
    tokio::time::sleep(LOOKUP).await;
    match Delay::of(&flight) {
        Some(delay) => axum::Json(delay).into_response(),
        None => (StatusCode::UNPROCESSABLE_ENTITY, "no arrival delay: cancelled or diverted").into_response(),
    }
}
