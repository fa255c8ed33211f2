//! `wait`: clients that follow a list hear when it has grown, or when something in it has changed.

use crate::ids::RequestId;
use crate::limits::WAITERS_MAX;
use crate::node::{Io, Node};
use crate::request::node::{Grown, Subsystem, Wait};
use crate::request::{ListIndex, RequestError, Response};

impl Node {
    /// The last number of a list, as clients count; zero before the first.
    fn last_number(&self, subsystem: Subsystem, index: ListIndex) -> u64 {
        let (created, updated) = match subsystem {
            Subsystem::Invoices => self.invoices.last_numbers(),
            Subsystem::SendPays => self.outgoing.last_numbers(),
            Subsystem::Forwards => self.forwards.last_numbers(),
        };
        match index {
            ListIndex::Created => created,
            ListIndex::Updated => updated,
        }
    }

    pub(super) fn on_wait(&mut self, io: &mut Io<'_>, request: RequestId, wait: Wait) {
        if self.list_waiters.len() >= WAITERS_MAX {
            return io.reply(request, Err(RequestError::generic(format!("{WAITERS_MAX} clients wait already"))));
        }
        // Whether there is such a number already is looked at when the step ends.
        self.list_waiters.insert(request, wait);
    }

    /// Answers those whose number there is.
    pub(in crate::node) fn answer_list_waiters(&mut self, io: &mut Io<'_>) {
        if self.list_waiters.is_empty() {
            return;
        }
        let mut waiters = std::mem::take(&mut self.list_waiters);
        waiters.retain(|request, Wait { subsystem, index, next }| {
            let last = self.last_number(*subsystem, *index);
            if last >= *next {
                let grown = Grown { subsystem: *subsystem, index: *index, last };
                io.reply(*request, Ok(Response::Grown(grown)));
            }
            last < *next
        });
        self.list_waiters = waiters;
    }
}
