//! Onions seen before (BOLT 4, onion decryption): the same onion a second time is somebody who copies packets to learn
//! where a payment goes. Remembered until the HTLC that brought it would have expired, across restarts.

use std::collections::BTreeMap;

use bincode::de::Decoder;
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bitcoin::hashes::{Hash, sha256};
use hashbrown::HashTable;
use slab::Slab;

use super::forward::IncomingKey;
use crate::command::{Command, Sink};
use crate::ids::BlockHeight;
use crate::store::{Key, Row, RowError, RowValue, Table};

/// What is kept of an onion: half a hash of its shared secret, which no two onions have in common.
type OnionKey = [u8; 16];

/// Which HTLC brought an onion, and until when that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct ReplayRow {
    /// The HTLC.
    pub incoming: IncomingKey,
    /// When it times out.
    pub cltv_expiry: u32,
}

impl RowValue for ReplayRow {
    const TABLE: Table = Table::Replay;
}

/// An onion that was seen.
#[derive(Debug)]
struct Seen {
    key: OnionKey,
    row: ReplayRow,
    /// The one before it of those that expire at the same height.
    earlier: Option<usize>,
}

/// All onions that may still be copied.
///
/// Every payment that arrives adds one and none is ever looked at in an order, so this is a hash table over one block of
/// memory: once that has its size nothing is allocated for a payment.
#[derive(Debug, Default)]
pub struct Replays {
    seen: Slab<Seen>,
    /// Where in `seen` an onion is. Its order is never looked at.
    by_key: HashTable<usize>,
    /// The newest in `seen` of those that expire at a height.
    by_expiry: BTreeMap<u32, usize>,
}

fn onion_key(shared_secret: &[u8; 32]) -> OnionKey {
    let hash = sha256::Hash::hash(shared_secret).to_byte_array();
    hash[..16].try_into().expect("half of a hash")
}

/// The key is a hash already. Whoever wants onions whose keys fall together must compute a curve point for each try, so
/// long chains cannot be had.
fn hash(key: &OnionKey) -> u64 {
    u64::from_le_bytes(key[..8].try_into().expect("half of it"))
}

impl Replays {
    /// Takes in a row.
    pub fn take(&mut self, row: &Row<'_>) -> Result<(), RowError> {
        self.insert(row.key_array()?, row.decode()?);
        Ok(())
    }

    fn get(&self, key: &OnionKey) -> Option<&ReplayRow> {
        let at = self.by_key.find(hash(key), |at| self.seen[*at].key == *key)?;
        Some(&self.seen[*at].row)
    }

    /// Only one that is not there.
    fn insert(&mut self, key: OnionKey, row: ReplayRow) {
        let place = self.seen.vacant_entry();
        let at = place.key();
        let earlier = self.by_expiry.insert(row.cltv_expiry, at);
        place.insert(Seen { key, row, earlier });
        self.by_key.insert_unique(hash(&key), at, |at| hash(&self.seen[*at].key));
    }

    /// Is this onion new? The HTLC that brought it first may bring it again, after a restart.
    pub fn is_new(
        &mut self,
        out: &mut dyn Sink,
        shared_secret: &[u8; 32],
        incoming: IncomingKey,
        cltv_expiry: u32,
    ) -> bool {
        let key = onion_key(shared_secret);
        if let Some(row) = self.get(&key) {
            return row.incoming == incoming;
        }
        let row = ReplayRow { incoming, cltv_expiry };
        out.emit(Command::Put { table: Table::Replay, key: Key::new().bytes(&key).as_slice(), value: &row });
        self.insert(key, row);
        true
    }

    /// Forgets onions whose HTLCs have expired: a copy of one would be too late anyway.
    pub fn forget_expired(&mut self, out: &mut dyn Sink, height: BlockHeight) {
        while let Some(entry) = self.by_expiry.first_entry() {
            if *entry.key() >= height.0 {
                break;
            }
            let mut next = Some(entry.remove());
            let mut keys = Vec::new();
            while let Some(at) = next {
                let seen = self.seen.remove(at);
                let found = self.by_key.find_entry(hash(&seen.key), |other| *other == at);
                found.expect("all that was seen is found by its key").remove();
                keys.push(seen.key);
                next = seen.earlier;
            }
            // A node that was restored has seen them in another order.
            keys.sort_unstable();
            for key in keys {
                out.emit(Command::Delete { table: Table::Replay, key: Key::new().bytes(&key).as_slice() });
            }
        }
    }
}

/// As a sequence of keys and rows, in the order of the keys: where they stand in memory depends on what has been
/// forgotten before, and a node that was thawed must encode to the same bytes as the one that went on.
impl bincode::Encode for Replays {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        (self.seen.len() as u64).encode(encoder)?;
        let mut all: Vec<(OnionKey, ReplayRow)> = self.seen.iter().map(|(_, seen)| (seen.key, seen.row)).collect();
        all.sort_unstable_by_key(|(key, _)| *key);
        all.iter().try_for_each(|entry| entry.encode(encoder))
    }
}

impl<C> bincode::Decode<C> for Replays {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Replays, DecodeError> {
        let mut replays = Replays::default();
        for _ in 0..u64::decode(decoder)? {
            let (key, row) = bincode::Decode::decode(decoder)?;
            replays.insert(key, row);
        }
        Ok(replays)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ChannelKey, HtlcId};

    struct Rows(BTreeMap<Vec<u8>, Vec<u8>>);
    impl Sink for Rows {
        fn emit(&mut self, command: Command<'_>) {
            match command {
                Command::Put { key, value, .. } => {
                    let mut bytes = Vec::new();
                    value.write(&mut bytes);
                    self.0.insert(key.to_vec(), bytes);
                }
                Command::Delete { key, .. } => {
                    self.0.remove(key);
                }
                _ => {}
            }
        }
    }

    #[test]
    fn a_copied_onion_is_known_also_after_a_restart() {
        let (first, copy) = ((ChannelKey(1), HtlcId(0)), (ChannelKey(1), HtlcId(1)));
        let (mut replays, mut rows) = (Replays::default(), Rows(BTreeMap::new()));
        assert!(replays.is_new(&mut rows, &[7; 32], first, 100));
        assert!(replays.is_new(&mut rows, &[7; 32], first, 100), "handed in again by the same HTLC");
        assert!(!replays.is_new(&mut rows, &[7; 32], copy, 100));
        assert!(replays.is_new(&mut rows, &[8; 32], copy, 200));

        let mut restarted = Replays::default();
        for (key, value) in &rows.0 {
            restarted.take(&Row { table: Table::Replay, key, value }).expect("we wrote it");
        }
        assert!(!restarted.is_new(&mut rows, &[7; 32], copy, 100));
        restarted.forget_expired(&mut rows, BlockHeight(101));
        assert!(restarted.is_new(&mut rows, &[7; 32], copy, 300), "its HTLC has expired long since");
        assert_eq!(rows.0.len(), 2);
    }

    #[test]
    fn a_thawed_copy_goes_on_to_the_same_bytes() {
        let bytes_of =
            |replays: &Replays| bincode::encode_to_vec(replays, bincode::config::standard()).expect("it encodes");
        let (mut replays, mut rows) = (Replays::default(), Rows(BTreeMap::new()));
        let see = |replays: &mut Replays, rows: &mut Rows, numbers: std::ops::Range<u8>, expiry: u32| {
            for number in numbers {
                assert!(replays.is_new(rows, &[number; 32], (ChannelKey(1), HtlcId(u64::from(number))), expiry));
            }
        };
        see(&mut replays, &mut rows, 0..40, 100);
        see(&mut replays, &mut rows, 40..80, 200);
        replays.forget_expired(&mut rows, BlockHeight(101));
        let mut thawed: Replays =
            bincode::decode_from_slice(&bytes_of(&replays), bincode::config::standard()).expect("we wrote it").0;
        // One fills the places of what was forgotten, the other has no such places.
        for replays in [&mut replays, &mut thawed] {
            see(replays, &mut Rows(BTreeMap::new()), 80..130, 200);
        }
        assert_eq!(bytes_of(&replays), bytes_of(&thawed));
    }

    #[test]
    fn many_onions_are_known_until_they_expire() {
        let (mut replays, mut rows) = (Replays::default(), Rows(BTreeMap::new()));
        let secret = |number: u32| sha256::Hash::hash(&number.to_be_bytes()).to_byte_array();
        let expiry = |number: u32| 100 + number % 7;
        let by = |number: u32| (ChannelKey(1), HtlcId(u64::from(number)));
        for height in 100..=107 {
            replays.forget_expired(&mut rows, BlockHeight(height));
            for number in 0..500 {
                let alive = height > 100 && expiry(number) >= height;
                assert_eq!(!replays.is_new(&mut rows, &secret(number), (ChannelKey(2), HtlcId(0)), 99), alive);
            }
            // What was only looked for is forgotten again, and half of them come back.
            replays.forget_expired(&mut rows, BlockHeight(100));
            for number in (0..500).filter(|number| expiry(*number) >= height.max(101) || height == 100) {
                assert!(replays.is_new(&mut rows, &secret(number), by(number), expiry(number)));
            }
            assert_eq!(rows.0.len(), replays.seen.len());
            let bytes = bincode::encode_to_vec(&replays, bincode::config::standard()).expect("it encodes");
            replays = bincode::decode_from_slice(&bytes, bincode::config::standard()).expect("we wrote it").0;
        }
        assert_eq!(rows.0.len(), 0);
    }
}
