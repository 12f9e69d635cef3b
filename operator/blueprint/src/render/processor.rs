//! The user's container, as a native sidecar: an init container that is restarted always (KEP-753). It begins before the worker, and with a
//! port is up before it; the kubelet stops it only after the worker has ended, so that the last calls of a drain still find it. No preStop
//! is needed.

use k8s_openapi::api::core::v1::{Container, ContainerPort, Probe, TCPSocketAction, VolumeMount};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use penstock_crds::names::PROCESSOR_CONTAINER;
use penstock_crds::resolve::CONTAINER_PORT;
use penstock_crds::spec::ContainerSpec;
use penstock_crds::spec::processor::ImagePullPolicy;

use super::pod::SOCKET_VOLUME;
use super::security;

pub(super) fn container(spec: &ContainerSpec) -> Container {
    let port = spec.socket.is_none().then(|| spec.port.unwrap_or(CONTAINER_PORT));
    Container {
        name: PROCESSOR_CONTAINER.to_owned(),
        restart_policy: Some("Always".to_owned()),
        image: Some(spec.image.clone()),
        image_pull_policy: spec.image_pull_policy.map(ImagePullPolicy::as_str).map(str::to_owned),
        command: spec.command.clone(),
        args: spec.args.clone(),
        env: spec.env.clone(),
        env_from: spec.env_from.clone(),
        ports: port.map(|port| {
            vec![ContainerPort {
                name: Some(PROCESSOR_CONTAINER.to_owned()),
                container_port: port,
                protocol: Some("TCP".to_owned()),
                ..ContainerPort::default()
            }]
        }),
        // The kubelet cannot look at a socket. The worker does: it asks for no record before.
        startup_probe: spec.startup_probe.clone().or_else(|| port.map(listening)),
        readiness_probe: spec.readiness_probe.clone(),
        liveness_probe: spec.liveness_probe.clone(),
        resources: spec.resources.clone(),
        security_context: Some(security::of_container(spec.run_as_user)),
        // The end of the log says more about an image we do not know than an empty file.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: mounts(spec),
        ..Container::default()
    }
}

fn mounts(spec: &ContainerSpec) -> Option<Vec<VolumeMount>> {
    let folder = spec.socket.as_deref().and_then(|socket| socket.rsplit_once('/')).map(|(folder, _)| VolumeMount {
        name: SOCKET_VOLUME.to_owned(),
        mount_path: folder.to_owned(),
        ..VolumeMount::default()
    });
    match folder {
        Some(folder) => Some(spec.volume_mounts.iter().flatten().cloned().chain([folder]).collect()),
        None => spec.volume_mounts.clone(),
    }
}

/// It has started when it accepts connections; a minute is for runtimes that warm up.
fn listening(port: i32) -> Probe {
    Probe {
        tcp_socket: Some(TCPSocketAction { port: IntOrString::Int(port), host: None }),
        period_seconds: Some(1),
        failure_threshold: Some(60),
        ..Probe::default()
    }
}
