//! Pure scaling decision: observations in, Decision out.
