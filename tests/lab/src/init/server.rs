//! The init itself: `lab init`, started by `lab up` through unshare(1).

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use super::client::{CONTROL, LOCK, Record};
use super::namespaces;
use super::protocol::{Answer, PROTOCOL, Request};
use super::services::Services;
use crate::dir::{Dir, write_atomically};
use crate::error::{Context, Error, Result};
use crate::identity::Identity;

/// Becomes the init of the lab in that folder. Returns only to say why it cannot.
pub fn run(dir: &Dir) -> Result<()> {
    // A session of its own: closing the terminal of `lab up` does not concern the lab.
    rustix::process::setsid().during(|| "leaving the terminal's session".to_owned())?;
    let _lock = claim(dir)?;
    let record = Record { identity: Identity::of_caller()?, protocol: PROTOCOL };
    write_atomically(&dir.join(super::client::RECORD), &to_json(&record))?;

    namespaces::prepare(dir)?;
    let temporary = dir.join("tmp");
    fs::create_dir_all(&temporary).during(|| format!("making {}", temporary.display()))?;

    let listener = listen(&dir.join(CONTROL))?;
    let services = Arc::new(Services::default());
    let reaper = Arc::clone(&services);
    std::thread::spawn(move || reaper.reap());
    for connection in listener.incoming() {
        let services = Arc::clone(&services);
        // Each on its own thread, for a client may wait long for a service to end. One that goes away is no concern.
        std::thread::spawn(move || connection.is_ok_and(|stream| serve(&stream, &services).is_ok()));
    }
    Ok(())
}

/// The lock that says "this lab is alive". The kernel lets go of it when the init ends, however it ends.
fn claim(dir: &Dir) -> Result<File> {
    let path = dir.join(LOCK);
    let file =
        File::options().create(true).append(true).open(&path).during(|| format!("opening {}", path.display()))?;
    // A `lab status` that looks whether the lock is held holds it itself for a moment.
    for _ in 0..100 {
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return Ok(file);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Err(Error::Conflict(format!("another init already owns {}", dir.path().display())))
}

fn listen(path: &Path) -> Result<UnixListener> {
    crate::dir::remove_tree(path)?;
    // Bound under another name and then renamed, so that the socket answers from the moment it can be seen.
    let partial = path.with_extension("new");
    crate::dir::remove_tree(&partial)?;
    let listener = UnixListener::bind(&partial).during(|| format!("listening on {}", path.display()))?;
    fs::rename(&partial, path).during(|| format!("naming {}", path.display()))?;
    Ok(listener)
}

fn serve(stream: &UnixStream, services: &Services) -> std::io::Result<()> {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let answer = match serde_json::from_str(&line) {
        Ok(request) => answer(request, services),
        Err(error) => Answer::Refused(format!("not understood: {error}")),
    };
    let mut stream = stream;
    stream.write_all(&to_json(&answer))
}

fn answer(request: Request, services: &Services) -> Answer {
    let done = match request {
        Request::Start(service) => services.start(&service),
        Request::Signal { name, signal } => services.signal(&name, signal),
        Request::AwaitEnd { name, limit_ms } => Ok(services.await_end(&name, Duration::from_millis(limit_ms))),
        Request::List => return Answer::Services(services.list()),
    };
    done.map_or_else(Answer::Refused, Answer::Done)
}

fn to_json(value: &impl serde::Serialize) -> Vec<u8> {
    // These types hold nothing that JSON cannot say.
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}
