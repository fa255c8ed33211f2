//! Leyden's rows in LMDB: one transaction per turn, and the monotonic state counter.
