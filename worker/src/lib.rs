//! The data plane: one thread that owns the consumer and the engine, and the processors it calls.
