//! A librdkafka client: made from properties, freed on a thread of its own.
#![expect(unsafe_code, reason = "creates and destroys librdkafka's handles")]

use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka_sys::bindings as sys;

use super::error;
use super::overheard::Overheard;
use crate::error::{ErrorCode, KafkaError};
use crate::wake::Waker;

/// Which kind of client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Consumer,
    Producer,
}

/// An `rd_kafka_t`. Its functions may be called from any thread.
#[derive(Debug)]
pub(crate) struct Client {
    handle: NonNull<sys::rd_kafka_t>,
    overheard: Arc<Overheard>,
    bootstrap: CString,
}

// SAFETY: librdkafka's handle is thread-safe by its documentation (rdkafka.h, "Thread safety").
unsafe impl Send for Client {}
// SAFETY: as above.
unsafe impl Sync for Client {}

/// The longest text that librdkafka writes for an error.
const TEXT_BYTES: usize = 512;

/// Buffer for an error text.
pub(crate) struct Text([c_char; TEXT_BYTES]);

impl Text {
    pub(crate) fn new() -> Self {
        Self([0; TEXT_BYTES])
    }

    pub(crate) fn buffer(&mut self) -> (*mut c_char, usize) {
        (self.0.as_mut_ptr(), TEXT_BYTES)
    }

    pub(crate) fn take(&self) -> String {
        // SAFETY: librdkafka terminates what it writes, and an unwritten buffer is all zeros; both end inside the buffer.
        unsafe { CStr::from_ptr(self.0.as_ptr()) }.to_string_lossy().into_owned()
    }
}

/// A string for C; a NUL inside is an invalid argument. It is not repeated in the error, for it may be a password.
pub(crate) fn c_string(text: &str) -> Result<CString, KafkaError> {
    CString::new(text).map_err(|nul| KafkaError {
        code: ErrorCode::INVALID_ARGUMENT,
        text: format!("a NUL character, as byte {} of {}", nul.nul_position(), text.len()),
        fatal: false,
    })
}

/// Milliseconds as C wants them.
pub(crate) fn millis(time: Duration) -> c_int {
    c_int::try_from(time.as_millis()).unwrap_or(c_int::MAX)
}

impl Client {
    /// A client of this kind whose queues carry these event types (`RD_KAFKA_EVENT_*` ored together). `waker` is told of what
    /// comes on no queue.
    pub(crate) fn new<'p>(
        kind: Kind,
        properties: impl Iterator<Item = (&'p str, &'p str)> + Clone,
        events: c_int,
        waker: Waker,
    ) -> Result<Arc<Self>, KafkaError> {
        // Before librdkafka initialises it, and unlike it without a clean-up at exit: that would free what the threads of a
        // client that is still being freed use (openssl #3505).
        openssl_sys::init();
        let bootstrap =
            properties.clone().find(|(name, _)| *name == "bootstrap.servers").map_or("", |(_, value)| value);
        let bootstrap = c_string(bootstrap)?;
        let conf = Conf::new(properties)?;
        let overheard = Arc::new(Overheard::new(waker));
        // SAFETY: a valid configuration; `log` has the signature asked for and may be called from any thread. What it finds
        // as the opaque lives until the client is freed, see `drop`.
        unsafe {
            sys::rd_kafka_conf_set_events(conf.0, events);
            sys::rd_kafka_conf_set_opaque(conf.0, Arc::as_ptr(&overheard).cast_mut().cast());
            sys::rd_kafka_conf_set_log_cb(conf.0, Some(log));
        }
        let kind = match kind {
            Kind::Consumer => sys::rd_kafka_type_t::RD_KAFKA_CONSUMER,
            Kind::Producer => sys::rd_kafka_type_t::RD_KAFKA_PRODUCER,
        };
        let mut text = Text::new();
        let (buffer, size) = text.buffer();
        // SAFETY: a valid configuration and a buffer of the size given.
        let handle = unsafe { sys::rd_kafka_new(kind, conf.0, buffer, size) };
        let Some(handle) = NonNull::new(handle) else {
            return Err(KafkaError { code: ErrorCode::INVALID_ARGUMENT, text: text.take(), fatal: false });
        };
        std::mem::forget(conf); // on success it belongs to the client
        Ok(Arc::new(Self { handle, overheard, bootstrap }))
    }

    pub(crate) fn ptr(&self) -> *mut sys::rd_kafka_t {
        self.handle.as_ptr()
    }

    /// What the client said in its log only.
    pub(crate) fn overheard(&self) -> &Overheard {
        &self.overheard
    }

    /// Tells a client that has lost all its brokers of its bootstrap servers again. To be called at least every few seconds.
    pub(crate) fn look_after_brokers(&self) {
        if self.overheard.brokers().are_to_be_searched(Instant::now) {
            tracing::info!("no broker is connected: the bootstrap servers are tried again");
            // SAFETY: a valid client and a C string. Servers that it knows already it leaves as they are.
            unsafe { sys::rd_kafka_brokers_add(self.ptr(), self.bootstrap.as_ptr()) };
        }
    }

    /// The fatal error raised in this client, if one was.
    pub(crate) fn fatal_error(&self) -> Option<KafkaError> {
        let mut text = Text::new();
        let (buffer, size) = text.buffer();
        // SAFETY: a valid client and a buffer of the size given.
        let code = unsafe { sys::rd_kafka_fatal_error(self.ptr(), buffer, size) };
        error::error(code, text.take(), true)
    }
}

impl Drop for Client {
    /// Freeing joins librdkafka's threads, which may take as long as a broker's connection takes to give up: never here.
    fn drop(&mut self) {
        struct Last(NonNull<sys::rd_kafka_t>, Arc<Overheard>);
        // SAFETY: the handle is thread-safe, and this is the last reference to it.
        unsafe impl Send for Last {}
        impl Last {
            fn free(self) {
                // SAFETY: the last reference is gone and with it every queue. Without closing: whoever wanted to leave the
                // group did so before, and a close in here would wait for an answer to its rebalance that nobody gives.
                unsafe { sys::rd_kafka_destroy_flags(self.0.as_ptr(), sys::RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE) };
                drop(self.1); // the log's opaque, which no thread uses any more
            }
        }
        let last = Last(self.handle, Arc::clone(&self.overheard));
        if let Err(error) = std::thread::Builder::new().name("kafka-free".to_owned()).spawn(move || last.free()) {
            tracing::warn!(%error, "no thread to free a Kafka client on: its memory stays");
            std::mem::forget(Arc::clone(&self.overheard)); // its threads go on logging
        }
    }
}

/// Waits until every client that was dropped is freed; false if that took longer than `timeout`.
pub(crate) fn wait_freed(timeout: Duration) -> bool {
    // SAFETY: looks at a global counter of librdkafka.
    unsafe { sys::rd_kafka_wait_destroyed(millis(timeout)) == 0 }
}

struct Conf(*mut sys::rd_kafka_conf_t);

impl Conf {
    fn new<'p>(properties: impl Iterator<Item = (&'p str, &'p str)>) -> Result<Self, KafkaError> {
        // SAFETY: allocates; librdkafka aborts rather than return null.
        let conf = Self(unsafe { sys::rd_kafka_conf_new() });
        for (name, value) in properties {
            let mut text = Text::new();
            let (buffer, size) = text.buffer();
            let of_value = |error: KafkaError| KafkaError { text: format!("{name} has {}", error.text), ..error };
            let (key, value) = (c_string(name)?, c_string(value).map_err(of_value)?);
            // SAFETY: a valid configuration, C strings, and a buffer of the size given.
            let result = unsafe { sys::rd_kafka_conf_set(conf.0, key.as_ptr(), value.as_ptr(), buffer, size) };
            if result != sys::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK {
                return Err(KafkaError {
                    code: ErrorCode::INVALID_ARGUMENT,
                    text: format!("the client property {name} is not accepted: {}", text.take()),
                    fatal: false,
                });
            }
        }
        Ok(conf)
    }
}

impl Drop for Conf {
    fn drop(&mut self) {
        // SAFETY: a configuration that no client took over.
        unsafe { sys::rd_kafka_conf_destroy(self.0) };
    }
}

/// librdkafka's log lines, called from its threads.
unsafe extern "C" fn log(client: *const sys::rd_kafka_t, level: c_int, facility: *const c_char, line: *const c_char) {
    // SAFETY: librdkafka passes two NUL-terminated strings for the time of the call, and the client if there is one yet.
    let (facility, line, overheard) = unsafe {
        let opaque = if client.is_null() { std::ptr::null_mut() } else { sys::rd_kafka_opaque(client) };
        (error::text(facility), error::text(line), opaque.cast::<Overheard>().as_ref())
    };
    if let Some(overheard) = overheard {
        overheard.line(&facility, &line);
    }
    match level {
        // syslog's levels: emergency to error, warning, notice and info, debug
        0..=3 => tracing::error!(target: "librdkafka", %facility, "{line}"),
        4 => tracing::warn!(target: "librdkafka", %facility, "{line}"),
        5 | 6 => tracing::info!(target: "librdkafka", %facility, "{line}"),
        _ => tracing::trace!(target: "librdkafka", %facility, "{line}"),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Set in the program that ends.
    const ENDS: &str = "PENSTOCK_TEST_ENDS";

    unsafe extern "C" {
        fn atexit(function: extern "C" fn()) -> c_int;
    }

    fn with_tls() -> Result<Arc<Client>, KafkaError> {
        Client::new(Kind::Producer, [("security.protocol", "ssl")].into_iter(), 0, Waker::of_nobody())
    }

    #[test]
    fn connections_are_counted_by_what_the_log_tells() {
        let mock = [("test.mock.num.brokers", "1"), ("debug", crate::native::overheard::BROKERS)];
        let client = Client::new(Kind::Producer, mock.into_iter(), 0, Waker::of_nobody()).unwrap();
        let end = Instant::now() + Duration::from_secs(30);
        while !client.overheard().brokers().any_up() {
            assert!(Instant::now() < end, "its one broker is there from the beginning");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// librdkafka finds out late what this is, and cleans up what it had begun with.
    #[test]
    fn a_certificate_that_is_none_is_refused_as_often_as_one_likes() {
        for _ in 0..3 {
            let tls = [("security.protocol", "ssl"), ("ssl.ca.pem", "-----BEGIN CERTIFICATE-----")];
            let refused = Client::new(Kind::Producer, tls.into_iter(), 0, Waker::of_nobody());
            assert_eq!(refused.err().map(|error| error.code), Some(ErrorCode::INVALID_ARGUMENT));
        }
    }

    extern "C" fn at_the_very_end() {
        match with_tls() {
            Ok(client) => std::mem::forget(client),
            Err(error) => {
                eprintln!("{error}");
                std::process::abort()
            }
        }
    }

    #[test]
    fn tls_works_until_the_process_is_gone() {
        if std::env::var_os(ENDS).is_some() {
            // SAFETY: a function without arguments. Registered before OpenSSL could register its own, it is called after it.
            unsafe { atexit(at_the_very_end) };
            std::mem::forget(with_tls().unwrap());
            std::process::exit(0);
        }
        let ended = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "native::client::tests::tls_works_until_the_process_is_gone", "--nocapture"])
            .env(ENDS, "1")
            .output()
            .unwrap();
        assert!(ended.status.success(), "{}: {}", ended.status, String::from_utf8_lossy(&ended.stderr));
    }
}
