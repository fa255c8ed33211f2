//! Payments: what we pay, what we are paid, what passes through.

pub mod forward;
pub mod incoming;
pub mod outgoing;
pub mod replay;
pub mod route;
pub mod rows;
pub mod waiting;
