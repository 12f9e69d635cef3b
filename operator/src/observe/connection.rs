//! From the resource and its Secret to a client's configuration.

use penstock_blueprint::{Reason, Trouble};
use penstock_crds::Pipeline;
use penstock_crds::spec::AuthenticationType;
use penstock_kafka::settings::{Authentication, ClientConfig, Connection, ConnectionError};

use super::secret::SecretData;

/// `client.id` of the operator's own clients: what brokers show in quotas and logs.
const CLIENT_ID: &str = "penstock-operator";

/// The configuration of the client that asks on this pipeline's behalf, or why there is none.
pub fn connection(pipeline: &Pipeline, secret: Option<&Result<SecretData, Trouble>>) -> Result<ClientConfig, Trouble> {
    let secret = match secret {
        None => None,
        Some(Ok(data)) => Some(data.as_ref()),
        Some(Err(trouble)) => return Err(trouble.clone()),
    };
    let kafka = &pipeline.kafka;
    let authentication = kafka.authentication.map(|authentication| match authentication {
        AuthenticationType::Tls => Authentication::Tls,
        AuthenticationType::ScramSha256 => Authentication::ScramSha256,
        AuthenticationType::ScramSha512 => Authentication::ScramSha512,
        AuthenticationType::Plain => Authentication::Plain,
    });
    Connection::resolve(kafka.bootstrap_servers.as_deref(), secret, authentication, &kafka.properties)
        .map(|connection| connection.admin(CLIENT_ID))
        .map_err(|error| invalid(pipeline, &error))
}

fn invalid(pipeline: &Pipeline, error: &ConnectionError) -> Trouble {
    let message = match &pipeline.kafka.secret {
        Some(name) => format!("Secret {name} cannot be used: {error}."),
        None => format!("Kafka cannot be reached: {error}."),
    };
    Trouble { reason: Reason::SecretInvalid, message }
}
