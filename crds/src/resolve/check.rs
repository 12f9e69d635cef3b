//! Collects violations, and holds the checks that several fields share.

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Probe, VolumeMount};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::Violation;
use crate::names;
use crate::pipeline::Source;
use crate::spec::processor::{SOCKET_BYTES_MAX, SOCKET_NAME_BYTES_MAX};
use crate::spec::{ContainerSpec, WorkerSpec};

/// What was found wrong so far.
#[derive(Default)]
pub(super) struct Check {
    violations: Vec<Violation>,
}

impl Check {
    pub(super) fn wrong(&mut self, path: &str, message: impl Into<String>) {
        self.violations.push(Violation { path: path.to_owned(), message: message.into() });
    }

    pub(super) fn within(&mut self, path: &str, unit: &str, value: i64, least: i64, most: i64) {
        if !(least..=most).contains(&value) {
            self.wrong(path, format!("is {value}; {least} to {most} {unit} are possible"));
        }
    }

    /// A whole number between bounds that fit into u32; the lower bound stands in for a wrong one.
    pub(super) fn count(&mut self, path: &str, value: i32, least: u32, most: u32) -> u32 {
        match u32::try_from(value) {
            Ok(value) if (least..=most).contains(&value) => value,
            _ => {
                self.wrong(path, format!("is {value}; {least} to {most} are possible"));
                least
            }
        }
    }

    pub(super) fn span(&mut self, path: &str, value: Duration, least: Duration, most: Duration) -> Duration {
        if value < least || value > most {
            self.wrong(path, format!("is {value:?}; {least:?} to {most:?} are possible"));
        }
        value
    }

    pub(super) fn topic(&mut self, path: &str, name: &str) {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.is_empty() || name.len() > 249 || !name.chars().all(legal) || name == "." || name == ".." {
            let shown: String = name.chars().take(60).collect();
            self.wrong(
                path,
                format!("{shown:?} is no topic name; 1 to 249 letters, digits, dots, underscores and hyphens are"),
            );
        }
    }

    pub(super) fn not_a_source(&mut self, path: &str, topic: &str, source: &Source) {
        if source.topics.iter().any(|one| one.name == topic) {
            self.wrong(
                path,
                format!("{topic} is one of source.topics; choose another, or the pipeline reads what it writes"),
            );
        }
    }

    pub(super) fn url(&mut self, path: &str, url: &str) {
        let host = url.strip_prefix("http://").and_then(|rest| rest.split('/').next());
        match host {
            Some(host) if !host.is_empty() && !host.contains('@') && !url.contains(char::is_whitespace) => {}
            _ => self.wrong(path, "is no URL of the form http://host[:port]/path, without credentials"),
        }
    }

    pub(super) fn container(&mut self, container: &ContainerSpec) {
        let path = "spec.processor.container";
        if container.image.is_empty() {
            self.wrong(&format!("{path}.image"), "is empty; name an image");
        }
        if let Some(port) = container.port {
            self.within(&format!("{path}.port"), "", port.into(), 1, 65_535);
            if port == names::WORKER_HTTP_PORT {
                self.wrong(
                    &format!("{path}.port"),
                    format!("is {port}, which the worker beside it uses; choose another"),
                );
            }
        }
        if let Some(socket) = &container.socket {
            self.socket(path, socket, container);
        }
        if container.run_as_user == Some(0) {
            self.wrong(&format!("{path}.runAsUser"), "is 0; worker pods never run as root, choose another user");
        }
        for (field, probe) in probes(container) {
            let host = probe.http_get.as_ref().is_some_and(|get| get.host.is_some())
                || probe.tcp_socket.as_ref().is_some_and(|socket| socket.host.is_some());
            if host {
                // The restricted Pod Security Standard forbids it, so the pods would be refused one by one.
                self.wrong(&format!("{path}.{field}"), "names a host; a probe asks the container itself, remove it");
            }
        }
        let volumes = container.volumes.as_deref().unwrap_or_default();
        for volume in volumes {
            let sources = [volume.config_map.is_some(), volume.secret.is_some(), volume.empty_dir.is_some()];
            if sources.into_iter().filter(|&given| given).count() != 1 {
                self.wrong(
                    &format!("{path}.volumes"),
                    format!("{} is not exactly one of configMap, secret, emptyDir", volume.name),
                );
            }
            if volume.name.starts_with("penstock") {
                self.wrong(
                    &format!("{path}.volumes"),
                    format!("{} begins with penstock, as Penstock's own do; rename it", volume.name),
                );
            }
        }
        for mount in container.volume_mounts.as_deref().unwrap_or_default() {
            if !volumes.iter().any(|volume| volume.name == mount.name) {
                self.wrong(
                    &format!("{path}.volumeMounts"),
                    format!("{} is not one of container.volumes; add it there", mount.name),
                );
            }
        }
    }

    fn socket(&mut self, container_path: &str, socket: &str, container: &ContainerSpec) {
        let path = format!("{container_path}.socket");
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let is_name = |part: &str| !part.is_empty() && !part.starts_with(['.', '-']) && part.chars().all(legal);
        let parts = socket.strip_prefix('/').unwrap_or_default();
        let (folder, name) = socket.rsplit_once('/').unwrap_or_default();
        let fits = socket.len() <= SOCKET_BYTES_MAX && name.len() <= SOCKET_NAME_BYTES_MAX;
        if !fits || !parts.contains('/') || !parts.split('/').all(is_name) {
            let form = "absolute, in a folder, of letters, digits, dots, underscores and hyphens";
            let limits = format!("at most {SOCKET_BYTES_MAX} bytes, its name at most {SOCKET_NAME_BYTES_MAX}");
            self.wrong(&path, format!("is no path like /run/app/http.sock: {form}, {limits}"));
        }
        if container.port.is_some() {
            self.wrong(&path, "stands in the place of container.port: the worker calls one of them; remove the other");
        }
        let overlaps = |mount: &&VolumeMount| {
            let (mount, folder) = (Path::new(&mount.mount_path), Path::new(folder));
            mount.starts_with(folder) || folder.starts_with(mount)
        };
        if let Some(mount) = container.volume_mounts.iter().flatten().find(overlaps) {
            let other = format!("{} of container.volumeMounts is above, below or there", mount.mount_path);
            self.wrong(
                &path,
                format!("is in {folder}, which becomes a volume of its own, and {other}; name another folder"),
            );
        }
        for (field, probe) in probes(container) {
            let get = probe.http_get.as_ref().map(|get| &get.port);
            let port = get.or_else(|| probe.tcp_socket.as_ref().map(|socket| &socket.port));
            if matches!(port, Some(IntOrString::String(_))) {
                let remedy = "with container.socket there is none with a name; give a number, or ask with exec";
                self.wrong(&format!("{container_path}.{field}"), format!("names a port, and {remedy}"));
            }
        }
    }

    pub(super) fn worker(&mut self, worker: &WorkerSpec) {
        let reserved = |key: &String| {
            key.split_once('/')
                .is_some_and(|(prefix, _)| prefix.ends_with(names::GROUP) || prefix == "app.kubernetes.io")
        };
        for (field, map) in [("podLabels", &worker.pod_labels), ("podAnnotations", &worker.pod_annotations)] {
            for key in map.iter().flat_map(|map| map.keys()).filter(|key| reserved(key)) {
                self.wrong(&format!("spec.worker.{field}"), format!("{key} is one of Penstock's own; remove it"));
            }
        }
    }

    /// Everything that is wrong, sorted, each once.
    pub(super) fn finish(mut self) -> Result<(), Vec<Violation>> {
        self.violations.sort();
        self.violations.dedup();
        if self.violations.is_empty() { Ok(()) } else { Err(self.violations) }
    }
}

/// The probes of a container, with the names of their fields.
fn probes(container: &ContainerSpec) -> impl Iterator<Item = (&'static str, &Probe)> {
    let probes = [
        ("startupProbe", &container.startup_probe),
        ("readinessProbe", &container.readiness_probe),
        ("livenessProbe", &container.liveness_probe),
    ];
    probes.into_iter().filter_map(|(field, probe)| Some((field, probe.as_ref()?)))
}
