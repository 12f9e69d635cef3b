//! What ARCHITECTURE.md promises and no compiler checks; the tests are in `tests/`.
