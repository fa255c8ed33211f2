//! What the loop itself has to tell the machine: it waits for the next turn, because it comes up behind a commit.

use leyden_core::clock::Clock;
use leyden_core::command::Sink;
use leyden_core::event::{Cut, Event};
use leyden_core::ids::{ConnId, DialId, QueryId, RequestId};
use leyden_core::request::Request;
use leyden_core::signer::Signer;
use leyden_core::store::{Row, Table};
use leyden_persist::OwnedRow;

use crate::machine::Machine;

/// One such thing.
#[derive(Debug)]
pub(crate) enum Notice {
    /// Rows that were asked for.
    Loaded { query: QueryId, table: Table, rows: Vec<OwnedRow> },
    /// A connection that the machine knows is gone.
    Disconnected { conn: ConnId, reason: Cut },
    /// A dial has come to nothing.
    DialFailed { dial: DialId, reason: String },
    /// A write buffer that the socket had not emptied at once is empty.
    WriteSpace { conn: ConnId, free: u32 },
    /// Nobody waits for this answer any more.
    RequestGone { id: RequestId },
    /// What the loop itself wants to know for the client that waits for this answer.
    Ask { id: RequestId, request: Request },
}

impl Notice {
    /// Tells the machine.
    pub(crate) fn step<M: Machine>(self, machine: &mut M, clock: Clock, signer: &mut dyn Signer, out: &mut dyn Sink) {
        let event = match self {
            Notice::Loaded { query, table, ref rows } => {
                let rows: Vec<Row<'_>> =
                    rows.iter().map(|row| Row { table, key: &row.key, value: &row.value }).collect();
                return machine.step(clock, Event::Loaded { query, rows: &rows }, signer, out);
            }
            Notice::Disconnected { conn, reason } => Event::Disconnected { conn, reason },
            Notice::DialFailed { dial, reason } => Event::DialFailed { dial, reason },
            Notice::WriteSpace { conn, free } => Event::WriteSpace { conn, free },
            Notice::RequestGone { id } => Event::RequestGone { id },
            Notice::Ask { id, request } => Event::Request { id, request },
        };
        machine.step(clock, event, signer, out);
    }
}
