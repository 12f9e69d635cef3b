//! What makes a pod pass the *restricted* Pod Security Standard
//! (kubernetes.io/docs/concepts/security/pod-security-standards/#restricted), and a little more: a root filesystem that cannot be written.

use k8s_openapi::api::core::v1::{Capabilities, PodSecurityContext, SeccompProfile, SecurityContext};

/// User and group of the containers: `nonroot` of distroless images.
pub(super) const USER: i64 = 65_532;

/// Of the pod. The group also owns its volumes, so that files of Secrets are readable by it and by nobody else.
pub(super) fn of_pod() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        fs_group: Some(USER),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
        ..PodSecurityContext::default()
    }
}

/// Of a container.
pub(super) fn of_container(user: Option<i64>) -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
        read_only_root_filesystem: Some(true),
        run_as_user: user,
        ..SecurityContext::default()
    }
}
