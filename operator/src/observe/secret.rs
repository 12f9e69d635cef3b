//! The one Secret that a pipeline may name, read by name and never listed or watched.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::Api;
use penstock_blueprint::{Reason, Trouble};
use penstock_scaling::Timestamp;

/// Between two reads of a Secret that is in order, at the least; up to twice that, by the pipeline's UID, so that a fleet does not ask
/// at once.
const REFRESH: Duration = Duration::from_secs(300);
/// Between two reads of a Secret that is missing or does not get us in.
const RETRY: Duration = Duration::from_secs(15);

/// The bytes of a Secret by key. Never printed.
pub type SecretData = Arc<BTreeMap<String, Vec<u8>>>;

/// What is remembered of a pipeline's Secret.
#[derive(Default)]
pub struct SecretMemory {
    read: Option<Read>,
}

struct Read {
    name: String,
    at: Timestamp,
    answer: Result<SecretData, Trouble>,
}

impl SecretMemory {
    /// The Secret's data, read again when it is due: another name, trouble, or old age.
    pub async fn data(
        &mut self,
        client: &Client,
        namespace: &str,
        name: &str,
        spread: &str,
        refused: bool,
        now: Timestamp,
    ) -> Result<SecretData, Trouble> {
        if let Some(read) = self.read.as_ref().filter(|read| read.name == name && !read.is_due(spread, refused, now)) {
            return read.answer.clone();
        }
        let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
        let answer = match (api.get_opt(name).await, &self.read) {
            (Ok(Some(secret)), _) => Ok(Arc::new(bytes(secret))),
            (Ok(None), _) => Err(missing(format!("Secret {name} does not exist in namespace {namespace}: create it."))),
            (Err(kube::Error::Api(status)), _) if status.is_forbidden() => {
                Err(missing(format!("Secret {name} may not be read: give the operator's service account the right.")))
            }
            // The API server does not answer: what was read before is the best there is.
            (Err(_), Some(read)) if read.name == name => read.answer.clone(),
            (Err(error), _) => Err(missing(format!("Secret {name} could not be read: {error}."))),
        };
        self.read = Some(Read { name: name.to_owned(), at: now, answer: answer.clone() });
        answer
    }
}

impl Read {
    fn is_due(&self, spread: &str, refused: bool, now: Timestamp) -> bool {
        let age = now.since(self.at);
        if refused || self.answer.is_err() {
            return age >= RETRY;
        }
        // FNV-1a over the UID: a fixed place in the interval for each pipeline.
        let hash =
            spread.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        age >= REFRESH + Duration::from_secs(u64::from(hash) % REFRESH.as_secs())
    }
}

fn bytes(secret: Secret) -> BTreeMap<String, Vec<u8>> {
    secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect()
}

fn missing(message: String) -> Trouble {
    Trouble { reason: Reason::SecretMissing, message }
}
