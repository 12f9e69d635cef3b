//! Sends spans to a collector: OTLP over HTTP/1.1, in JSON. What a collector does not take is dropped and counted; the next is tried.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Uri};
use tokio::sync::mpsc;

use super::otlp::{self, Span};
use crate::metrics::Metrics;
use crate::processor::address::Address;
use crate::processor::connection::Connection;

/// Spans of one export, and how long the first of them waits for more: OpenTelemetry's defaults (`OTEL_BSP_MAX_EXPORT_BATCH_SIZE`), but
/// for a shorter wait.
const BATCH: usize = 512;
const WAIT: Duration = Duration::from_secs(1);
/// Longest time of one export, by OpenTelemetry's default (`OTEL_EXPORTER_OTLP_TIMEOUT`).
const TIMEOUT: Duration = Duration::from_secs(10);
/// `service.name` unless `OTEL_SERVICE_NAME` says another.
const SERVICE: &str = "penstock-worker";

/// Where spans go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    uri: Uri,
    address: Address,
    service: String,
}

/// An endpoint that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name} is {value:?}, and spans are sent only to http://host[:port][/path]: name a collector's OTLP/HTTP port, or remove it"
)]
pub struct BadCollector {
    name: &'static str,
    value: String,
}

impl Collector {
    /// The collector that OpenTelemetry's environment variables name, if they name one: `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` as it is, or
    /// `OTEL_EXPORTER_OTLP_ENDPOINT` with `/v1/traces`; none where `OTEL_SDK_DISABLED` is true or `OTEL_TRACES_EXPORTER` is none.
    ///
    /// # Errors
    /// It is no `http` URL.
    pub fn from_env(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, BadCollector> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let says = |name: &str, word: &str| variable(name).is_some_and(|value| value.eq_ignore_ascii_case(word));
        if says("OTEL_SDK_DISABLED", "true") || says("OTEL_TRACES_EXPORTER", "none") {
            return Ok(None);
        }
        let (own, base) = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT");
        let (name, value, url) = match (variable(own), variable(base)) {
            (Some(value), _) => (own, value.clone(), value),
            (None, Some(value)) => (base, value.clone(), format!("{}/v1/traces", value.trim_end_matches('/'))),
            (None, None) => return Ok(None),
        };
        let bad = || BadCollector { name, value: value.clone() };
        let uri: Uri = url.parse().map_err(|_| bad())?;
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http")).ok_or_else(bad)?;
        let address = Address::Tcp(format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80)));
        let service = variable("OTEL_SERVICE_NAME").unwrap_or_else(|| SERVICE.to_owned());
        Ok(Some(Self { uri, address, service }))
    }

    fn request(&self, body: Vec<u8>) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(Bytes::from(body)));
        let length = hyper::body::Body::size_hint(request.body()).exact().unwrap_or_default();
        *request.method_mut() = Method::POST;
        if let Some(path) = self.uri.path_and_query().and_then(|path| path.as_str().parse().ok()) {
            *request.uri_mut() = path;
        }
        let headers = request.headers_mut();
        headers.extend(
            self.uri.authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok()).map(|host| (HOST, host)),
        );
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_LENGTH, length.into());
        request
    }

    /// Whether the collector took it.
    async fn export(&self, kept: &mut Option<Connection>, body: Vec<u8>) -> Result<(), String> {
        let connection = match kept {
            Some(connection) if connection.is_open() => connection,
            _ => kept.insert(Connection::open(&self.address, TIMEOUT).await?),
        };
        match connection.exchange(self.request(body), |_, _| false).await {
            Ok(answer) if answer.status.is_success() => Ok(()),
            Ok(answer) => Err(format!("it answers {}", answer.status)),
            Err(broken) => {
                *kept = None;
                Err(format!("{broken:?}"))
            }
        }
    }
}

/// The exporter's task: it ends when nobody can make spans any more, and has sent what there was.
pub(super) async fn run(collector: Collector, group: String, mut spans: mpsc::Receiver<Span>, metrics: Arc<Metrics>) {
    let mut connection = None;
    let mut reachable = true;
    let mut batch = Vec::with_capacity(BATCH);
    while let Some(first) = spans.recv().await {
        batch.push(first);
        let more = async { while batch.len() < BATCH && spans.recv_many(&mut batch, BATCH).await > 0 {} };
        let _full_or_late = tokio::time::timeout(WAIT, more).await;
        let body = otlp::body(&collector.service, &group, &batch);
        let sent = tokio::time::timeout(TIMEOUT, collector.export(&mut connection, body)).await;
        let sent = sent.unwrap_or_else(|_| Err(format!("no answer within {TIMEOUT:?}")));
        let count = u64::try_from(batch.len()).unwrap_or_default();
        metrics.spans.with_label_values(&[if sent.is_ok() { "exported" } else { "dropped" }]).inc_by(count);
        if let Err(error) = &sent {
            connection = None;
            if reachable {
                tracing::warn!(collector = %collector.uri, error, "spans are not taken and dropped; said once until they are");
            }
        }
        reachable = sent.is_ok();
        batch.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(variables: &[(&str, &str)]) -> Result<Option<Collector>, BadCollector> {
        Collector::from_env(|name| variables.iter().find(|(one, _)| *one == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn it_is_off_unless_named() {
        assert_eq!(from(&[]), Ok(None));
        assert_eq!(from(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]), Ok(None));
        let named = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://otel:4318");
        assert!(from(&[named]).unwrap().is_some());
        assert_eq!(from(&[named, ("OTEL_SDK_DISABLED", "TRUE")]), Ok(None));
        assert_eq!(from(&[named, ("OTEL_TRACES_EXPORTER", "none")]), Ok(None));
    }

    #[test]
    fn an_endpoint_is_a_base_unless_it_is_for_traces() {
        let of = |name, value| {
            let collector = from(&[(name, value), ("OTEL_SERVICE_NAME", "orders")]).unwrap().unwrap();
            (collector.uri.to_string(), collector.address.to_string(), collector.service)
        };
        let expected = |uri: &str| (uri.to_owned(), "otel:4318".to_owned(), "orders".to_owned());
        assert_eq!(of("OTEL_EXPORTER_OTLP_ENDPOINT", "http://otel:4318/"), expected("http://otel:4318/v1/traces"));
        assert_eq!(of("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://otel:4318/x"), expected("http://otel:4318/x"));
    }

    #[test]
    fn what_cannot_be_used_names_the_variable() {
        for value in ["https://otel:4318", "otel:4317", "grpc://otel", "http://"] {
            let error = from(&[("OTEL_EXPORTER_OTLP_ENDPOINT", value)]).unwrap_err().to_string();
            assert!(error.contains("OTEL_EXPORTER_OTLP_ENDPOINT") && error.contains("OTLP/HTTP"), "{error}");
        }
    }
}
