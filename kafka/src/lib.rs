//! How a pipeline reaches its Kafka cluster: client configuration, admin calls, what the safe API lacks.
