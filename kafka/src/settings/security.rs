//! From a Secret's facts to how a client connects and who it is.

use std::collections::BTreeMap;

use super::layout::{Fact, Layout};
use super::{Authentication, ConnectionError};

/// A resolved way in. PEMs are handed to librdkafka in memory: it never opens a file or a URL that a Secret names.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Security {
    pub(super) tls: bool,
    pub(super) identity: Identity,
    pub(super) ca: Option<String>,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Identity {
    Anonymous,
    Certificate { certificate: String, key: String, key_password: Option<String> },
    Sasl { mechanism: &'static str, username: String, password: String },
}

/// A Secret and how to read it.
pub(super) struct Reader<'a> {
    pub(super) layout: &'static Layout,
    pub(super) secret: &'a BTreeMap<String, Vec<u8>>,
}

impl Reader<'_> {
    /// A fact's value without surrounding white space; an empty one counts as absent.
    pub(super) fn get(&self, fact: Fact) -> Result<Option<(&'static str, String)>, ConnectionError> {
        for key in self.layout.keys(fact) {
            let Some(bytes) = self.secret.get(*key) else { continue };
            let text = std::str::from_utf8(bytes).map_err(|_error| {
                bad(key, "is not text: it should hold UTF-8, such as a PEM, not a binary key store")
            })?;
            // Passwords are taken as they are, but for the newline that `echo` and editors leave at the end.
            let text = if fact == Fact::Password { text.trim_end_matches(['\n', '\r']) } else { text.trim() };
            if !text.is_empty() {
                return Ok(Some((*key, text.to_owned())));
            }
        }
        Ok(None)
    }

    fn need(&self, fact: Fact, why: &str) -> Result<String, ConnectionError> {
        match self.get(fact)? {
            Some((_, value)) => Ok(value),
            None => Err(self.missing(fact, why)),
        }
    }

    fn missing(&self, fact: Fact, why: &str) -> ConnectionError {
        let keys = self.layout.keys(fact);
        let key = keys.first().map_or_else(|| format!("{fact:?}").to_lowercase(), |key| (*key).to_owned());
        let remedy = if keys.is_empty() {
            format!(
                "{why}; this layout has no key for it, so use another layout or another spec.kafka.authentication.type"
            )
        } else {
            format!("{why}; add it, or correct spec.kafka.authentication.type")
        };
        ConnectionError::MissingKey { layout: self.layout.name, key, remedy }
    }

    fn pem(&self, fact: Fact, header: &str, why: &str) -> Result<String, ConnectionError> {
        match self.get(fact)? {
            Some((key, value)) => checked_pem(key, value, header),
            None => Err(self.missing(fact, why)),
        }
    }

    /// Everything together.
    pub(super) fn security(&self, wanted: Option<Authentication>) -> Result<Security, ConnectionError> {
        let ca = match self.get(Fact::Ca)? {
            Some((key, value)) => Some(checked_pem(key, value, "CERTIFICATE")?),
            None => None,
        };
        let authentication = match wanted {
            Some(wanted) => Some(wanted),
            None => self.infer()?,
        };
        let identity = match authentication {
            None => Identity::Anonymous,
            Some(authentication) => self.identity(authentication)?,
        };
        let tls = self.tls()?.unwrap_or(match &identity {
            // Credentials never cross the network in the clear unless somebody says so.
            Identity::Certificate { .. } | Identity::Sasl { .. } => true,
            Identity::Anonymous => ca.is_some(),
        });
        if !tls && matches!(identity, Identity::Certificate { .. }) {
            return Err(ConnectionError::Unsupported(
                "a client certificate needs TLS, but the Secret's protocol is without: remove that key, or the certificate"
                    .to_owned(),
            ));
        }
        Ok(Security { tls, identity, ca })
    }

    fn identity(&self, authentication: Authentication) -> Result<Identity, ConnectionError> {
        let mechanism = match authentication {
            Authentication::Tls => return self.certificate(),
            Authentication::Plain => "PLAIN",
            Authentication::ScramSha256 => "SCRAM-SHA-256",
            Authentication::ScramSha512 => "SCRAM-SHA-512",
            Authentication::OauthBearer => {
                return Err(ConnectionError::Unsupported(
                    "oauthbearer authentication is not supported yet: use tls, scram-sha-256, scram-sha-512 or plain"
                        .to_owned(),
                ));
            }
        };
        let jaas = self.get(Fact::Jaas)?.map(|(_, text)| text);
        let from_jaas = |option: &str| jaas.as_deref().and_then(|text| jaas_option(text, option));
        let username = match self.get(Fact::Username)? {
            Some((_, username)) => username,
            None => match from_jaas("username") {
                Some(username) => username,
                None => self.need(Fact::Username, "SASL needs a user name")?,
            },
        };
        let password = match self.get(Fact::Password)? {
            Some((_, password)) => password,
            None => match from_jaas("password") {
                Some(password) => password,
                None => self.need(Fact::Password, "SASL needs a password")?,
            },
        };
        Ok(Identity::Sasl { mechanism, username, password })
    }

    fn certificate(&self) -> Result<Identity, ConnectionError> {
        Ok(Identity::Certificate {
            certificate: self.pem(
                Fact::Certificate,
                "CERTIFICATE",
                "tls authentication needs the client's certificate",
            )?,
            key: self.pem(Fact::Key, "PRIVATE KEY", "tls authentication needs the private key of the certificate")?,
            key_password: self.get(Fact::KeyPassword)?.map(|(_, password)| password),
        })
    }

    /// What the Secret's keys suggest; nothing where it holds no credentials.
    fn infer(&self) -> Result<Option<Authentication>, ConnectionError> {
        if let Some((key, mechanism)) = self.get(Fact::Mechanism)? {
            return by_mechanism(key, &mechanism);
        }
        if let Some((_, jaas)) = self.get(Fact::Jaas)? {
            let plain = jaas.contains("PlainLoginModule");
            return Ok(Some(if plain { Authentication::Plain } else { Authentication::ScramSha512 }));
        }
        if self.get(Fact::Certificate)?.is_some() || self.get(Fact::Key)?.is_some() {
            return Ok(Some(Authentication::Tls));
        }
        if self.get(Fact::Password)?.is_none() && self.get(Fact::Username)?.is_none() {
            return Ok(None);
        }
        if self.layout.is_strimzi() {
            return Ok(Some(Authentication::ScramSha512));
        }
        Err(ConnectionError::Unrecognised(
            "the Secret has a user name and password, but nothing says which mechanism they are for: set \
             spec.kafka.authentication.type to scram-sha-512, scram-sha-256 or plain, or add the key sasl.mechanism"
                .to_owned(),
        ))
    }

    /// What the Secret says about TLS, if anything.
    fn tls(&self) -> Result<Option<bool>, ConnectionError> {
        if let Some((key, protocol)) = self.get(Fact::Protocol)? {
            return match protocol.to_ascii_uppercase().as_str() {
                "SSL" | "SASL_SSL" => Ok(Some(true)),
                "PLAINTEXT" | "SASL_PLAINTEXT" => Ok(Some(false)),
                _ => Err(bad(key, "is not a protocol: it should be PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL")),
            };
        }
        let Some((key, value)) = self.get(Fact::Tls)? else { return Ok(None) };
        match value.to_ascii_lowercase().as_str() {
            "enable" | "true" => Ok(Some(true)),
            "disable" | "false" => Ok(Some(false)),
            _ => Err(bad(key, "should be enable or disable")),
        }
    }
}

fn bad(key: &str, problem: &str) -> ConnectionError {
    ConnectionError::BadValue { key: key.to_owned(), problem: problem.to_owned() }
}

/// Kafka's names for mechanisms and KEDA's.
fn by_mechanism(key: &str, mechanism: &str) -> Result<Option<Authentication>, ConnectionError> {
    match mechanism.to_ascii_lowercase().replace('_', "-").as_str() {
        "none" => Ok(None),
        "plain" | "plaintext" => Ok(Some(Authentication::Plain)),
        "scram-sha-256" | "scram-sha256" => Ok(Some(Authentication::ScramSha256)),
        "scram-sha-512" | "scram-sha512" => Ok(Some(Authentication::ScramSha512)),
        "oauthbearer" => Ok(Some(Authentication::OauthBearer)),
        _ => Err(bad(key, "is not a mechanism that is supported: it should be PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")),
    }
}

fn checked_pem(key: &str, value: String, header: &str) -> Result<String, ConnectionError> {
    // A key's header has its kind before the words: RSA PRIVATE KEY, EC PRIVATE KEY, ENCRYPTED PRIVATE KEY.
    if value.contains("-----BEGIN ") && value.contains(&format!("{header}-----")) {
        return Ok(value);
    }
    let problem = format!("should be a PEM with a {header}: it should start with -----BEGIN … and be base64 only once");
    Err(ConnectionError::BadValue { key: key.to_owned(), problem })
}

/// The value of `option="…"` in a JAAS configuration, its backslashes undone.
fn jaas_option(jaas: &str, option: &str) -> Option<String> {
    let mut rest = jaas;
    loop {
        let at = rest.find(option)?;
        let before = rest[..at].chars().next_back();
        rest = &rest[at + option.len()..];
        if before.is_none_or(char::is_whitespace)
            && let Some(quoted) = rest.trim_start().strip_prefix('=')
        {
            let quoted = quoted.trim_start();
            let quote = quoted.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
            return unquote(&quoted[1..], quote);
        }
    }
}

fn unquote(text: &str, quote: char) -> Option<String> {
    let mut value = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '\\' => value.push(chars.next()?),
            end if end == quote => return Some(value),
            other => value.push(other),
        }
    }
}
