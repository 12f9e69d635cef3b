//! What a worker counts itself, asked for at its `/metrics` while it lives: no topic and no call tells of it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use crate::error::{During as _, Error, Result};
use crate::history::{Metrics, Micros};

/// A commit that the broker refuses is counted here; the line is there once there is one.
const TOO_LARGE: &str = r#"penstock_worker_commits_total{result="metadata_too_large"}"#;
/// Always there.
const WOKEN: &str = "penstock_worker_woken_by_cap_with_work_total";
/// Longest wait for an answer, which takes a millisecond. The faults that follow wait as long.
const WAIT: Duration = Duration::from_millis(500);
/// Whoever is younger may not listen yet.
const NEWBORN: Micros = 3_000_000;

/// What the worker of that process has counted; none if it is too young to be asked.
pub(super) fn read(pid: u32, age: Micros) -> Result<Option<Metrics>> {
    let Some(port) = port(pid) else {
        return if age < NEWBORN { Ok(None) } else { Err(Error::Evidence("it listens nowhere".to_owned())) };
    };
    let answer = asked(port).during("asking for its metrics")?;
    parsed(&answer).map(Some).ok_or_else(|| Error::Evidence(format!("its answer has no {WOKEN}")))
}

/// Where a process listens. A worker takes the port that is free, and says nowhere which; it has no other.
fn port(pid: u32) -> Option<u16> {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    let sockets: Vec<String> = files.flatten().filter_map(|file| socket(&fs::read_link(file.path()).ok()?)).collect();
    listening(&fs::read_to_string(format!("/proc/{pid}/net/tcp")).ok()?, &sockets)
}

/// The inode of a socket, by what its file descriptor is a link to.
fn socket(link: &Path) -> Option<String> {
    Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
}

/// The port of the one of those sockets that listens, by Linux's table of the network namespace; its numbers are hexadecimal.
fn listening(table: &str, sockets: &[String]) -> Option<u16> {
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, local, _, "0A", _, _, _, _, _, inode, ..] = fields.as_slice() else { return None };
        let (_, port) = local.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        sockets.iter().any(|socket| socket == inode).then_some(port)
    })
}

fn asked(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), WAIT)?;
    stream.set_read_timeout(Some(WAIT))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: worker\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn parsed(answer: &str) -> Option<Metrics> {
    let count = |series: &str| {
        let value = answer.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
        value.trim().parse::<u64>().ok()
    };
    Some(Metrics { metadata_too_large: count(TOO_LARGE).unwrap_or_default(), woken_by_cap: count(WOKEN)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_found_by_their_whole_names() {
        let answer = |commits: &str| {
            format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n# TYPE {WOKEN} counter\n{commits}{WOKEN}_more 7\n{WOKEN} 3\n"
            )
        };
        let ok = "penstock_worker_commits_total{result=\"ok\"} 40\n";
        assert_eq!(parsed(&answer(ok)), Some(Metrics { metadata_too_large: 0, woken_by_cap: 3 }));
        let refused = format!("{TOO_LARGE} 2\n{ok}");
        assert_eq!(parsed(&answer(&refused)), Some(Metrics { metadata_too_large: 2, woken_by_cap: 3 }));
        assert_eq!(parsed("HTTP/1.1 503 Service Unavailable\r\n\r\n"), None);
    }

    #[test]
    fn a_port_is_that_of_the_socket_that_listens() {
        // As Linux says it: a connection of the worker's, somebody else's port, and the worker's own.
        let rest = "00000000:00000000 00:00000000 00000000     0        0";
        let table = format!(
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
             0: 0100007F:9C40 0100007F:2384 01 {rest} 11 1 0000000000000000 20 4 30 10 -1\n   \
             1: 0100007F:2384 00000000:0000 0A {rest} 12 1 0000000000000000 100 0 0 10 0\n   \
             2: 0100007F:9C41 00000000:0000 0A {rest} 13 1 0000000000000000 100 0 0 10 0\n"
        );
        let sockets = ["11", "13"].map(str::to_owned);
        assert_eq!(listening(&table, &sockets), Some(40_001));
        assert_eq!(listening(&table, &sockets[..1]), None);
        assert_eq!(socket(Path::new("socket:[13]")), Some("13".to_owned()));
        assert_eq!(socket(Path::new("/dev/null")), None);
    }

    #[test]
    fn the_worker_calls_its_counters_so() {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../worker/src");
        let has = |file: &str, text: &str| fs::read_to_string(sources.join(file)).unwrap().contains(text);
        assert!(has("metrics.rs", "\"penstock_worker_{suffix}\""));
        assert!(has("metrics.rs", "\"woken_by_cap_with_work_total\"") && has("metrics.rs", "\"commits_total\""));
        assert!(has("shell/commits.rs", "\"metadata_too_large\""));
    }
}
