//! Messages of BOLT 1, 2, 7 and the onion message of BOLT 4; feature bits of BOLT 9.

pub mod address;
pub mod codec;
pub mod describe;
pub mod features;
pub mod gossip;
pub mod message;
pub mod query;
pub mod tlv;

#[cfg(test)]
mod tests;

pub use codec::{BigSize, Cursor, Field, Full, Reader};
pub use describe::{Describe, Described};
pub use features::{ChannelType, Feature, Features};
pub use message::*;
