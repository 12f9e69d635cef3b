//! The lab: a real Kubernetes cluster and a real Kafka on this machine, as a library and a program.
