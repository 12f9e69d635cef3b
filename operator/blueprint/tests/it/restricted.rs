//! Every rendered pod against the *restricted* Pod Security Standard, control by control
//! (kubernetes.io/docs/concepts/security/pod-security-standards), and against what Penstock asks beyond it.

use k8s_openapi::api::core::v1::{Container, PodSpec, Probe, SecurityContext, Volume};

use crate::golden::worlds;

fn violations(pod: &PodSpec) -> Vec<String> {
    let mut found = vec![];
    let mut rule = |holds: bool, rule: &str| {
        if !holds {
            found.push(rule.to_owned());
        }
    };
    let context = pod.security_context.clone().unwrap_or_default();
    rule(!pod.host_network.unwrap_or(false), "host network");
    rule(!pod.host_pid.unwrap_or(false) && !pod.host_ipc.unwrap_or(false), "host namespaces");
    rule(pod.volumes.iter().flatten().all(harmless), "volume types");
    rule(context.run_as_non_root == Some(true), "runAsNonRoot");
    rule(context.run_as_user.is_none_or(|user| user != 0), "runAsUser");
    rule(context.seccomp_profile.is_some_and(|profile| profile.type_ == "RuntimeDefault"), "seccomp");
    rule(context.sysctls.is_none() && context.se_linux_options.is_none(), "sysctls and SELinux");
    rule(context.app_armor_profile.is_none() && context.windows_options.is_none(), "AppArmor and Windows");
    rule(pod.automount_service_account_token == Some(false), "no token");
    rule(pod.enable_service_links == Some(false), "no service links");
    rule(pod.ephemeral_containers.is_none(), "no ephemeral containers");
    for container in pod.containers.iter().chain(pod.init_containers.iter().flatten()) {
        container_rules(container, &mut rule);
    }
    found
}

fn container_rules(container: &Container, rule: &mut impl FnMut(bool, &str)) {
    let default = SecurityContext::default();
    let context = container.security_context.as_ref().unwrap_or(&default);
    let capabilities = context.capabilities.clone().unwrap_or_default();
    rule(!context.privileged.unwrap_or(false), "privileged");
    rule(context.allow_privilege_escalation == Some(false), "allowPrivilegeEscalation");
    rule(capabilities.drop.is_some_and(|drop| drop == ["ALL"]) && capabilities.add.is_none(), "capabilities");
    rule(context.run_as_non_root != Some(false) && context.run_as_user != Some(0), "container's user");
    rule(context.seccomp_profile.is_none() && context.proc_mount.is_none(), "container's seccomp and /proc");
    rule(context.se_linux_options.is_none() && context.app_armor_profile.is_none(), "container's SELinux, AppArmor");
    rule(container.ports.iter().flatten().all(|port| port.host_port.unwrap_or(0) == 0), "host ports");
    let probes = [&container.startup_probe, &container.liveness_probe, &container.readiness_probe];
    rule(probes.into_iter().flatten().all(on_pod) && container.lifecycle.is_none(), "probes of other hosts");
    rule(context.read_only_root_filesystem == Some(true), "readOnlyRootFilesystem");
}

fn on_pod(probe: &Probe) -> bool {
    probe.http_get.as_ref().is_none_or(|action| action.host.is_none())
        && probe.tcp_socket.as_ref().is_none_or(|action| action.host.is_none())
}

fn harmless(volume: &Volume) -> bool {
    let allowed = [volume.config_map.is_some(), volume.secret.is_some(), volume.empty_dir.is_some()];
    let known = Volume { name: volume.name.clone(), config_map: volume.config_map.clone(), ..Volume::default() };
    let known = Volume { secret: volume.secret.clone(), empty_dir: volume.empty_dir.clone(), ..known };
    allowed.into_iter().filter(|one| *one).count() == 1 && *volume == known
}

fn pods() -> impl Iterator<Item = (&'static str, PodSpec)> {
    worlds().filter_map(|(name, world)| Some((name, world.rendered()?.deployment.spec?.template.spec?)))
}

#[test]
fn every_pod_is_restricted() {
    let mut seen = 0;
    for (name, pod) in pods() {
        assert_eq!(violations(&pod), Vec::<String>::new(), "{name}");
        seen += 1;
    }
    assert!(seen > 5);
}

/// The check can fail: each of these edits breaks one rule.
#[test]
fn a_pod_that_is_not_restricted_is_found_out() {
    let (_, good) = pods().find(|(_, pod)| pod.init_containers.is_some()).unwrap();
    let edits: [fn(&mut PodSpec); 6] = [
        |pod| pod.host_network = Some(true),
        |pod| pod.security_context = None,
        |pod| pod.containers[0].security_context = None,
        |pod| pod.init_containers.as_mut().unwrap()[0].security_context.as_mut().unwrap().run_as_user = Some(0),
        |pod| pod.automount_service_account_token = None,
        |pod| pod.volumes.as_mut().unwrap()[0] = Volume { name: "none".into(), ..Volume::default() },
    ];
    for edit in edits {
        let mut bad = good.clone();
        edit(&mut bad);
        assert!(!violations(&bad).is_empty());
    }
}

#[test]
fn the_processor_is_up_before_the_worker_and_outlives_it() {
    let (_, pod) = pods().find(|(_, pod)| pod.init_containers.is_some()).unwrap();
    let [sidecar] = pod.init_containers.as_deref().unwrap() else { panic!("one sidecar") };
    assert_eq!(sidecar.restart_policy.as_deref(), Some("Always"));
    assert!(sidecar.startup_probe.is_some(), "without one, the worker would start before it listens");
    assert_eq!(pod.containers.len(), 1);
}
