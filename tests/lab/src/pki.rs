//! The lab's certificates: one authority for the cluster, one for the API server's aggregation layer, and who they vouch for.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use crate::dir::{Dir, remove_tree};
use crate::error::{Context, Result};
use crate::layout::{API_PORT, FIRST_SERVICE, KAFKA_USER, NODE, NODE_NAME};

/// Names by which API server, kubelet and brokers are called.
const SERVER_NAMES: [&str; 9] = [
    NODE,
    FIRST_SERVICE,
    "127.0.0.1",
    "localhost",
    "kafka.kafka.svc",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
];

/// Makes keys, certificates and kubeconfigs, unless they are there.
pub(crate) fn ensure(dir: &Dir) -> Result<()> {
    let done = dir.join("pki");
    if !done.is_dir() {
        let partial = dir.join("pki.partial");
        remove_tree(&partial)?;
        fs::create_dir_all(&partial).during(|| format!("making {}", partial.display()))?;
        make(&partial)?;
        fs::rename(&partial, &done).during(|| format!("naming {}", done.display()))?;
    }
    for (user, file) in [("admin", "admin.conf"), ("kubelet", "kubelet.conf")] {
        let text = kubeconfig(&done, user)?;
        crate::dir::write_atomically(&dir.join(file), text.as_bytes())?;
    }
    Ok(())
}

fn make(folder: &Path) -> Result<()> {
    let cluster = Authority::new("lab-ca", folder, "ca")?;
    let aggregation = Authority::new("lab-front-proxy-ca", folder, "front-proxy-ca")?;
    cluster.vouch(folder, "apiserver", "kube-apiserver", None)?;
    cluster.vouch(folder, "admin", "admin", Some("system:masters"))?;
    cluster.vouch(folder, "kubelet", &format!("system:node:{NODE_NAME}"), Some("system:nodes"))?;
    cluster.vouch(folder, "broker", "kafka", None)?;
    cluster.vouch(folder, "kafka-user", KAFKA_USER, None)?;
    // Kafka takes a key and its certificate from one file.
    let parts = ["broker.key", "broker.crt"].map(|name| fs::read_to_string(folder.join(name)));
    let [key, certificate] = parts.map(|part| part.during(|| "reading the brokers' certificate".to_owned()));
    write(folder, "broker.pem", &(key? + &certificate?))?;
    aggregation.vouch(folder, "front-proxy", "front-proxy", None)?;
    let tokens = KeyPair::generate()?;
    write(folder, "sa.key", &tokens.serialize_pem())?;
    write(folder, "sa.pub", &tokens.public_key_pem())
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(common_name: &str, folder: &Path, file: &str) -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        write(folder, &format!("{file}.crt"), &params.self_signed(&key)?.pem())?;
        Ok(Self { issuer: Issuer::new(params, key) })
    }

    /// Writes a key and a certificate that serve as both client and server.
    fn vouch(&self, folder: &Path, file: &str, common_name: &str, organization: Option<&str>) -> Result<()> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(SERVER_NAMES.map(str::to_owned).to_vec())?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        if let Some(organization) = organization {
            params.distinguished_name.push(DnType::OrganizationName, organization);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        write(folder, &format!("{file}.crt"), &params.signed_by(&key, &self.issuer)?.pem())?;
        write(folder, &format!("{file}.key"), &key.serialize_pem())
    }
}

fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    let path = folder.join(name);
    fs::write(&path, text).during(|| format!("writing {}", path.display()))
}

/// A kubeconfig with everything inside, so that it can be copied anywhere.
fn kubeconfig(pki: &Path, user: &str) -> Result<String> {
    let encoded = |name: String| {
        let path = pki.join(name);
        fs::read(&path).map(|bytes| STANDARD.encode(bytes)).during(|| format!("reading {}", path.display()))
    };
    let (ca, cert, key) =
        (encoded("ca.crt".to_owned())?, encoded(format!("{user}.crt"))?, encoded(format!("{user}.key"))?);
    Ok(format!(
        "apiVersion: v1
kind: Config
clusters:
- name: lab
  cluster: {{server: 'https://{NODE}:{API_PORT}', certificate-authority-data: {ca}}}
users:
- name: {user}
  user: {{client-certificate-data: {cert}, client-key-data: {key}}}
contexts:
- name: lab
  context: {{cluster: lab, user: {user}}}
current-context: lab
"
    ))
}
