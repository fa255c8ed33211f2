//! Stories of channels.

mod ledger;
