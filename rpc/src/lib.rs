//! Leyden's JSON-RPC, as clients of Core Lightning speak it: decoding, encoding, methods, and the command line client.
//!
//! Nothing here reads or writes a socket: a [`session::Session`] takes and gives bytes, and the daemon's loop moves them.

pub mod address;
mod args;
pub mod cli;
pub mod daemon;
mod encode;
mod filter;
pub mod frame;
pub mod methods;
mod param;
pub mod session;
mod token;
pub mod view;

/// The socket's name in the folder of a network: the one under which clients of Core Lightning look for it.
pub const SOCKET_NAME: &str = "lightning-rpc";
