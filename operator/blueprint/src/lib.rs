//! Pure: pipeline and decision to Kubernetes objects, and what happened to status.
