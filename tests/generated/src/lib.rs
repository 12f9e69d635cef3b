//! Text that is generated from other files, so that it cannot tell anything else than they do. `tests/drift.rs` compares it with
//! what is committed; `make generate` writes it.

mod chart;
mod metrics;
mod reference;
mod values;

pub use self::chart::crd_template;
pub use self::metrics::{Family, label_values, metrics, untold};
pub use self::reference::reference;
pub use self::values::{Value, table, undocumented, values};
