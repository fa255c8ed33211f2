//! The chain backend: a bitcoind, asked over its JSON-RPC by one non-blocking connection on the reactor's loop.
//!
//! - [`http`] turns bytes into responses, [`rpc`] calls into requests and responses into answers.
//! - [`follow`] decides what to ask next and turns answers into [`DriverEvent`]s: block by block, disconnecting before
//!   connecting. It touches no socket and no clock.
//! - [`filter`] holds what the core watches, [`block`] finds it in blocks.
//! - [`Driver`] owns the socket. The reactor calls it when the socket is ready and when its deadline has come.

pub mod block;
pub mod event;
pub mod filter;
pub mod follow;
pub mod http;
pub mod rpc;

mod connection;
mod driver;

pub use driver::Driver;
pub use event::{DriverEvent, Start, Trouble};
pub use filter::Filter;
