//! The daemon: a mio poll loop around the pure core.

pub mod chain;
pub mod config;
pub mod control;
pub mod daemon;
pub mod descriptors;
mod dev;
mod dial;
mod history;
mod linger;
pub mod listen;
pub mod log;
pub mod machine;
mod notice;
mod outputs;
mod peers;
pub mod playground;
pub mod reactor;
pub mod recorder;
mod room;
pub mod seed;
mod socks;
