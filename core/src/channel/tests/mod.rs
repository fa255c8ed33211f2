//! Stories of channels.

mod ledger;
mod limits;
mod lives;
mod pair;
mod reestablish;
mod tapes;
