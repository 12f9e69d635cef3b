//! Admin clients, one per cluster and credential, and never more than fit in memory.

use penstock_kafka::admin::{AdminClient, AdminError};
use penstock_kafka::settings::ClientConfig;

/// Most clients at once. librdkafka runs several threads and connections a client and cannot share them; measured at 8 MB and five
/// threads, 200 stay within 2 GB and the kernel's limits. Past it the least recently used one makes room.
pub const CLIENTS_MAX: usize = 200;

/// The clients in use, the most recently used last.
#[derive(Default)]
pub struct Pool {
    clients: Vec<(ClientConfig, AdminClient)>,
}

impl Pool {
    /// The client of this configuration, made if there is none.
    pub fn client(&mut self, config: &ClientConfig) -> Result<AdminClient, AdminError> {
        let entry = match self.clients.iter().position(|(one, _)| one == config) {
            Some(index) => self.clients.remove(index),
            None => (config.clone(), AdminClient::new(config)?),
        };
        let client = entry.1.clone();
        self.clients.push(entry);
        if self.clients.len() > CLIENTS_MAX {
            close(self.clients.remove(0).1);
        }
        Ok(client)
    }

    /// Closes clients of configurations that nobody uses any more.
    pub fn keep_only(&mut self, configs: &[ClientConfig]) {
        let (keep, gone) = std::mem::take(&mut self.clients).into_iter().partition(|(one, _)| configs.contains(one));
        self.clients = keep;
        let gone: Vec<(ClientConfig, AdminClient)> = gone;
        for (_, client) in gone {
            close(client);
        }
    }
}

/// librdkafka joins its threads when a client is dropped, which can take as long as a connection attempt.
fn close(client: AdminClient) {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(move || drop(client))),
        Err(_) => drop(client),
    }
}
