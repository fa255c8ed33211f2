//! Events, exactly: what is decoded is what was encoded.

use bitcoin::Transaction;

use super::Malformed;
use super::bytes::{Reader, put_bytes, put_u64, put_value};
use crate::chain::Tip;
use crate::event::{ChainEvent, Event, Match};
use crate::ids::{BlockHeight, ConnId, DialId, NodeId, QueryId, RequestId};
use crate::store::{Row, Table};

/// The node's own beginning stands where an event would.
pub(super) const START: u8 = 0x01;
const DEADLINE: u8 = 0x02;
const IDLE: u8 = 0x03;
const CONNECTED: u8 = 0x04;
const DIAL_FAILED: u8 = 0x05;
const RECEIVED: u8 = 0x06;
const WRITE_SPACE: u8 = 0x07;
const DISCONNECTED: u8 = 0x08;
const REQUEST: u8 = 0x09;
const REQUEST_GONE: u8 = 0x0a;
const LOADED: u8 = 0x0b;
const CHAIN_BEGIN: u8 = 0x10;
const CHAIN_CONNECTED: u8 = 0x11;
const CHAIN_DISCONNECTED: u8 = 0x12;
const CHAIN_SYNCED: u8 = 0x13;
const CHAIN_FEERATES: u8 = 0x14;
const CHAIN_BROADCAST: u8 = 0x15;
const CHAIN_UP: u8 = 0x16;
const CHAIN_DOWN: u8 = 0x17;

/// An event as it is read back. It lends an [`Event`].
#[derive(Clone, Debug)]
pub enum RecordedEvent<'a> {
    /// No event: [`crate::node::Node::start`].
    Start,
    /// An event that needs nothing but the recording's bytes.
    Plain(Event<'a>),
    /// A block, whose transactions are decoded.
    Block {
        /// Height and hash.
        tip: Tip,
        /// Its header's time, Unix seconds.
        time_s: u32,
        /// What it holds for us.
        matches: Vec<(u32, Transaction)>,
    },
    /// Rows of the store.
    Loaded {
        /// Which query.
        query: QueryId,
        /// The rows.
        rows: Vec<Row<'a>>,
    },
}

impl<'a> RecordedEvent<'a> {
    /// Lends the event to whoever steps the node; `None` is the start.
    pub fn with<R>(&self, work: impl FnOnce(Option<Event<'_>>) -> R) -> R {
        match self {
            RecordedEvent::Start => work(None),
            RecordedEvent::Plain(event) => work(Some(event.clone())),
            RecordedEvent::Block { tip, time_s, matches } => {
                let matches: Vec<Match<'_>> = matches.iter().map(|(index, tx)| Match { index: *index, tx }).collect();
                let event = ChainEvent::BlockConnected { tip: *tip, time_s: *time_s, matches: &matches };
                work(Some(Event::Chain(event)))
            }
            RecordedEvent::Loaded { query, rows } => work(Some(Event::Loaded { query: *query, rows })),
        }
    }

    /// The message, if it is one.
    pub fn message(&self) -> Option<(ConnId, &'a [u8])> {
        match self {
            RecordedEvent::Plain(Event::Received { conn, message }) => Some((*conn, message)),
            _ => None,
        }
    }

    /// Reads what follows a tag.
    pub(super) fn read(tag: u8, reader: &mut Reader<'a>) -> Result<RecordedEvent<'a>, Malformed> {
        let event = match tag {
            START => return Ok(RecordedEvent::Start),
            DEADLINE => Event::Deadline,
            IDLE => Event::Idle,
            CONNECTED => Event::Connected {
                conn: conn(reader)?,
                peer: NodeId(reader.array()?),
                direction: reader.value("direction")?,
                address: reader.value("address")?,
            },
            DIAL_FAILED => Event::DialFailed { dial: DialId(reader.u64()?), reason: reader.text()?.to_owned() },
            RECEIVED => Event::Received { conn: conn(reader)?, message: reader.bytes()? },
            WRITE_SPACE => Event::WriteSpace { conn: conn(reader)?, free: reader.u32()? },
            DISCONNECTED => Event::Disconnected { conn: conn(reader)?, reason: reader.value("end of a connection")? },
            REQUEST => Event::Request { id: RequestId(reader.u64()?), request: reader.value("request")? },
            REQUEST_GONE => Event::RequestGone { id: RequestId(reader.u64()?) },
            LOADED => return loaded(reader),
            CHAIN_BEGIN => Event::Chain(ChainEvent::Begin { tip: reader.value("tip")? }),
            CHAIN_CONNECTED => return block(reader),
            CHAIN_DISCONNECTED => Event::Chain(ChainEvent::BlockDisconnected { tip: reader.value("tip")? }),
            CHAIN_SYNCED => Event::Chain(ChainEvent::Synced { height: BlockHeight(reader.u32()?) }),
            CHAIN_FEERATES => Event::Chain(ChainEvent::Feerates(reader.value("feerates")?)),
            CHAIN_BROADCAST => {
                let txid = bitcoin::hashes::Hash::from_byte_array(reader.array()?);
                Event::Chain(ChainEvent::Broadcast { txid, outcome: reader.value("outcome")? })
            }
            CHAIN_UP => Event::Chain(ChainEvent::Up),
            CHAIN_DOWN => Event::Chain(ChainEvent::Down { reason: reader.text()?.to_owned() }),
            _ => return Err(Malformed { expected: "event of a known kind" }),
        };
        Ok(RecordedEvent::Plain(event))
    }
}

fn conn(reader: &mut Reader<'_>) -> Result<ConnId, Malformed> {
    Ok(ConnId { slot: reader.u32()?, generation: reader.u32()? })
}

fn loaded<'a>(reader: &mut Reader<'a>) -> Result<RecordedEvent<'a>, Malformed> {
    let (query, count) = (QueryId(reader.u64()?), reader.u64()?);
    let mut rows = Vec::new();
    // No memory by what is claimed: each row takes bytes of its own.
    for _ in 0..count {
        let table = Table::from_number(reader.u8()?).ok_or(Malformed { expected: "table" })?;
        rows.push(Row { table, key: reader.bytes()?, value: reader.bytes()? });
    }
    Ok(RecordedEvent::Loaded { query, rows })
}

fn block<'a>(reader: &mut Reader<'a>) -> Result<RecordedEvent<'a>, Malformed> {
    let (tip, time_s, count) = (reader.value("tip")?, reader.u32()?, reader.u64()?);
    let mut matches = Vec::new();
    for _ in 0..count {
        let index = reader.u32()?;
        let tx = bitcoin::consensus::deserialize(reader.bytes()?);
        matches.push((index, tx.map_err(|_| Malformed { expected: "transaction" })?));
    }
    Ok(RecordedEvent::Block { tip, time_s, matches })
}

fn put_conn(conn: ConnId, out: &mut Vec<u8>) {
    put_u64(u64::from(conn.slot), out);
    put_u64(u64::from(conn.generation), out);
}

/// Appends an event.
pub(super) fn write(event: &Event<'_>, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
    match event {
        Event::Deadline => out.push(DEADLINE),
        Event::Idle => out.push(IDLE),
        Event::Connected { conn, peer, direction, address } => {
            out.push(CONNECTED);
            put_conn(*conn, out);
            out.extend_from_slice(&peer.0);
            put_value(direction, scratch, out);
            put_value(address, scratch, out);
        }
        Event::DialFailed { dial, reason } => {
            out.push(DIAL_FAILED);
            put_u64(dial.0, out);
            put_bytes(reason.as_bytes(), out);
        }
        Event::Received { conn, message } => {
            out.push(RECEIVED);
            put_conn(*conn, out);
            put_bytes(message, out);
        }
        Event::WriteSpace { conn, free } => {
            out.push(WRITE_SPACE);
            put_conn(*conn, out);
            put_u64(u64::from(*free), out);
        }
        Event::Disconnected { conn, reason } => {
            out.push(DISCONNECTED);
            put_conn(*conn, out);
            put_value(reason, scratch, out);
        }
        Event::Request { id, request } => {
            out.push(REQUEST);
            put_u64(id.0, out);
            put_value(request, scratch, out);
        }
        Event::RequestGone { id } => {
            out.push(REQUEST_GONE);
            put_u64(id.0, out);
        }
        Event::Loaded { query, rows } => {
            out.push(LOADED);
            put_u64(query.0, out);
            put_u64(rows.len() as u64, out);
            for row in *rows {
                out.push(row.table as u8);
                put_bytes(row.key, out);
                put_bytes(row.value, out);
            }
        }
        Event::Chain(event) => write_chain(event, scratch, out),
    }
}

fn write_chain(event: &ChainEvent<'_>, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
    match event {
        ChainEvent::Begin { tip } => {
            out.push(CHAIN_BEGIN);
            put_value(tip, scratch, out);
        }
        ChainEvent::BlockConnected { tip, time_s, matches } => {
            out.push(CHAIN_CONNECTED);
            put_value(tip, scratch, out);
            put_u64(u64::from(*time_s), out);
            put_u64(matches.len() as u64, out);
            for found in *matches {
                put_u64(u64::from(found.index), out);
                put_bytes(&bitcoin::consensus::serialize(found.tx), out);
            }
        }
        ChainEvent::BlockDisconnected { tip } => {
            out.push(CHAIN_DISCONNECTED);
            put_value(tip, scratch, out);
        }
        ChainEvent::Synced { height } => {
            out.push(CHAIN_SYNCED);
            put_u64(u64::from(height.0), out);
        }
        ChainEvent::Feerates(feerates) => {
            out.push(CHAIN_FEERATES);
            put_value(feerates, scratch, out);
        }
        ChainEvent::Broadcast { txid, outcome } => {
            out.push(CHAIN_BROADCAST);
            out.extend_from_slice(txid.as_ref());
            put_value(outcome, scratch, out);
        }
        ChainEvent::Up => out.push(CHAIN_UP),
        ChainEvent::Down { reason } => {
            out.push(CHAIN_DOWN);
            put_bytes(reason.as_bytes(), out);
        }
    }
}
