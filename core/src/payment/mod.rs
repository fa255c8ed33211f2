//! Payments: what we pay, what we are paid, what passes through.

pub mod forward;
pub mod incoming;
pub mod outgoing;
pub mod replay;
pub mod route;
pub mod rows;
pub mod waiting;

/// Too much is in flight, or waits, already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;
