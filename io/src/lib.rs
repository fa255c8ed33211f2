//! The daemon: a mio poll loop around the pure core.

pub mod chain;
pub mod config;
pub mod log;
pub mod seed;
