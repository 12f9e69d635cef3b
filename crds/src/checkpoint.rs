//! The checkpoint.
/// Class of an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorClass {
    /// Unknown.
    #[default]
    Unknown,
}
