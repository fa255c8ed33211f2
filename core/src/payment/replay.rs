//! Onions seen before (BOLT 4, onion decryption): the same onion a second time is somebody who copies packets to learn
//! where a payment goes. Remembered until the HTLC that brought it would have expired, across restarts.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::hashes::{Hash, sha256};

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

/// All onions that may still be copied.
#[derive(Debug, Default, bincode::Encode, bincode::Decode)]
pub struct Replays {
    seen: BTreeMap<OnionKey, ReplayRow>,
    by_expiry: BTreeSet<(u32, OnionKey)>,
}

fn onion_key(shared_secret: &[u8; 32]) -> OnionKey {
    let hash = sha256::Hash::hash(shared_secret).to_byte_array();
    hash[..16].try_into().expect("half of a hash")
}

impl Replays {
    /// Takes in a row.
    pub fn take(&mut self, row: &Row<'_>) -> Result<(), RowError> {
        self.insert(row.key_array()?, row.decode()?);
        Ok(())
    }

    fn insert(&mut self, key: OnionKey, row: ReplayRow) {
        self.seen.insert(key, row);
        self.by_expiry.insert((row.cltv_expiry, key));
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
        if let Some(row) = self.seen.get(&key) {
            return row.incoming == incoming;
        }
        let row = ReplayRow { incoming, cltv_expiry };
        out.emit(Command::Put { table: Table::Replay, key: Key::new().bytes(&key).as_slice(), value: &row });
        self.insert(key, row);
        true
    }

    /// Forgets onions whose HTLCs have expired: a copy of one would be too late anyway.
    pub fn forget_expired(&mut self, out: &mut dyn Sink, height: BlockHeight) {
        while let Some(&(cltv_expiry, key)) = self.by_expiry.first() {
            if cltv_expiry >= height.0 {
                break;
            }
            self.by_expiry.pop_first();
            self.seen.remove(&key);
            out.emit(Command::Delete { table: Table::Replay, key: Key::new().bytes(&key).as_slice() });
        }
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
}
