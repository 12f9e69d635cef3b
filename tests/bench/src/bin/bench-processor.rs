//! A processor that does nothing but answer: `bench-processor SOCKET` prints `port` and the port it listens on, and listens on that Unix
//! socket too. A single record is answered with 204, and so is whatever a rival sends, batches too; a batch by Penstock's contract with an
//! item for each record.

use std::convert::Infallible;
use std::fmt::Write as _;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

type Failure = Box<dyn std::error::Error>;

#[expect(clippy::print_stdout, reason = "the harness reads the port")]
fn main() -> Result<(), Failure> {
    let socket = std::env::args_os().nth(1).ok_or("usage: bench-processor SOCKET")?;
    // One thread: what it leaves of the machine is the worker's.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (listener, socket) = (TcpListener::bind("127.0.0.1:0").await?, UnixListener::bind(socket)?);
        println!("port {}", listener.local_addr()?.port());
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (stream, _) = accepted?;
                    stream.set_nodelay(true)?;
                    serve(stream);
                }
                accepted = socket.accept() => serve(accepted?.0),
            }
        }
    })
}

fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)));
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let records =
        request.headers().get("penstock-records").and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let mut body = request.into_body();
    while let Some(Ok(_)) = body.frame().await {}
    let mut response = Response::default();
    match records {
        None => *response.status_mut() = StatusCode::NO_CONTENT,
        Some(records) => *response.body_mut() = items(records).into(),
    }
    Ok(response)
}

fn items(records: usize) -> String {
    let mut json = String::with_capacity(16 + 32 * records);
    json.push_str("{\"items\":[");
    for item in 0..records {
        let comma = if item == 0 { "" } else { "," };
        let _never_fails = write!(json, "{comma}{{\"item\":{item},\"verdict\":\"ack\"}}");
    }
    json.push_str("]}");
    json
}
