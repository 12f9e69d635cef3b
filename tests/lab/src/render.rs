//! The components' configuration files: the templates in assets/ with their @NAMES@ filled in.

use std::collections::BTreeMap;

use crate::dir::Dir;
use crate::layout::{
    KAFKA, KAFKA_PASSWORD, KAFKA_USER, Listener, NODE, NODE_NAME, POD_CIDR, POD_FIRST, controller_port,
};

/// The image that holds a pod's namespaces.
pub(crate) const PAUSE_IMAGE: &str = "lab.local/pause:1";

/// Objects that give the brokers a name in the cluster.
pub(crate) const KAFKA_SERVICE_FILE: &str = "kafka-service.yaml";

const CONTAINERD: &str = include_str!("../assets/containerd.toml");
const CNI: &str = include_str!("../assets/cni.conflist");
const KUBELET: &str = include_str!("../assets/kubelet.yaml");
const KUBE_PROXY: &str = include_str!("../assets/kube-proxy.yaml");
const AUDIT: &str = include_str!("../assets/audit.yaml");
const KAFKA_SERVICE: &str = include_str!("../assets/kafka-service.yaml");
const BROKER: &str = include_str!("../assets/kafka.properties");

/// Every configuration file of a node, by its path in the lab's folder.
pub(crate) fn node_files(dir: &Dir, cni_bin: &str) -> Vec<(&'static str, String)> {
    let path = dir.path().to_string_lossy().into_owned();
    let values = BTreeMap::from([
        ("DIR", path),
        ("PAUSE", PAUSE_IMAGE.to_owned()),
        ("CNI_BIN", cni_bin.to_owned()),
        ("CGROUP", format!("/{}", dir.cgroup())),
        ("NODE", NODE.to_owned()),
        ("NODE_NAME", NODE_NAME.to_owned()),
        ("POD_CIDR", POD_CIDR.to_owned()),
        ("POD_FIRST", POD_FIRST.to_owned()),
    ]);
    [
        ("containerd.toml", CONTAINERD),
        ("cni/10-lab.conflist", CNI),
        ("kubelet.yaml", KUBELET),
        ("kube-proxy.yaml", KUBE_PROXY),
        ("audit.yaml", AUDIT),
        (KAFKA_SERVICE_FILE, KAFKA_SERVICE),
    ]
    .map(|(name, template)| (name, fill(template, &values)))
    .to_vec()
}

/// The properties of one of `brokers` Kafka nodes. `data` is the folder that holds the folders of all of them, `pki` that of the certificates.
pub(crate) fn broker_properties(id: u8, brokers: u8, data: &str, pki: &str) -> String {
    let controllers: Vec<String> = (1..=brokers).map(|id| format!("{NODE}:{}", controller_port(id))).collect();
    let replication = brokers.min(3);
    let values = BTreeMap::from([
        ("DATA", data.to_owned()),
        ("NODE", NODE.to_owned()),
        ("ID", id.to_string()),
        ("BROKERS", brokers.to_string()),
        ("CONTROLLERS", controllers.join(",")),
        ("PORT", Listener::Plaintext.port(id).to_string()),
        ("SASL_PORT", Listener::Sasl.port(id).to_string()),
        ("TLS_PORT", Listener::Tls.port(id).to_string()),
        ("USER", KAFKA_USER.to_owned()),
        ("PASSWORD", KAFKA_PASSWORD.to_owned()),
        ("PKI", pki.to_owned()),
        ("CONTROLLER_PORT", controller_port(id).to_string()),
        ("REPLICATION", replication.to_string()),
        // One replica of three may be gone, and writes with acks=all still succeed.
        ("MIN_ISR", if replication > 2 { "2".to_owned() } else { "1".to_owned() }),
        ("BROKER_SESSION", if brokers > 1 { "3000" } else { "9000" }.to_owned()),
    ]);
    fill(BROKER, &values)
}

/// The template of a broker's properties, for keys of the cache.
pub(crate) fn broker_template() -> String {
    format!("{KAFKA}{BROKER}")
}

fn fill(template: &str, values: &BTreeMap<&str, String>) -> String {
    values.iter().fold(template.to_owned(), |text, (name, value)| text.replace(&format!("@{name}@"), value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn dir() -> Dir {
        Dir::resolve(Some(PathBuf::from("/srv/lab"))).unwrap()
    }

    fn leftover(text: &str) -> Option<&str> {
        text.split_whitespace().find(|word| word.matches('@').count() >= 2)
    }

    #[test]
    fn no_name_is_left_unfilled() {
        for (name, text) in node_files(&dir(), "/usr/lib/cni") {
            assert_eq!(leftover(&text), None, "{name}");
        }
        assert_eq!(leftover(&broker_properties(1, 1, "/srv/lab/kafka", "/srv/lab/pki")), None);
    }

    #[test]
    fn the_files_of_a_node_are_as_recorded() {
        for (name, text) in node_files(&dir(), "/usr/lib/cni") {
            insta::assert_snapshot!(name.replace('/', "-"), text);
        }
    }

    #[test]
    fn the_properties_of_brokers_are_as_recorded() {
        insta::assert_snapshot!("one-broker", broker_properties(1, 1, "/srv/lab/kafka", "/srv/lab/pki"));
        insta::assert_snapshot!("second-of-three-brokers", broker_properties(2, 3, "/srv/lab/kafka", "/srv/lab/pki"));
    }
}
