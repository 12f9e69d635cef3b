use super::*;

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n";

fn secret(entries: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
    entries.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
}

fn resolve(entries: &[(&str, &str)], authentication: Option<Authentication>) -> Result<ClientConfig, ConnectionError> {
    let connection = Connection::resolve(Some("kafka:9092"), Some(&secret(entries)), authentication, &BTreeMap::new())?;
    Ok(connection.admin("test"))
}

fn value<'a>(config: &'a ClientConfig, name: &str) -> &'a str {
    config.get(name).unwrap_or("(absent)")
}

#[test]
fn no_secret_is_plaintext() {
    let connection = Connection::resolve(Some("kafka:9092"), None, None, &BTreeMap::new()).unwrap();
    assert_eq!(value(&connection.admin("test"), "security.protocol"), "plaintext");
}

#[test]
fn strimzi_user_with_tls() {
    let entries = [
        ("ca.crt", CERTIFICATE),
        ("user.crt", CERTIFICATE),
        ("user.key", KEY),
        ("user.password", "p12"),
        ("user.p12", "x"),
    ];
    let config = resolve(&entries, None).unwrap();
    assert_eq!(value(&config, "security.protocol"), "ssl");
    assert_eq!(value(&config, "ssl.key.pem"), KEY.trim());
    assert_eq!(value(&config, "ssl.ca.pem"), CERTIFICATE.trim());
    assert_eq!(value(&config, "ssl.key.password"), "(absent)", "user.password is the key store's");
}

#[test]
fn strimzi_user_with_scram_has_its_name_in_the_jaas_configuration() {
    let jaas = r#"org.apache.kafka.common.security.scram.ScramLoginModule required username="or\"ders" password="pass\\word";"#;
    let config = resolve(&[("password", "pass\\word"), ("sasl.jaas.config", jaas)], None).unwrap();
    assert_eq!(value(&config, "sasl.mechanism"), "SCRAM-SHA-512");
    assert_eq!(value(&config, "sasl.username"), "or\"ders");
    assert_eq!(value(&config, "sasl.password"), "pass\\word");
    assert_eq!(value(&config, "security.protocol"), "sasl_ssl", "never in the clear unless it says so");
    let config = resolve(&[("sasl.jaas.config", jaas), ("security.protocol", "SASL_PLAINTEXT")], None).unwrap();
    assert_eq!(value(&config, "security.protocol"), "sasl_plaintext");
    assert_eq!(value(&config, "sasl.password"), "pass\\word");
}

#[test]
fn strimzi_access_operator_brings_everything() {
    let entries = [
        ("type", "kafka"),
        ("provider", "strimzi"),
        ("bootstrap.servers", "my-cluster-kafka-bootstrap.ns.svc:9093"),
        ("bootstrapServers", "my-cluster-kafka-bootstrap.ns.svc:9093"),
        ("security.protocol", "SASL_SSL"),
        ("securityProtocol", "SASL_SSL"),
        ("ssl.truststore.crt", CERTIFICATE),
        ("username", "orders"),
        ("password", "secret\n"),
        (
            "sasl.jaas.config",
            "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"x\" password=\"y\";",
        ),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("saslMechanism", "SCRAM-SHA-512"),
    ];
    let connection = Connection::resolve(None, Some(&secret(&entries)), None, &BTreeMap::new()).unwrap();
    assert_eq!(connection.bootstrap_servers(), "my-cluster-kafka-bootstrap.ns.svc:9093");
    let config = connection.admin("test");
    assert_eq!(value(&config, "sasl.username"), "orders");
    assert_eq!(value(&config, "sasl.password"), "secret", "the newline of `echo` is not part of a password");
    assert_eq!(value(&config, "ssl.ca.pem"), CERTIFICATE.trim());
}

#[test]
fn keda_parameters() {
    let config =
        resolve(&[("sasl", "scram_sha256"), ("username", "u"), ("password", "p"), ("tls", "disable")], None).unwrap();
    assert_eq!(value(&config, "sasl.mechanism"), "SCRAM-SHA-256");
    assert_eq!(value(&config, "security.protocol"), "sasl_plaintext");
    let config = resolve(
        &[("tls", "enable"), ("ca", CERTIFICATE), ("cert", CERTIFICATE), ("key", KEY), ("keyPassword", "k")],
        None,
    );
    let config = config.unwrap();
    assert_eq!(value(&config, "security.protocol"), "ssl");
    assert_eq!(value(&config, "ssl.key.password"), "k");
    let config = resolve(&[("sasl", "none"), ("tls", "enable"), ("ca", CERTIFICATE)], None).unwrap();
    assert_eq!(value(&config, "security.protocol"), "ssl");
}

#[test]
fn plain_credentials_want_a_mechanism() {
    let entries = [("username", "u"), ("password", "p"), ("ca.crt", CERTIFICATE)];
    let refused = resolve(&entries, None).unwrap_err().to_string();
    assert!(refused.contains("spec.kafka.authentication.type"), "{refused}");
    let config = resolve(&entries, Some(Authentication::Plain)).unwrap();
    assert_eq!((value(&config, "sasl.mechanism"), value(&config, "security.protocol")), ("PLAIN", "sasl_ssl"));
}

#[test]
fn a_missing_key_is_named_with_the_remedy() {
    let refused = resolve(&[("user.crt", CERTIFICATE)], None).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the Secret looks like a Strimzi KafkaUser with tls authentication but lacks the key user.key: tls authentication needs \
         the private key of the certificate; add it, or correct spec.kafka.authentication.type"
    );
    let refused = resolve(&[("user.crt", CERTIFICATE), ("user.key", KEY)], Some(Authentication::Plain)).unwrap_err();
    assert!(refused.to_string().contains("this layout has no key for it"), "{refused}");
}

#[test]
fn what_is_not_a_pem_is_named() {
    let twice = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t";
    let refused = resolve(&[("ca.crt", twice)], None).unwrap_err().to_string();
    assert!(refused.starts_with("the Secret's key ca.crt should be a PEM with a CERTIFICATE"), "{refused}");
    let binary = BTreeMap::from([("ca.crt".to_owned(), vec![0xfe, 0xed])]);
    let refused = Connection::resolve(Some("k:1"), Some(&binary), None, &BTreeMap::new()).unwrap_err().to_string();
    assert!(refused.contains("binary key store"), "{refused}");
}

#[test]
fn unknown_keys_oauthbearer_and_missing_servers_are_refused_with_a_remedy() {
    let refused = resolve(&[("foo", "bar")], None).unwrap_err().to_string();
    assert!(refused.contains("(foo) fit no known layout"), "{refused}");
    let refused = resolve(&[("sasl", "oauthbearer")], None).unwrap_err().to_string();
    assert!(refused.contains("not supported yet"), "{refused}");
    let refused = Connection::resolve(None, None, None, &BTreeMap::new()).unwrap_err();
    assert_eq!(refused, ConnectionError::NoBootstrapServers);
    let managed = BTreeMap::from([("sasl.oauthbearer.assertion.file".to_owned(), "/x".to_owned())]);
    let refused = Connection::resolve(Some("k:1"), None, None, &managed).unwrap_err();
    assert!(matches!(refused, ConnectionError::ManagedProperty(_)));
}

#[test]
fn debug_output_shows_no_secret() {
    let entries =
        [("sasl", "plaintext"), ("username", "u"), ("password", "hunter2"), ("cert", CERTIFICATE), ("key", KEY)];
    let secret = secret(&entries);
    let connection = Connection::resolve(Some("k:1"), Some(&secret), None, &BTreeMap::new()).unwrap();
    let shown = format!("{connection:?} {:?}", connection.admin("x"));
    assert!(!shown.contains("hunter2") && shown.contains("PLAIN as u"), "{shown}");
    let connection =
        Connection::resolve(Some("k:1"), Some(&secret), Some(Authentication::Tls), &BTreeMap::new()).unwrap();
    let shown = format!("{connection:?} {:?}", connection.admin("x"));
    assert!(!shown.contains("MIIE"), "{shown}");
}

fn consumer(protocol: GroupProtocol, properties: &[(&str, &str)]) -> ClientConfig {
    let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let connection = Connection::resolve(Some("k:1"), None, None, &properties).unwrap();
    connection.consumer(&ConsumerSettings {
        group_id: "g".to_owned(),
        protocol,
        client_id: "c".to_owned(),
        rack: Some("zone-a".to_owned()),
        read_committed: true,
        max_poll_interval: Duration::from_mins(5),
        session_timeout: Duration::from_secs(45),
        buffers: crate::memory::fetch_buffers(
            64 << 20,
            &crate::memory::Load { partitions: 12, brokers: 3, record_bytes: crate::memory::RECORD_BYTES },
        ),
    })
}

#[test]
fn tuning_goes_over_defaults_and_guarantees_over_tuning() {
    let config = consumer(
        GroupProtocol::Classic,
        &[("fetch.wait.max.ms", "100"), ("session.timeout.ms", "6000"), ("linger.ms", "1")],
    );
    assert_eq!(value(&config, "fetch.wait.max.ms"), "100");
    assert_eq!(value(&config, "session.timeout.ms"), "6000");
    assert_eq!(value(&config, "linger.ms"), "(absent)", "a producer's");
    assert_eq!(value(&config, "auto.offset.reset"), "error");
    assert_eq!(value(&config, "client.rack"), "zone-a");
}

#[test]
fn librdkafka_accepts_every_kind_of_configuration() {
    let (_sleeper, waker) = crate::wake::pair();
    for protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
        let tuned = consumer(
            protocol,
            &[("session.timeout.ms", "6000"), ("heartbeat.interval.ms", "1000"), ("fetch.max.bytes", "200000000")],
        );
        crate::consumer::Consumer::new(&tuned, waker.clone()).unwrap();
    }
    let properties = BTreeMap::from([("max.in.flight.requests.per.connection".to_owned(), "100".to_owned())]);
    let connection = Connection::resolve(Some("k:1"), None, None, &properties).unwrap();
    crate::producer::Producer::new(&connection.producer("p"), waker).unwrap();
    crate::admin::AdminClient::new(&connection.admin("a")).unwrap();
}
