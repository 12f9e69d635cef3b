//! Pure delivery engine: lanes, ledger, retries, drain. Events in, effects out.
