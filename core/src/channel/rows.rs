//! The rows of a channel. Small, and only what has changed is written.

use std::collections::BTreeMap;

use bitcoin::hashes::Hash;
use bitcoin::{OutPoint, Txid};

use crate::amount::Sat;
use crate::command::Command;
use crate::ids::{BlockHeight, ChannelId, ChannelKey, HtlcId, KeysIndex, NodeId, Point, ShortChannelId, Sig};
use crate::onion::ONION_SIZE;
use crate::side::{PerSide, Side};
use crate::signer::Signer;
use crate::store::{Key, Row, RowError, RowValue, StoreValue, Table, decode_from, encode_into};
use crate::tx::secrets::SecretSlot;
use crate::tx::{Basepoints, CommitFormat, SecretStore};
use secp256k1::PublicKey;

use super::ledger::{Counters, Htlc, HtlcKey, Ledger, Moved};
use super::params::{Params, PeerPolicy, Policy};
use super::totals::Totals;
use super::{Channel, CloseReason, Cx, KEPT_SMALL, KeptOnion, Spender};

/// Where a channel is in its life. Being offline is not a phase.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Phase {
    /// The first commitments are signed; `channel_ready` has not gone both ways.
    AwaitingFunding,
    /// HTLCs may be added.
    Open,
    /// `shutdown` went at least one way; HTLCs still resolve.
    ShuttingDown,
    /// Nothing is left but to agree on a closing fee.
    Negotiating,
    /// A transaction that spends the funding output was broadcast, or seen in a block.
    OnChain {
        /// Why our commitment went out, if it did.
        reason: Option<CloseReason>,
        /// The transaction that we have broadcast: the commitment, or the one agreed on.
        tx: Option<Vec<u8>>,
        /// What spent the funding output, once it is in a block.
        spent: Option<Spent>,
    },
    /// Nothing is left to do.
    Closed,
}

impl Phase {
    /// For people.
    pub fn name(&self) -> &'static str {
        match self {
            Phase::AwaitingFunding => "awaiting its funding",
            Phase::Open => "open",
            Phase::ShuttingDown => "shutting down",
            Phase::Negotiating => "agreeing on a closing fee",
            Phase::OnChain { .. } => "on chain",
            Phase::Closed => "closed",
        }
    }
}

/// The transaction that spent the funding output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Spent {
    /// Its id.
    #[bincode(with_serde)]
    pub txid: bitcoin::Txid,
    /// What it is.
    pub by: Spender,
    /// Its block.
    pub height: BlockHeight,
}

/// Where a funding transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum FundingStatus {
    /// In no block that we know of.
    Unconfirmed,
    /// In this block, at this index, and its output is what it should be.
    Confirmed {
        /// Height of the block.
        height: BlockHeight,
        /// Index in the block.
        index: u32,
    },
}

/// What differs between the fundings of one channel.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Funding {
    /// The output.
    #[bincode(with_serde)]
    pub outpoint: OutPoint,
    /// Its amount.
    pub amount: Sat,
    /// How commitments that spend it look.
    pub format: CommitFormat,
    /// Where it is.
    pub status: FundingStatus,
}

/// What changes seldom.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct ChannelRow {
    /// Its name on the wire.
    pub id: ChannelId,
    /// The other end.
    pub peer: NodeId,
    /// Whence our keys derive.
    pub keys: KeysIndex,
    /// Who opened it, and so pays its fees.
    pub opener: Side,
    /// Is it to be announced?
    pub announce: bool,
    /// Does its type forbid the real short channel id towards others?
    pub scid_alias: bool,
    /// What each side demanded.
    pub params: PerSide<Params>,
    /// Each side's keys.
    pub basepoints: PerSide<Basepoints>,
    /// Newest first, never empty.
    pub fundings: Vec<Funding>,
    /// How deep the funding must be.
    pub minimum_depth: u32,
    /// Our tip when the channel was made: a channel that is never funded is forgotten some time.
    pub since: BlockHeight,
    /// Where it is in its life.
    pub phase: Phase,
    /// Who has sent `channel_ready`.
    pub ready: PerSide<bool>,
    /// The names that each side gave the channel for use by the other.
    pub alias: PerSide<Option<ShortChannelId>>,
    /// `announcement_signatures` of each side: node, then bitcoin.
    pub announcement: PerSide<Option<(Sig, Sig)>>,
    /// What we ask for carrying HTLCs out.
    pub policy: Policy,
    /// What the peer asks for carrying HTLCs to us.
    pub peer_policy: Option<PeerPolicy>,
    /// Scripts fixed at the opening.
    pub upfront_shutdown: PerSide<Option<Vec<u8>>>,
    /// Where our money goes in a closing by agreement, unless the operator names another script.
    pub close_script: Vec<u8>,
    /// Scripts in the `shutdown` that each side sent.
    pub shutdown: PerSide<Option<Vec<u8>>>,
    /// The peer proved that our data is old: never broadcast a commitment.
    pub behind: bool,
}

impl RowValue for ChannelRow {
    const TABLE: Table = Table::Channel;
}

/// The peer's per-commitment points, parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct RemotePoints {
    /// Of its oldest commitment that is not revoked.
    #[bincode(with_serde)]
    pub current: PublicKey,
    /// Of the one after; `None` until `channel_ready`.
    #[bincode(with_serde)]
    pub next: Option<PublicKey>,
}

impl RemotePoints {
    /// As they are stored.
    pub fn to_row(self) -> (Point, Option<Point>) {
        (self.current.into(), self.next.map(Point::from))
    }

    /// From what is stored; `None` if a point is none.
    pub fn from_row((current, next): (Point, Option<Point>)) -> Option<RemotePoints> {
        let next = next.map(|point| point.parse()).transpose().ok()?;
        Some(RemotePoints { current: current.parse().ok()?, next })
    }
}

/// What changes with each commitment.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct CommitmentRow {
    /// The ledger without its HTLCs.
    pub counters: Counters,
    /// The peer's per-commitment points: of its oldest commitment that is not revoked, and of the next.
    pub remote_points: (Point, Option<Point>),
    /// What has passed through the channel.
    pub totals: Totals,
}

/// Version 1, which counted nothing.
#[derive(bincode::Encode, bincode::Decode)]
struct CommitmentRow1 {
    counters: Counters,
    remote_points: (Point, Option<Point>),
}

impl RowValue for CommitmentRow {
    const TABLE: Table = Table::Commitment;
    const VERSION: u8 = 2;

    fn decode_old(version: u8, bytes: &[u8]) -> Result<CommitmentRow, RowError> {
        let CommitmentRow1 { counters, remote_points } = decode_version_1(Self::TABLE, version, bytes)?;
        let totals = Totals::new(counters.base.local);
        Ok(CommitmentRow { counters, remote_points, totals })
    }
}

fn decode_version_1<T: bincode::Decode<()>>(table: Table, version: u8, bytes: &[u8]) -> Result<T, RowError> {
    if version != 1 {
        return Err(RowError::UnknownVersion { table, version });
    }
    decode_from(bytes).map_err(|error| RowError::Malformed { table, detail: error.to_string() })
}

/// An HTLC.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct HtlcRow(pub Htlc);

impl RowValue for HtlcRow {
    const TABLE: Table = Table::Htlc;
}

/// The same, written without a copy.
struct HtlcRowRef<'a>(&'a Htlc);

impl StoreValue for HtlcRowRef<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(HtlcRow::VERSION);
        encode_into(self.0, out);
    }
}

/// An onion to pass on.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct OnionRow(pub Box<[u8; ONION_SIZE]>);

impl RowValue for OnionRow {
    const TABLE: Table = Table::Onion;
}

/// The same, written without a copy.
struct OnionRowRef<'a>(&'a [u8; ONION_SIZE]);

impl StoreValue for OnionRowRef<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(OnionRow::VERSION);
        encode_into(self.0, out);
    }
}

/// One slot of the store of the peer's revoked secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct SecretRow(pub SecretSlot);

impl RowValue for SecretRow {
    const TABLE: Table = Table::Secret;
}

/// The peer's signatures on our latest commitment.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct SignatureRow {
    /// The commitment's number.
    pub number: u64,
    /// On the commitment.
    pub signature: Sig,
    /// On its HTLC transactions, in the order of its outputs.
    pub htlc_signatures: Vec<Sig>,
    /// What was signed, for people.
    pub signed: Option<Signed>,
}

/// A commitment of ours, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Signed {
    /// Its id.
    #[bincode(with_serde)]
    pub txid: Txid,
    /// What it pays.
    pub fee: Sat,
}

/// Version 1, which did not say what was signed.
#[derive(bincode::Encode, bincode::Decode)]
struct SignatureRow1 {
    number: u64,
    signature: Sig,
    htlc_signatures: Vec<Sig>,
}

impl SignatureRow {
    /// Takes the place of the signatures before.
    pub(super) fn keep(&mut self, number: u64, signature: Sig, htlc_signatures: &[Sig], signed: Signed) {
        (self.number, self.signature, self.signed) = (number, signature, Some(signed));
        self.htlc_signatures.clear();
        self.htlc_signatures.extend_from_slice(htlc_signatures);
        // What hundreds of HTLCs took is given back once they are gone.
        if htlc_signatures.len() <= KEPT_SMALL {
            self.htlc_signatures.shrink_to(KEPT_SMALL);
        }
    }
}

impl RowValue for SignatureRow {
    const TABLE: Table = Table::Signature;
    const VERSION: u8 = 2;

    fn decode_old(version: u8, bytes: &[u8]) -> Result<SignatureRow, RowError> {
        let SignatureRow1 { number, signature, htlc_signatures } = decode_version_1(Self::TABLE, version, bytes)?;
        Ok(SignatureRow { number, signature, htlc_signatures, signed: None })
    }
}

/// An HTLC that revoked commitments of the peer showed, and that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct RevokedRow {
    /// The first commitment that showed it.
    pub from: u64,
    /// The first that did not any more.
    pub until: u64,
    /// What it carried.
    pub amount_msat: crate::amount::Msat,
    /// Its hash.
    pub payment_hash: crate::ids::PaymentHash,
    /// When it timed out.
    pub cltv_expiry: u32,
}

impl RowValue for RevokedRow {
    const TABLE: Table = Table::Revoked;
}

/// The key of a channel's one row in a table.
pub fn channel_key(channel: ChannelKey) -> Key {
    Key::new().u32(channel.0)
}

/// The key of an HTLC's row.
pub fn htlc_key(channel: ChannelKey, htlc: HtlcKey) -> Key {
    channel_key(channel).u8(htlc.offered_by as u8).u64(htlc.id.0)
}

/// Reads such a key.
pub fn parse_htlc_key(row: &Row<'_>) -> Result<(ChannelKey, HtlcKey), RowError> {
    let key: [u8; 13] = row.key_array()?;
    let (channel, id) = (key[..4].try_into(), key[5..].try_into());
    let offered_by = match key[4] {
        0 => Side::Local,
        1 => Side::Remote,
        _ => return Err(RowError::BadKey { table: row.table }),
    };
    let id = HtlcId(u64::from_be_bytes(id.expect("eight of thirteen bytes")));
    Ok((ChannelKey(u32::from_be_bytes(channel.expect("four of thirteen bytes"))), HtlcKey { offered_by, id }))
}

/// Which channel a row of any of the channel's tables belongs to: their keys all begin with it.
pub fn channel_of(row: &Row<'_>) -> Result<ChannelKey, RowError> {
    let bytes = row.key.first_chunk().ok_or(RowError::BadKey { table: row.table })?;
    Ok(ChannelKey(u32::from_be_bytes(*bytes)))
}

/// The rows of one channel as they are read back, in any order.
#[derive(Debug, Default)]
pub struct Stored {
    row: Option<ChannelRow>,
    commitment: Option<CommitmentRow>,
    signature: Option<SignatureRow>,
    htlcs: BTreeMap<HtlcKey, Htlc>,
    onions: BTreeMap<HtlcKey, Box<[u8; ONION_SIZE]>>,
    secrets: BTreeMap<u8, SecretSlot>,
}

impl Stored {
    /// Takes in one row; those of tables that are not read at start are passed over.
    pub fn take(&mut self, row: &Row<'_>) -> Result<(), RowError> {
        match row.table {
            Table::Channel => self.row = Some(row.decode()?),
            Table::Commitment => self.commitment = Some(row.decode()?),
            Table::Signature => self.signature = Some(row.decode()?),
            Table::Secret => {
                let SecretRow(slot) = row.decode()?;
                let [.., number] = row.key_array::<5>()?;
                self.secrets.insert(number, slot);
            }
            Table::Htlc => {
                let HtlcRow(htlc) = row.decode()?;
                self.htlcs.insert(parse_htlc_key(row)?.1, htlc);
            }
            Table::Onion => {
                let OnionRow(onion) = row.decode()?;
                self.onions.insert(parse_htlc_key(row)?.1, onion);
            }
            _ => {}
        }
        Ok(())
    }

    /// The channel, if its rows are whole. The signer is told how far it has come.
    pub fn restore(self, key: ChannelKey, signer: &mut dyn Signer) -> Result<Channel, RestoreError> {
        let row = self.row.ok_or(RestoreError { channel: key, missing: "what does not change" })?;
        let commitment = self.commitment.ok_or(RestoreError { channel: key, missing: "its counters" })?;
        let signature = self.signature.ok_or(RestoreError { channel: key, missing: "the peer's signature" })?;
        let points = RemotePoints::from_row(commitment.remote_points)
            .ok_or(RestoreError { channel: key, missing: "points that are any" })?;
        let secrets = SecretStore::restore(self.secrets.into_values())
            .map_err(|_| RestoreError { channel: key, missing: "secrets in their places" })?;
        let ledger = Ledger::restore(row.opener, commitment.counters, self.htlcs);
        let channel =
            Channel::from_parts(key, row, (ledger, commitment.totals), points, signature, self.onions, secrets);
        signer.track(channel.row.keys, channel.signer_state());
        Ok(channel)
    }
}

/// Rows that do not make a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreError {
    /// Of which channel.
    pub channel: ChannelKey,
    /// What is not there.
    pub missing: &'static str,
}

impl std::fmt::Display for RestoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the rows of channel {} lack {}", self.channel, self.missing)
    }
}

impl std::error::Error for RestoreError {}

/// Keeps an onion over a restart.
pub(super) fn put_onion(cx: &mut Cx<'_>, channel: ChannelKey, key: HtlcKey, onion: &[u8; ONION_SIZE]) {
    let row = OnionRowRef(onion);
    cx.out.emit(Command::Put { table: Table::Onion, key: htlc_key(channel, key).as_slice(), value: &row });
}

impl Channel {
    /// Writes what changes seldom.
    pub(super) fn put_row(&self, cx: &mut Cx<'_>) {
        cx.out.emit(Command::Put { table: Table::Channel, key: channel_key(self.key).as_slice(), value: &self.row });
    }

    /// Writes what changes with each commitment.
    pub(super) fn put_commitment(&self, cx: &mut Cx<'_>) {
        let row = CommitmentRow {
            counters: self.ledger.durable_counters(),
            remote_points: self.remote_points.to_row(),
            totals: self.totals,
        };
        cx.out.emit(Command::Put { table: Table::Commitment, key: channel_key(self.key).as_slice(), value: &row });
    }

    /// Writes the peer's signatures on our latest commitment.
    pub(super) fn put_signature(&self, cx: &mut Cx<'_>) {
        let txid: &[u8; 32] = self.row.fundings[0].outpoint.txid.as_byte_array();
        let key = channel_key(self.key).bytes(txid);
        cx.out.emit(Command::Put { table: Table::Signature, key: key.as_slice(), value: &self.signature });
    }

    /// Writes one HTLC.
    pub(super) fn put_htlc(&self, cx: &mut Cx<'_>, key: HtlcKey) {
        if let Some(htlc) = self.ledger.htlc(key) {
            let row = HtlcRowRef(htlc);
            cx.out.emit(Command::Put { table: Table::Htlc, key: htlc_key(self.key, key).as_slice(), value: &row });
        }
    }

    /// Writes what a step moved.
    pub(super) fn put_moved(&mut self, cx: &mut Cx<'_>, moved: &[Moved]) {
        self.totals.count(moved, &self.ledger);
        self.put_commitment(cx);
        for moved in moved {
            match moved {
                Moved::Advanced(key) | Moved::Added(key) => self.put_htlc(cx, *key),
                Moved::Removed(key, htlc) => {
                    let row_key = htlc_key(self.key, *key);
                    cx.out.emit(Command::Delete { table: Table::Htlc, key: row_key.as_slice() });
                    self.put_revoked(cx, *key, htlc);
                    self.forget_onion(cx, *key);
                }
            }
        }
    }

    /// Keeps what a penalty for a revoked commitment with this HTLC would need.
    fn put_revoked(&self, cx: &mut Cx<'_>, key: HtlcKey, htlc: &Htlc) {
        // Feerates have differed over the HTLC's life, so only what was too small at any feerate is left out.
        if htlc.remote_from == 0 || self.trim_rule(Side::Remote, 0).is_trimmed(key.offered_by, htlc.amount_msat) {
            return;
        }
        let row = RevokedRow {
            from: htlc.remote_from,
            until: htlc.remote_until,
            amount_msat: htlc.amount_msat,
            payment_hash: htlc.payment_hash,
            cltv_expiry: htlc.cltv_expiry,
        };
        cx.out.emit(Command::Put { table: Table::Revoked, key: htlc_key(self.key, key).as_slice(), value: &row });
    }

    /// Lets go of an onion, here and in the store.
    pub(super) fn forget_onion(&mut self, cx: &mut Cx<'_>, key: HtlcKey) {
        let Some(KeptOnion { onion, stored }) = self.onions.remove(&key) else { return };
        cx.scratch.spare.keep_onion(onion);
        if stored {
            cx.out.emit(Command::Delete { table: Table::Onion, key: htlc_key(self.key, key).as_slice() });
        }
    }

    /// Deletes the rows of a channel of which nothing is left to do. Revoked history, which may be long, is deleted
    /// by the node in slices.
    pub(super) fn delete_rows(&mut self, cx: &mut Cx<'_>) {
        let key = channel_key(self.key);
        for table in [Table::Channel, Table::Commitment] {
            cx.out.emit(Command::Delete { table, key: key.as_slice() });
        }
        let txid: &[u8; 32] = self.row.fundings[0].outpoint.txid.as_byte_array();
        cx.out.emit(Command::Delete { table: Table::Signature, key: key.bytes(txid).as_slice() });
        for slot in 0..self.secrets.slots().len() {
            cx.out.emit(Command::Delete { table: Table::Secret, key: key.u8(slot as u8).as_slice() });
        }
        let htlcs: Vec<_> = self.ledger.htlcs().map(|(key, _)| key).collect();
        for htlc in htlcs {
            self.forget_onion(cx, htlc);
            cx.out.emit(Command::Delete { table: Table::Htlc, key: htlc_key(self.key, htlc).as_slice() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amount::Msat;
    use crate::store::encode_into;

    #[test]
    fn rows_of_version_1_are_read() {
        let base = PerSide { local: Msat(7), remote: Msat(8) };
        let counters = Ledger::new(base, 253, Side::Local).durable_counters();
        let remote_points = (Point([2; 33]), None);
        let mut bytes = vec![1];
        encode_into(&CommitmentRow1 { counters: counters.clone(), remote_points }, &mut bytes);
        let row: CommitmentRow =
            Row { table: Table::Commitment, key: &[0; 4], value: &bytes }.decode().expect("an old row");
        assert_eq!(row, CommitmentRow { counters, remote_points, totals: Totals::new(Msat(7)) });

        let signature = Sig([3; 64]);
        let mut bytes = vec![1];
        encode_into(&SignatureRow1 { number: 5, signature, htlc_signatures: vec![signature] }, &mut bytes);
        let row: SignatureRow =
            Row { table: Table::Signature, key: &[0; 36], value: &bytes }.decode().expect("an old row");
        assert_eq!((row.number, row.signed), (5, None));
    }
}
