//! How a Secret's keys are named by those who make such Secrets.

use std::collections::BTreeMap;

/// What a Secret can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    Bootstrap,
    Protocol,
    Mechanism,
    Tls,
    Username,
    Password,
    Jaas,
    Ca,
    Certificate,
    Key,
    KeyPassword,
}

/// One way to name keys.
#[derive(Debug)]
pub(super) struct Layout {
    /// Its name, as it stands in errors after "looks like".
    pub(super) name: &'static str,
    /// One of these keys suffices to recognise it.
    markers: &'static [&'static str],
    /// The keys that may hold a fact, the better one first.
    keys: &'static [(Fact, &'static [&'static str])],
}

/// Bootstrap servers and transport can be added to a Secret of any layout, under any of the usual names.
const ANYWHERE: &[(Fact, &[&str])] = &[
    (Fact::Bootstrap, &["bootstrap.servers", "bootstrapServers", "bootstrap-servers"]),
    (Fact::Protocol, &["security.protocol", "securityProtocol", "protocol"]),
    (Fact::Mechanism, &["sasl.mechanism", "saslMechanism", "sasl"]),
    (Fact::Tls, &["tls"]),
];

/// In the order in which they are tried: the most telling first.
pub(super) const LAYOUTS: &[Layout] = &[
    Layout {
        // https://github.com/strimzi/kafka-access-operator, https://servicebinding.io/spec/core/1.0.0/#well-known-secret-entries
        name: "a service binding (Strimzi access operator, servicebinding.io/kafka)",
        markers: &["ssl.truststore.crt", "ssl.keystore.crt", "ssl.keystore.key", "securityProtocol", "saslMechanism"],
        keys: &[
            (Fact::Username, &["username", "user"]),
            (Fact::Password, &["password"]),
            (Fact::Jaas, &["sasl.jaas.config"]),
            (Fact::Ca, &["ssl.truststore.crt", "ca.crt"]),
            (Fact::Certificate, &["ssl.keystore.crt"]),
            (Fact::Key, &["ssl.keystore.key"]),
        ],
    },
    Layout {
        // https://strimzi.io/docs/operators/latest/deploying#con-securing-client-authentication-str. Its ca.crt is the
        // *clients* CA; where the brokers' certificates come from another, that one is added as cluster-ca.crt.
        name: "a Strimzi KafkaUser with tls authentication",
        markers: &["user.crt", "user.key", "user.p12"],
        keys: &[
            (Fact::Ca, &["cluster-ca.crt", "ca.crt"]),
            (Fact::Certificate, &["user.crt"]),
            (Fact::Key, &["user.key"]),
        ],
    },
    Layout {
        name: "a Strimzi KafkaUser with scram-sha-512 authentication",
        markers: &["sasl.jaas.config"],
        keys: &[
            (Fact::Username, &["username"]),
            (Fact::Password, &["password"]),
            (Fact::Jaas, &["sasl.jaas.config"]),
            (Fact::Ca, &["cluster-ca.crt", "ca.crt"]),
        ],
    },
    Layout {
        // https://keda.sh/docs/latest/scalers/apache-kafka/#authentication-parameters
        name: "KEDA TriggerAuthentication parameters",
        markers: &["sasl", "tls", "ca", "cert", "key"],
        keys: &[
            (Fact::Username, &["username"]),
            (Fact::Password, &["password"]),
            (Fact::Ca, &["ca", "ca.crt"]),
            (Fact::Certificate, &["cert"]),
            (Fact::Key, &["key"]),
            (Fact::KeyPassword, &["keyPassword"]),
        ],
    },
    Layout {
        name: "plain credentials (username, password, ca.crt, tls.crt, tls.key)",
        markers: &[
            "username",
            "user",
            "password",
            "ca.crt",
            "tls.crt",
            "tls.key",
            "bootstrap.servers",
            "bootstrapServers",
        ],
        keys: &[
            (Fact::Username, &["username", "user"]),
            (Fact::Password, &["password"]),
            (Fact::Ca, &["ca.crt"]),
            (Fact::Certificate, &["tls.crt"]),
            (Fact::Key, &["tls.key"]),
        ],
    },
];

impl Layout {
    /// The layout that these keys belong to.
    pub(super) fn of(secret: &BTreeMap<String, Vec<u8>>) -> Option<&'static Self> {
        LAYOUTS.iter().find(|layout| layout.markers.iter().any(|marker| secret.contains_key(*marker)))
    }

    /// The keys that may hold a fact; none if this layout has no word for it.
    pub(super) fn keys(&self, fact: Fact) -> &'static [&'static str] {
        let named = self.keys.iter().chain(ANYWHERE).find(|(named, _)| *named == fact);
        named.map_or(&[], |(_, keys)| keys)
    }

    /// Strimzi's jaas configuration does not say which SCRAM it is; its users are always this one.
    pub(super) fn is_strimzi(&self) -> bool {
        self.name.contains("Strimzi")
    }
}
