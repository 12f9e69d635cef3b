//! The control plane: everything that does I/O against Kubernetes and Kafka's admin side.
