//! A processor in the test's own process, which does as the test says while records come.
//!
//! It takes what it is sent to the end, however large, and keeps none of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tokio::sync::{oneshot, watch};

use crate::failure::{Context as _, Result};

/// A service that takes every record but those of refused and failing keys, and lets those of held keys wait.
#[derive(Debug)]
pub struct Service {
    /// Where it listens, as pods reach it.
    pub address: SocketAddr,
    book: Arc<Mutex<Book>>,
    held: watch::Sender<BTreeSet<String>>,
    end: Option<oneshot::Sender<()>>,
}

#[derive(Debug, Default)]
struct Book {
    refused: BTreeSet<String>,
    failing: BTreeSet<String>,
    taken: BTreeMap<String, u64>,
}

impl Service {
    /// Listens on a free port of this host until it is dropped. The calling thread is inside the lab's network.
    ///
    /// # Errors
    /// The host is not this machine's.
    pub fn start(host: &str) -> Result<Self> {
        Self::start_at((host, 0))
    }

    /// The same at an address where another one listened before.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub fn start_at(address: impl ToSocketAddrs) -> Result<Self> {
        let listener = std::net::TcpListener::bind(address).context("listening as the service")?;
        listener.set_nonblocking(true).context("preparing the service's socket")?;
        let address = listener.local_addr().context("the service's address")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("making a runtime")?;
        let book = Arc::new(Mutex::new(Book::default()));
        let (end, ended) = oneshot::channel::<()>();
        let (held, holds) = watch::channel(BTreeSet::new());
        let app = Router::new().fallback(answer).with_state((Arc::clone(&book), holds));
        std::thread::spawn(move || {
            runtime.block_on(async {
                let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
                tokio::select! {
                    _ = axum::serve(listener, app) => {}
                    _ = ended => {}
                }
            });
        });
        Ok(Self { address, book, held, end: Some(end) })
    }

    /// Its URL, for `processor.http.url`.
    pub fn url(&self) -> String {
        format!("http://{}/process", self.address)
    }

    /// From now on these keys, and no others, are refused for good.
    pub fn refuse(&self, keys: &[&str]) {
        lock(&self.book).refused = keys.iter().map(|key| (*key).to_owned()).collect();
    }

    /// From now on calls for these keys, and no others, fail.
    pub fn fail(&self, keys: &[&str]) {
        lock(&self.book).failing = keys.iter().map(|key| (*key).to_owned()).collect();
    }

    /// From now on calls for these keys, and no others, are not answered; those that were held before are.
    pub fn hold(&self, keys: &[&str]) {
        self.held.send_replace(keys.iter().map(|key| (*key).to_owned()).collect());
    }

    /// How many records of all keys it has taken.
    pub fn taken_in_all(&self) -> u64 {
        lock(&self.book).taken.values().sum()
    }

    /// How many records of a key it has taken.
    pub fn taken(&self, key: &str) -> u64 {
        lock(&self.book).taken.get(key).copied().unwrap_or(0)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Whoever does not listen any more has ended already.
        let _ = self.end.take().map(|end| end.send(()));
    }
}

type Orders = (Arc<Mutex<Book>>, watch::Receiver<BTreeSet<String>>);

/// 204 for a record that is taken, 422 for one that is refused, 500 for one that fails.
async fn answer(State((book, mut held)): State<Orders>, request: Request) -> Response {
    let key = request.headers().get("penstock-key").and_then(|key| key.to_str().ok()).unwrap_or_default().to_owned();
    if to_bytes(request.into_body(), usize::MAX).await.is_err() {
        return StatusCode::BAD_REQUEST.into_response();
    }
    if held.wait_for(|held| !held.contains(&key)).await.is_err() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let mut book = lock(&book);
    if book.refused.contains(&key) {
        return (StatusCode::UNPROCESSABLE_ENTITY, "this key is refused").into_response();
    }
    if book.failing.contains(&key) {
        return (StatusCode::INTERNAL_SERVER_ERROR, "this key fails").into_response();
    }
    *book.taken.entry(key).or_default() += 1;
    StatusCode::NO_CONTENT.into_response()
}

fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}
