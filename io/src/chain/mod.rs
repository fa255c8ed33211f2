//! The chain backend: a bitcoind, asked over its JSON-RPC by one non-blocking connection on the reactor's loop, or a
//! chain that the process hosts itself.
//!
//! - [`http`] turns bytes into responses, [`rpc`] calls into requests and responses into answers.
//! - [`follow`] decides what to ask next and turns answers into [`DriverEvent`]s: block by block, disconnecting before
//!   connecting. It touches no socket and no clock.
//! - [`filter`] holds what the core watches, [`block`] finds it in blocks.
//! - [`BitcoindDriver`] owns the socket; [`embedded`] needs none. [`Driver`] is either. The reactor calls it when its
//!   token reports and when its deadline has come.

pub mod block;
pub mod embedded;
pub mod event;
pub mod filter;
pub mod follow;
pub mod http;
pub mod rpc;

mod bitcoind;
mod connection;
mod driver;
mod resolve;

pub use bitcoind::BitcoindDriver;
pub use driver::Driver;
pub use embedded::SharedChain;
pub use event::{DriverEvent, Start, Trouble};
pub use filter::Filter;
