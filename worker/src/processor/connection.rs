//! One connection to the processor, driven by the task that uses it.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::HeaderMap;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;

use super::address::{Address, Stream};
use crate::contract::ANSWER_BYTES_MAX;

/// An idle connection may be closed by the server at the very moment of the next request. After this much rest such a break
/// says nothing about the record, and the request is sent once more.
const RESTED: Duration = Duration::from_secs(1);
/// A break that comes later than this is the record's even so: who had closed the connection says so when the request arrives, and a network
/// that finds nobody there within seconds.
const CLOSED_BEFORE: Duration = Duration::from_secs(5);

type Driver = http1::Connection<TokioIo<Stream>, Full<Bytes>>;

/// A connection that is open, or was when last looked at.
pub(super) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    /// None when it has ended. It is dropped then: a request that it had not taken up is given back by that alone, and would wait for
    /// ever otherwise (chaos found it: a server that closes idle connections just as they are used).
    driver: Option<Pin<Box<Driver>>>,
    /// When the last answer ended; `None` before the first.
    used: Option<Instant>,
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Broken {
    /// The request was not sent, or the server had closed a rested connection: it may be sent again at no charge.
    BeforeAnswer,
    /// The connection broke while the answer was awaited or read.
    Lost(String),
    /// What came is not HTTP, or longer than anybody wants.
    Garbage(String),
}

impl Connection {
    /// Connects, at most for `timeout`.
    pub(super) async fn open(address: &Address, timeout: Duration) -> Result<Self, String> {
        let stream = address.connect(timeout).await?;
        let (sender, driver) =
            http1::Builder::new().handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        Ok(Self { sender, driver: Some(Box::pin(driver)), used: None })
    }

    /// Resolves when the server has closed the idle connection.
    pub(super) async fn closed(&mut self) {
        if let Some(driver) = &mut self.driver {
            let _how = driver.as_mut().await;
            self.driver = None;
        }
    }

    /// Whether another request may be tried on it.
    pub(super) fn is_open(&self) -> bool {
        self.driver.is_some() && !self.sender.is_closed()
    }

    /// Sends one request and reads the whole answer. Its body is kept if status and headers say so; else it passes through, and takes no
    /// memory: an error page may be long.
    pub(super) async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        keeps: impl Fn(StatusCode, &HeaderMap) -> bool,
    ) -> Result<Answer, Broken> {
        let Self { sender, driver, used } = self;
        let sent = Instant::now();
        let rested = used.map(|used| sent - used);
        let answer = driven(driver, async {
            let response = match sender.try_send_request(request).await {
                Ok(response) => response,
                Err(mut error) => {
                    let unsent = error.take_message().is_some();
                    let may_be_closed = may_have_been_closed(rested, sent.elapsed());
                    return Err(if unsent { Broken::BeforeAnswer } else { broken(&error.into_error(), may_be_closed) });
                }
            };
            let keeps = keeps(response.status(), response.headers());
            read(response, keeps).await
        })
        .await;
        *used = Some(Instant::now());
        answer
    }
}

/// Whether a connection that broke so long after a request was sent may have been closed before that, having rested for so long.
fn may_have_been_closed(rested: Option<Duration>, after: Duration) -> bool {
    rested.is_some_and(|rested| rested >= RESTED) && after < CLOSED_BEFORE
}

fn broken(error: &hyper::Error, may_be_closed: bool) -> Broken {
    if error.is_parse() || error.is_parse_too_large() {
        return Broken::Garbage(format!("the answer is not HTTP: {error}"));
    }
    if may_be_closed {
        return Broken::BeforeAnswer;
    }
    Broken::Lost(format!("the connection broke before an answer: {error}"))
}

async fn read(response: Response<Incoming>, keeps: bool) -> Result<Answer, Broken> {
    let (parts, mut incoming) = response.into_parts();
    let lost = |error: hyper::Error| Broken::Lost(format!("the connection broke within the answer: {error}"));
    let mut body = Bytes::new();
    let mut longer: Vec<u8> = Vec::new();
    let mut length = 0;
    while let Some(frame) = incoming.frame().await {
        let Ok(data) = frame.map_err(lost)?.into_data() else { continue };
        length += data.len();
        if length > ANSWER_BYTES_MAX {
            return Err(Broken::Garbage(format!("the answer is longer than {ANSWER_BYTES_MAX} bytes")));
        }
        if !keeps {
            continue;
        }
        if body.is_empty() && longer.is_empty() {
            body = data; // the usual answer is one frame, and is not copied
        } else {
            longer.extend_from_slice(&std::mem::take(&mut body));
            longer.extend_from_slice(&data);
        }
    }
    let body = if longer.is_empty() { body } else { longer.into() };
    Ok(Answer { status: parts.status, headers: parts.headers, body })
}

/// Polls the connection beside what uses it, in one task: no task is spawned for it, and none is woken across threads.
async fn driven<T>(driver: &mut Option<Pin<Box<Driver>>>, exchange: impl Future<Output = T>) -> T {
    let mut exchange = pin!(exchange);
    std::future::poll_fn(move |context: &mut Context<'_>| {
        loop {
            if let Poll::Ready(done) = exchange.as_mut().poll(context) {
                return Poll::Ready(done);
            }
            let Some(open) = driver else { return Poll::Pending };
            if open.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            // The connection ended; the exchange learns of it in the next round.
            *driver = None;
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_break_is_nobodys_only_soon_after_a_rest() {
        let (soon, long) = (Duration::from_millis(20), Duration::from_secs(20));
        assert!(may_have_been_closed(Some(RESTED), soon));
        assert!(!may_have_been_closed(Some(RESTED), long), "the server had it for long, and broke over it");
        assert!(!may_have_been_closed(Some(soon), soon));
        assert!(!may_have_been_closed(None, soon), "a new one");
    }
}
