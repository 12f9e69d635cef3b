//! Where a processor listens.

use std::fmt::{self, Display};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio_util::either::Either;

/// Pauses before a connection is tried again that a full queue of a Unix socket refused: the first, and the longest. Each is twice as
/// long as the one before, for all slots may try at once, and they are on the thread that reads from Kafka.
const QUEUE_PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));

/// A connection of either kind.
pub(super) type Stream = Either<TcpStream, UnixStream>;

/// Where a processor listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `host:port`.
    Tcp(String),
    /// Path of a Unix socket. A call there costs the worker a fifth less CPU, all of it the kernel's (`make bench`), and nobody outside the pod
    /// can make one.
    Unix(PathBuf),
}

impl Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => write!(f, "the socket {}", path.display()),
        }
    }
}

impl Address {
    /// Whether a connection can be made within `timeout`.
    ///
    /// # Errors
    /// Why not.
    pub async fn answers(&self, timeout: Duration) -> Result<(), String> {
        self.connect(timeout).await.map(drop)
    }

    /// Connects, at most for `timeout`; or says why not.
    pub(super) async fn connect(&self, timeout: Duration) -> Result<Stream, String> {
        let connecting = async {
            match self {
                Self::Tcp(address) => {
                    let stream = TcpStream::connect(address).await?;
                    stream.set_nodelay(true)?;
                    Ok(Either::Left(stream))
                }
                Self::Unix(path) => patiently(path).await.map(Either::Right),
            }
        };
        match tokio::time::timeout(timeout, connecting).await {
            Ok(connected) => connected.map_err(|error: io::Error| format!("no connection to {self}: {error}")),
            Err(_) => Err(format!("no connection to {self} within {timeout:?}")),
        }
    }
}

/// Connects to a Unix socket. When more connect at once than its server has asked to keep for it, the kernel says EAGAIN, where over TCP it
/// would wait, and there is nothing to wait on (connect(2)).
async fn patiently(path: &Path) -> io::Result<UnixStream> {
    let mut pause = QUEUE_PAUSES.0;
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(pause).await,
            connected => return connected,
        }
        pause = (pause * 2).min(QUEUE_PAUSES.1);
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixSocket;

    use super::*;

    /// A path that nobody has.
    fn free(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("penstock-{name}-{}.sock", std::process::id()))
    }

    #[tokio::test]
    async fn a_full_queue_of_a_socket_is_waited_for() {
        let path = free("full");
        let address = Address::Unix(path.clone());
        let socket = UnixSocket::new_stream().unwrap();
        socket.bind(&path).unwrap();
        let listener = socket.listen(0).unwrap();
        let _first = address.connect(Duration::from_secs(10)).await.unwrap();
        let refused = address.answers(Duration::from_millis(50)).await.unwrap_err();
        assert_eq!(refused, format!("no connection to the socket {} within 50ms", path.display()));
        let (second, accepted) = tokio::join!(address.answers(Duration::from_secs(10)), listener.accept());
        second.unwrap();
        accepted.unwrap();
        std::fs::remove_file(path).unwrap();
    }

    #[tokio::test]
    async fn who_is_not_there_is_named() {
        let path = free("nobody");
        let error = Address::Unix(path.clone()).answers(Duration::from_secs(10)).await.unwrap_err();
        assert!(error.starts_with(&format!("no connection to the socket {}: No such file", path.display())), "{error}");
    }
}
