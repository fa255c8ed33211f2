//! BOLT 4, onion routing: packets, what they say to each hop, and the failures that come back.

pub mod attribution;
mod crypto;
pub mod failure;
pub mod packet;
pub mod payload;
pub mod returned;
#[cfg(test)]
mod tests;

pub use attribution::{ATTRIBUTION_SIZE, Attribution, attribute, hold_times};
pub use failure::{Failure, Undecoded};
pub use packet::{Built, ONION_SIZE, PeelError, Peeled, TooLong, build, peel, sha256_of_onion, shared_secrets};
pub use payload::{Final, Forward, InvalidPayload, Payload, PaymentData};
pub use returned::{Returned, rewrap, unwrap, wrap};
