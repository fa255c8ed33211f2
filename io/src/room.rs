//! Room on the disk, looked at before turns: while it is short, new work is refused and old work goes on.

use leyden_core::clock::Mono;
use leyden_core::request::Request;
use leyden_persist::{Fatal, Level, Store};

/// Look again after so many rows: what they and the pages around them take is far below the room for one full turn.
const ROWS_PER_LOOK: u32 = 256;
/// Look again after so long: others fill the disk as well.
const MS_PER_LOOK: u64 = 1_000;

/// The last look, and what happened since.
#[derive(Default)]
pub(crate) struct Room {
    is_short: bool,
    rows: u32,
    next_look: Mono,
}

impl Room {
    /// Looks, if it is time. The store grows its map meanwhile, if it has to.
    pub(crate) fn look(&mut self, store: &mut Store, now: Mono) -> Result<(), Fatal> {
        if self.rows < ROWS_PER_LOOK && now < self.next_look {
            return Ok(());
        }
        self.rows = 0;
        self.next_look = now.plus_ms(MS_PER_LOOK);
        self.is_short = store.headroom()?.level() != Level::Ample;
        Ok(())
    }

    /// A turn has written rows.
    pub(crate) fn committed(&mut self, rows: u32) {
        self.rows = self.rows.saturating_add(rows);
    }

    /// Is new work to be refused?
    pub(crate) fn is_short(&self) -> bool {
        self.is_short
    }

    /// What to say instead, if the request is for new work.
    pub(crate) fn refuses(request: &Request) -> Option<&'static str> {
        match request {
            Request::FundChannel(_)
            | Request::NewAddr(_)
            | Request::Withdraw(_)
            | Request::FundPsbt(_)
            | Request::Invoice(_)
            | Request::Pay(_)
            | Request::XPay(_)
            | Request::SendPay(_)
            | Request::SendOnion(_)
            | Request::DevGenerate(_)
            | Request::DevFaucet(_) => {
                Some("The disk is almost full: free some space first. What is under way goes on meanwhile")
            }
            _ => None,
        }
    }
}
