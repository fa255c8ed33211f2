//! The daemon: a mio poll loop around the pure core.
