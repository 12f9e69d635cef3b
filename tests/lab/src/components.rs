//! What runs in a lab, each with the flags it runs with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::artifacts::{Artifacts, class_path};
use crate::dir::Dir;
use crate::init::Service;
use crate::layout::{API_PORT, NODE, NODE_NAME, SERVICE_CIDR};
use crate::preflight::find_program;

const ETCD_URL: &str = "http://127.0.0.1:2379";

/// Makes the services of one lab.
pub(crate) struct Components<'a> {
    pub(crate) dir: &'a Dir,
    pub(crate) artifacts: &'a Artifacts,
}

impl Components<'_> {
    pub(crate) fn containerd(&self) -> Service {
        let program = find_program("containerd").unwrap_or_else(|| PathBuf::from("containerd"));
        self.service("containerd", &program, vec!["--config".to_owned(), self.path("containerd.toml")])
    }

    pub(crate) fn etcd(&self) -> Service {
        self.kube(
            "etcd",
            &[
                ("data-dir", &self.path("etcd")),
                ("listen-client-urls", ETCD_URL),
                ("advertise-client-urls", ETCD_URL),
                ("listen-peer-urls", "http://127.0.0.1:2380"),
                // What etcd holds is gone with the lab, so it need not survive a power cut.
                ("unsafe-no-fsync", "true"),
                ("log-level", "warn"),
            ],
        )
    }

    pub(crate) fn api_server(&self) -> Service {
        let pki = |name: &str| self.path(&format!("pki/{name}"));
        self.kube(
            "kube-apiserver",
            &[
                ("etcd-servers", ETCD_URL),
                ("bind-address", "0.0.0.0"),
                ("secure-port", &API_PORT.to_string()),
                ("advertise-address", NODE),
                ("service-cluster-ip-range", SERVICE_CIDR),
                ("authorization-mode", "Node,RBAC"),
                ("allow-privileged", "true"),
                ("tls-cert-file", &pki("apiserver.crt")),
                ("tls-private-key-file", &pki("apiserver.key")),
                ("client-ca-file", &pki("ca.crt")),
                ("service-account-key-file", &pki("sa.pub")),
                ("service-account-signing-key-file", &pki("sa.key")),
                ("service-account-issuer", "https://kubernetes.default.svc.cluster.local"),
                ("kubelet-client-certificate", &pki("admin.crt")),
                ("kubelet-client-key", &pki("admin.key")),
                ("kubelet-preferred-address-types", "InternalIP"),
                // The aggregation layer, for metrics adapters such as KEDA's.
                ("enable-aggregator-routing", "true"),
                ("requestheader-client-ca-file", &pki("front-proxy-ca.crt")),
                ("requestheader-allowed-names", "front-proxy"),
                ("requestheader-username-headers", "X-Remote-User"),
                ("requestheader-group-headers", "X-Remote-Group"),
                ("requestheader-extra-headers-prefix", "X-Remote-Extra-"),
                ("proxy-client-cert-file", &pki("front-proxy.crt")),
                ("proxy-client-key-file", &pki("front-proxy.key")),
                ("audit-policy-file", &self.path("audit.yaml")),
                ("audit-log-path", &self.path("log/audit.jsonl")),
            ],
        )
    }

    pub(crate) fn controller_manager(&self) -> Service {
        self.kube(
            "kube-controller-manager",
            &[
                ("kubeconfig", &self.path("admin.conf")),
                ("service-account-private-key-file", &self.path("pki/sa.key")),
                ("root-ca-file", &self.path("pki/ca.crt")),
                ("leader-elect", "false"),
                ("bind-address", "127.0.0.1"),
                // The default of 20 requests/s would make a test's burst of pods wait for it.
                ("kube-api-qps", "200"),
                ("kube-api-burst", "400"),
            ],
        )
    }

    pub(crate) fn scheduler(&self) -> Service {
        self.kube(
            "kube-scheduler",
            &[("kubeconfig", &self.path("admin.conf")), ("leader-elect", "false"), ("bind-address", "127.0.0.1")],
        )
    }

    pub(crate) fn kubelet(&self) -> Service {
        self.kube(
            "kubelet",
            &[
                ("kubeconfig", &self.path("kubelet.conf")),
                ("config", &self.path("kubelet.yaml")),
                ("hostname-override", NODE_NAME),
                ("node-ip", NODE),
            ],
        )
    }

    pub(crate) fn proxy(&self) -> Service {
        self.kube("kube-proxy", &[("config", &self.path("kube-proxy.yaml"))])
    }

    /// The names of Services, on the node's address.
    pub(crate) fn dns(&self) -> Service {
        self.kube("lab-dns", &[("kubeconfig", &self.path("admin.conf")), ("listen", &format!("{NODE}:53"))])
    }

    /// One Kafka node; it calls itself `kafka-ID`.
    pub(crate) fn broker(&self, id: u8, brokers: u8) -> Service {
        // Several brokers share a small machine; one alone is also what benchmarks run against.
        let heap = if brokers == 1 { "-Xmx1g" } else { "-Xmx512m" };
        let arguments = [
            heap,
            // No file in the shared /tmp, and none left there after SIGKILL.
            "-XX:-UsePerfData",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
            "-cp",
            &class_path(&self.artifacts.kafka),
            "kafka.Kafka",
            &self.path(&format!("kafka/{id}.properties")),
        ]
        .map(str::to_owned)
        .to_vec();
        let program = find_program("java").unwrap_or_else(|| PathBuf::from("java"));
        self.service(&broker_name(id), &program, arguments)
    }

    fn kube(&self, name: &str, flags: &[(&str, &str)]) -> Service {
        let arguments = flags.iter().map(|(flag, value)| format!("--{flag}={value}")).collect();
        self.service(name, &self.artifacts.kube, arguments)
    }

    fn service(&self, name: &str, program: &Path, arguments: Vec<String>) -> Service {
        Service {
            name: name.to_owned(),
            program: program.to_owned(),
            called: name.to_owned(),
            arguments,
            environment: BTreeMap::from([("TMPDIR".to_owned(), self.path("tmp"))]),
            log: self.dir.log(name),
        }
    }

    fn path(&self, name: &str) -> String {
        self.dir.join(name).to_string_lossy().into_owned()
    }
}

/// What the init calls a broker; brokers count from 1.
pub(crate) fn broker_name(id: u8) -> String {
    format!("kafka-{id}")
}
