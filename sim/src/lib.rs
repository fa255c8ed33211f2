//! Many real nodes on a simulated network, chain, disk and clock.
