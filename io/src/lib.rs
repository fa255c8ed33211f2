//! The daemon: a mio poll loop around the pure core.

pub mod chain;
pub mod config;
pub mod log;
mod outputs;
mod peers;
pub mod reactor;
pub mod seed;
