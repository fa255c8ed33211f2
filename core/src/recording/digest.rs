//! One number for all that a turn asked and commanded.

use std::cell::Cell;

use crate::command::{Command, LoadRange, Sink, Watch};
use crate::recording::bytes::{put_bytes, put_u64};
use crate::store::{StoreValue, encode_into};
use crate::wire::codec::Cursor;

/// Digits of pi: odd, and of nobody's choosing.
const K0: u64 = 0x243f_6a88_85a3_08d3;
const K1: u64 = 0x1319_8a2e_0370_7345;

/// Hashes quickly what nobody wants to forge: it tells two runs apart, and proves nothing to a stranger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digester(u64);

fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a) * u128::from(b);
    wide as u64 ^ (wide >> 64) as u64
}

impl Digester {
    /// Takes in bytes, and that it was these as one piece.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let mut state = fold(self.0 ^ bytes.len() as u64 ^ K0, K1);
        let (pairs, rest) = bytes.as_chunks::<16>();
        let mut take = |pair: &[u8; 16]| {
            let word = u128::from_le_bytes(*pair);
            state = fold(state ^ word as u64, (word >> 64) as u64 ^ K1);
        };
        pairs.iter().for_each(&mut take);
        if !rest.is_empty() {
            let mut last = [0; 16];
            last[..rest.len()].copy_from_slice(rest);
            take(&last);
        }
        self.0 = state;
    }

    /// What all of it comes to.
    pub fn finish(&self) -> u64 {
        fold(self.0 ^ K0, K1)
    }
}

/// Hashes each command on its way to the sink behind.
pub struct DigestSink<'a> {
    digest: &'a Cell<Digester>,
    /// Holds the command in hand; keeps its memory.
    scratch: &'a mut Vec<u8>,
    inner: &'a mut dyn Sink,
}

impl<'a> DigestSink<'a> {
    /// Hashes into `digest` what goes to `inner`.
    pub fn new(digest: &'a Cell<Digester>, scratch: &'a mut Vec<u8>, inner: &'a mut dyn Sink) -> DigestSink<'a> {
        DigestSink { digest, scratch, inner }
    }
}

/// A value that was encoded already.
struct Encoded<'a>(&'a [u8]);

impl StoreValue for Encoded<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0);
    }
}

impl Sink for DigestSink<'_> {
    fn emit(&mut self, command: Command<'_>) {
        self.scratch.clear();
        let value_at = command_bytes(&command, self.scratch);
        let mut digester = self.digest.get();
        digester.bytes(self.scratch);
        self.digest.set(digester);
        match command {
            // Encoded once is enough.
            Command::Put { table, key, .. } => {
                let value = Encoded(&self.scratch[value_at..]);
                self.inner.emit(Command::Put { table, key, value: &value });
            }
            command => self.inner.emit(command),
        }
    }
}

/// Appends a command exactly, and tells where its last part begins: the row of a put.
///
/// Of a note only its weight, part and peer count: rendering the text is what the log's level saves, and all that a text
/// can tell stands in other commands or in the state behind it.
pub fn command_bytes(command: &Command<'_>, out: &mut Vec<u8>) -> usize {
    let conn_bytes = |conn: &crate::ids::ConnId, out: &mut Vec<u8>| {
        put_u64(u64::from(conn.slot), out);
        put_u64(u64::from(conn.generation), out);
    };
    let at;
    match command {
        Command::Send { conn, message } => {
            out.push(1);
            conn_bytes(conn, out);
            at = out.len();
            out.resize(at + message.encoded_len(), 0);
            message.encode(&mut Cursor::new(&mut out[at..])).expect("as long as it said");
        }
        Command::Disconnect { conn, reason } => {
            out.push(2);
            conn_bytes(conn, out);
            at = out.len();
            out.extend_from_slice(reason.as_bytes());
        }
        Command::Dial { dial, peer, address } => {
            out.push(3);
            put_u64(dial.0, out);
            out.extend_from_slice(&peer.0);
            at = out.len();
            encode_into(*address, out);
        }
        Command::Put { table, key, value } => {
            out.extend_from_slice(&[4, *table as u8]);
            put_bytes(key, out);
            at = out.len();
            value.write(out);
        }
        Command::Delete { table, key } => {
            out.extend_from_slice(&[5, *table as u8]);
            at = out.len();
            out.extend_from_slice(key);
        }
        Command::Load { query, table, range, limit } => {
            let (kind, key) = match range {
                LoadRange::From(key) => (0, key),
                LoadRange::Before(key) => (1, key),
                LoadRange::Exactly(key) => (2, key),
            };
            out.extend_from_slice(&[6, *table as u8, kind]);
            put_u64(query.0, out);
            put_u64(u64::from(*limit), out);
            at = out.len();
            out.extend_from_slice(key);
        }
        Command::Broadcast { tx, purpose } => {
            out.push(7);
            put_bytes(purpose.as_bytes(), out);
            at = out.len();
            out.extend_from_slice(&bitcoin::consensus::serialize(*tx));
        }
        Command::Watch(watch) => {
            out.push(8);
            at = out.len();
            match watch {
                Watch::Spend(outpoint) | Watch::Unspend(outpoint) => {
                    out.push(u8::from(matches!(watch, Watch::Unspend(_))));
                    out.extend_from_slice(&bitcoin::consensus::serialize(outpoint));
                }
                Watch::Script(script) => {
                    out.push(2);
                    out.extend_from_slice(script.as_bytes());
                }
            }
        }
        Command::Reply { id, result } => {
            out.push(9);
            put_u64(id.0, out);
            at = out.len();
            encode_into(*result, out);
        }
        Command::Note(note) => {
            out.extend_from_slice(&[10, note.level as u8]);
            put_bytes(note.part.as_bytes(), out);
            at = out.len();
            out.extend_from_slice(note.peer.as_ref().map_or(&[], |peer| &peer.0));
        }
        Command::Stop => {
            out.push(11);
            at = out.len();
        }
    }
    at
}
