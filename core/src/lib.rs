//! The pure state machine of a Lightning node: timestamped events in, commands out.

#![forbid(unsafe_code)]

pub mod address;
pub mod amount;
pub mod chain;
pub mod channel;
pub mod clock;
pub mod command;
pub mod config;
mod encoding;
pub mod event;
pub mod ids;
pub mod invoice;
pub mod invoices;
pub mod limits;
pub mod mutation;
pub mod node;
pub mod onion;
pub mod payment;
pub mod peer;
pub mod recording;
pub mod request;
pub mod rng;
pub mod side;
pub mod signer;
pub mod store;
pub mod timer;
pub mod transport;
pub mod tx;
#[cfg(test)]
mod vectors;
pub mod wallet;
pub mod wire;
