//! Messages of BOLT 1, 2 and 7.

/// A message.
pub enum Message<'a> {
    /// One that is not known here.
    Unknown(&'a [u8]),
}
