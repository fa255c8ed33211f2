//! One payment channel: the heart of the node.
//!
//! A [`Channel`] exists from the moment both ends have signed the first commitments; before that an
//! [`open::Opening`] does. The ledger says what the commitments contain, `commit` signs and verifies them, `limits`
//! decides what may be added, and the other modules move the channel through its life. Everything that concerns more
//! than this channel leaves as an [`Effect`].

mod announce;
mod close;
mod commit;
pub mod effect;
pub mod error;
pub mod ledger;
pub mod limits;
mod onchain;
mod onchain_htlc;
pub mod open;
pub mod params;
mod ready;
mod reestablish;
pub mod rows;
mod scratch;
mod spare;
mod terms;
#[cfg(test)]
mod tests;
mod totals;
mod update;
mod updates;

use std::collections::BTreeMap;

use crate::amount::{Msat, Sat};
use crate::chain::Chain;
use crate::clock::Clock;
use crate::command::{Command, Level, Note, Sink, Watch};
use crate::mutation::{Mutation, is_active};
use secp256k1::PublicKey;

use crate::ids::{BlockHeight, ChannelId, ChannelKey, ConnId, HtlcId, NodeId, ShortChannelId, Sig};
use crate::onion::ONION_SIZE;
use crate::rng::Rng;
use crate::side::Side;
use crate::signer::Signer;
use crate::tx::SecretStore;
use crate::wire::{self, Message};

pub use close::CloseTerms;
pub use effect::{CloseReason, Effect, Failure, SpendBy, Spendable, Spender};
pub use error::{ChannelError, Consequence};
pub use ledger::{Detail, Htlc, HtlcKey, HtlcState, Ledger, Origin, Peeled, Removal};
pub use limits::{Excess, Refusal};
pub use onchain_htlc::{OurHtlc, TheirHtlc};
pub use open::{OpenRequest, Opening, Progress};
pub use params::{ChannelConfig, Params, PeerPolicy, Policy};
pub use rows::{ChannelRow, Funding, FundingStatus, Phase, Signed, Spent, Stored};
pub use scratch::Scratch;
pub use terms::{ChannelType, OpenFeatures};
pub use totals::{Flow, Totals};
pub use updates::{INVALID_ONION_BLINDING, Offer};

use commit::KeyRing;
use rows::{RemotePoints, SignatureRow};

/// What a channel may use while it works.
pub struct Cx<'a> {
    /// Now.
    pub clock: Clock,
    /// What we want of channels.
    pub config: &'a ChannelConfig,
    /// The chain as we know it.
    pub chain: &'a Chain,
    /// Our keys.
    pub signer: &'a mut dyn Signer,
    /// Randomness for what is no secret.
    pub rng: &'a mut Rng,
    /// Where commands go.
    pub out: &'a mut dyn Sink,
    /// Where facts for the node go.
    pub effects: &'a mut Vec<Effect>,
    /// Memory to work in.
    pub scratch: &'a mut Scratch,
}

/// Lists of what is on its way keep memory for so many between messages, and give back what more took.
const KEPT_SMALL: usize = 4;

/// Is the peer here? Never written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Link {
    /// No.
    Offline,
    /// Yes; our `channel_reestablish` is sent and the peer's is awaited.
    Reestablishing {
        /// Where it is.
        conn: ConnId,
    },
    /// Yes, and both know what the other has.
    Live {
        /// Where it is.
        conn: ConnId,
    },
}

/// An onion that may be needed again.
#[derive(bincode::Encode, bincode::Decode)]
pub(crate) struct KeptOnion {
    onion: Box<[u8; ONION_SIZE]>,
    /// Does it have a row?
    stored: bool,
}

/// One channel.
#[derive(bincode::Encode, bincode::Decode)]
pub struct Channel {
    key: ChannelKey,
    row: ChannelRow,
    ledger: Ledger,
    totals: Totals,
    remote_points: RemotePoints,
    secrets: SecretStore,
    signature: SignatureRow,
    link: Link,
    /// Parsed keys, and our per-commitment points that were derived last.
    ring: KeyRing,
    /// Of the peer's HTLCs: what is to be passed on. Of ours: what a retransmission needs.
    onions: BTreeMap<HtlcKey, KeptOnion>,
    /// Something is to be proposed, signed or written before the turn ends.
    dirty: bool,
    /// HTLCs decided in this turn whose rows are not written yet.
    unsaved: Vec<HtlcKey>,
    /// HTLCs of the peer that we have fulfilled lately, and the height then: the peer gets a block to answer. Empty after
    /// a restart, which only makes us go on chain sooner.
    fulfilled_at: BTreeMap<HtlcId, BlockHeight>,
    /// Did we tell the node that the channel may carry HTLCs?
    up: bool,
    /// The talk about the closing fee, which starts anew with each connection.
    negotiation: Option<close::Negotiation>,
    /// Did we repeat the end of that talk on this connection, or is it just over?
    close_repeated: bool,
    /// What the operator wants of a closing.
    close_terms: Option<CloseTerms>,
    /// We have decided to send `shutdown` and have not on this connection.
    shutdown_unsent: bool,
    /// Did we answer `announcement_signatures` of a peer that had them all, on this connection?
    announcement_answered: bool,
}

impl Channel {
    /// A channel of its parts.
    pub(super) fn from_parts(
        key: ChannelKey,
        row: ChannelRow,
        (mut ledger, totals): (Ledger, Totals),
        remote_points: RemotePoints,
        signature: SignatureRow,
        onions: BTreeMap<HtlcKey, Box<[u8; ONION_SIZE]>>,
        secrets: SecretStore,
    ) -> Channel {
        // A restart is a disconnection.
        ledger.discard_unsigned();
        let ring = KeyRing::new(&row);
        let onions = onions.into_iter().map(|(key, onion)| (key, KeptOnion { onion, stored: true })).collect();
        Channel {
            key,
            row,
            ledger,
            totals,
            remote_points,
            secrets,
            signature,
            link: Link::Offline,
            ring,
            onions,
            dirty: false,
            unsaved: Vec::new(),
            fulfilled_at: BTreeMap::new(),
            up: false,
            negotiation: None,
            close_repeated: false,
            close_terms: None,
            shutdown_unsent: false,
            announcement_answered: false,
        }
    }

    /// Takes in a message that names this channel. An error leaves the channel as it was; the caller does what its
    /// `consequence` says ([`Channel::fail`] for `Fail`).
    pub fn receive(&mut self, cx: &mut Cx<'_>, message: &Message<'_>) -> Result<(), ChannelError> {
        let name = message.name();
        match self.link {
            Link::Offline => return Err(ChannelError::Unexpected { message: name, state: "not connected" }),
            Link::Reestablishing { .. } => {
                return match message {
                    Message::ChannelReestablish(reestablish) => self.receive_reestablish(cx, reestablish),
                    // Some peers send it early; it says nothing that depends on the order.
                    Message::AnnouncementSignatures(signatures) => self.receive_announcement(cx, signatures),
                    Message::ChannelReady(ready) => self.receive_ready(cx, ready),
                    _ => Err(ChannelError::Unexpected { message: name, state: "channel_reestablish is due" }),
                };
            }
            Link::Live { .. } => {}
        }
        if self.is_on_chain() {
            // Whatever else it is was written before the peer heard of the end.
            match message {
                Message::ClosingSigned(_) => self.repeat_closing_signed(cx),
                Message::UpdateFulfillHtlc(fulfill) => self.receive_late_preimage(cx, fulfill),
                _ => {}
            }
            return Ok(());
        }
        match message {
            Message::UpdateAddHtlc(add) => self.receive_add(cx, add),
            Message::UpdateFulfillHtlc(fulfill) => self.receive_fulfill(cx, fulfill),
            Message::UpdateFailHtlc(fail) => self.receive_fail(cx, fail),
            Message::UpdateFailMalformedHtlc(fail) => self.receive_fail_malformed(cx, fail),
            Message::UpdateFee(fee) => self.receive_fee(cx, fee),
            Message::CommitmentSigned(signed) => self.receive_commit(cx, signed),
            Message::RevokeAndAck(revoke) => self.receive_revoke(cx, revoke),
            Message::ChannelReady(ready) => self.receive_ready(cx, ready),
            Message::AnnouncementSignatures(signatures) => self.receive_announcement(cx, signatures),
            Message::ChannelUpdate(update) => self.receive_update(cx, update),
            Message::Shutdown(shutdown) => self.receive_shutdown(cx, shutdown),
            Message::ClosingSigned(closing) => self.receive_closing_signed(cx, closing),
            // A second one on the same connection tells nothing new.
            Message::ChannelReestablish(_) if is_active(Mutation::SecondReestablishFails) => {
                Err(ChannelError::RevokeNotDue)
            }
            Message::ChannelReestablish(_) => Ok(()),
            _ => Err(ChannelError::Unsupported { message: name }),
        }
    }

    /// The connection is gone.
    pub fn disconnected(&mut self, cx: &mut Cx<'_>) {
        if self.link == Link::Offline {
            return;
        }
        self.link = Link::Offline;
        self.negotiation = None;
        self.announcement_answered = false;
        for (key, htlc) in self.ledger.discard_unsigned() {
            // The peer's adds too: it may give their ids to others that need no onion.
            self.forget_onion(cx, key);
            if let Detail::Offered { origin, .. } = htlc.detail {
                cx.effects.push(Effect::Dropped { channel: self.key, id: key.id, origin });
            }
        }
        self.tell_up(cx);
    }

    /// Is there something to be done before the turn ends? See [`Channel::flush`].
    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// The store's name of it.
    pub fn key(&self) -> ChannelKey {
        self.key
    }

    /// Its name on the wire.
    pub fn id(&self) -> ChannelId {
        self.row.id
    }

    /// The other end.
    pub fn peer(&self) -> NodeId {
        self.row.peer
    }

    /// What changes seldom.
    pub fn row(&self) -> &ChannelRow {
        &self.row
    }

    /// The updates.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What has passed through it.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Our latest commitment, for people; `None` if an older build wrote it down.
    pub fn last_commitment(&self) -> Option<Signed> {
        self.signature.signed
    }

    /// Where it is in its life.
    pub fn phase(&self) -> &Phase {
        &self.row.phase
    }

    /// Is the peer here?
    pub fn link(&self) -> Link {
        self.link
    }

    /// The present funding.
    pub fn funding(&self) -> &Funding {
        &self.row.fundings[0]
    }

    /// The size of the channel.
    pub fn capacity(&self) -> Sat {
        self.funding().amount
    }

    /// Where the funding output is, once it is in a block.
    pub fn scid(&self) -> Option<ShortChannelId> {
        match self.funding().status {
            FundingStatus::Confirmed { height, index } => {
                Some(ShortChannelId::new(height.0, index, self.funding().outpoint.vout as u16))
            }
            FundingStatus::Unconfirmed => None,
        }
    }

    /// The name that our `channel_update` gives the channel: the real one if it is announced, else the peer's alias,
    /// if it has given one (BOLT 7, the `channel_update` message).
    pub fn scid_in_update(&self) -> Option<ShortChannelId> {
        if self.is_announced() {
            return self.scid();
        }
        self.row.alias.remote.or(self.scid())
    }

    /// The names by which an onion may ask us to forward through the channel (BOLT 2, `channel_ready`: with the
    /// `scid_alias` type never the real one).
    pub fn scids_in_onions(&self) -> impl Iterator<Item = ShortChannelId> {
        let real = self.scid().filter(|_| !self.row.scid_alias);
        real.into_iter().chain(self.row.alias.local)
    }

    /// Asks for what must be seen in blocks: at the opening, and again after a restart.
    pub fn watch(&self, out: &mut dyn Sink) {
        let script = self.ring.funding().script_pubkey();
        out.emit(Command::Watch(Watch::Script(script.as_script())));
        out.emit(Command::Watch(Watch::Spend(self.funding().outpoint)));
    }

    /// May HTLCs be added now?
    pub fn is_up(&self) -> bool {
        matches!(self.link, Link::Live { .. }) && self.row.phase == Phase::Open
    }

    /// The peer's signatures on the HTLC transactions of our latest commitment, in the order of its outputs.
    pub fn peer_signatures(&self) -> &[Sig] {
        &self.signature.htlc_signatures
    }

    /// The peer's signature on our latest commitment.
    pub fn peer_signature(&self) -> Sig {
        self.signature.signature
    }

    /// Is its money on chain, or on its way there by one side's wish?
    pub fn is_on_chain(&self) -> bool {
        matches!(self.row.phase, Phase::OnChain { .. } | Phase::Closed)
    }

    /// One HTLC of the peer.
    pub fn received(&self, id: HtlcId) -> Option<&Htlc> {
        self.ledger.htlc(HtlcKey { offered_by: Side::Remote, id })
    }

    /// One HTLC of ours.
    pub fn offered(&self, id: HtlcId) -> Option<&Htlc> {
        self.ledger.htlc(HtlcKey { offered_by: Side::Local, id })
    }

    /// The onion to pass on for one HTLC of the peer.
    pub fn next_onion(&self, id: HtlcId) -> Option<&[u8; ONION_SIZE]> {
        self.onions.get(&HtlcKey { offered_by: Side::Remote, id }).map(|kept| &*kept.onion)
    }

    /// How many onions are kept.
    pub fn onions_kept(&self) -> usize {
        self.onions.len()
    }

    /// The onion of a peer's HTLC is irrevocably with the next peer, or not needed any more.
    pub fn forget_next_onion(&mut self, cx: &mut Cx<'_>, id: HtlcId) {
        self.forget_onion(cx, HtlcKey { offered_by: Side::Remote, id });
    }

    /// HTLCs of ours whose add may have to be sent again, and whose onion is not here: after a restart the node
    /// brings them with [`Channel::supply_onion`].
    pub fn missing_onions(&self) -> Vec<(HtlcId, Origin)> {
        let missing = |(key, htlc): (HtlcKey, &Htlc)| match (&htlc.state, &htlc.detail) {
            (HtlcState::Adding(ledger::Stage::PeerSigned), Detail::Offered { origin, .. })
                if !self.onions.contains_key(&key) =>
            {
                Some((key.id, *origin))
            }
            _ => None,
        };
        self.ledger.of_side(Side::Local).filter_map(missing).collect()
    }

    /// Brings the onion of an HTLC of ours.
    pub fn supply_onion(&mut self, id: HtlcId, onion: &[u8; ONION_SIZE]) {
        let kept = KeptOnion { onion: Box::new(*onion), stored: false };
        self.onions.insert(HtlcKey { offered_by: Side::Local, id }, kept);
    }

    /// The most that we may offer in one HTLC now, by the same decision that refuses more.
    pub fn spendable_msat(&self, config: &ChannelConfig) -> Msat {
        self.terms(config).spendable_msat(Side::Local)
    }

    /// The most that the peer may offer in one HTLC now.
    pub fn receivable_msat(&self, config: &ChannelConfig) -> Msat {
        self.terms(config).spendable_msat(Side::Remote)
    }

    /// Sets what we ask for carrying HTLCs out.
    pub fn set_policy(&mut self, cx: &mut Cx<'_>, policy: Policy) {
        if self.row.policy != policy {
            self.row.policy = policy;
            self.put_row(cx);
            cx.effects.push(Effect::UpdateDue { channel: self.key });
        }
    }

    /// Keeps what the peer asks. Old news is passed over.
    fn set_peer_policy(&mut self, cx: &mut Cx<'_>, policy: PeerPolicy) {
        if self.row.peer_policy.is_none_or(|old| old.timestamp < policy.timestamp) {
            self.row.peer_policy = Some(policy);
            self.put_row(cx);
        }
    }

    /// What the limits look at.
    pub(super) fn terms<'a>(&'a self, config: &ChannelConfig) -> limits::Terms<'a> {
        limits::Terms {
            ledger: &self.ledger,
            params: &self.row.params,
            format: self.funding().format,
            max_dust_exposure_msat: config.max_dust_exposure_msat,
        }
    }

    /// Sends, if the peer is here.
    pub(super) fn send(&self, cx: &mut Cx<'_>, message: &Message<'_>) {
        if let Link::Live { conn } | Link::Reestablishing { conn } = self.link {
            cx.out.emit(Command::Send { conn, message });
        }
    }

    /// Tells people.
    pub(super) fn note(&self, cx: &mut Cx<'_>, level: Level, text: std::fmt::Arguments<'_>) {
        cx.out.emit(Command::Note(Note { level, part: "channel", peer: Some(self.row.peer), text }));
    }

    /// Tells the node when the channel begins or ceases to carry HTLCs.
    pub(super) fn tell_up(&mut self, cx: &mut Cx<'_>) {
        if self.up != self.is_up() {
            self.up = !self.up;
            let channel = self.key;
            cx.effects.push(if self.up { Effect::Up { channel } } else { Effect::Down { channel } });
        }
    }

    /// Moves to another phase and writes it.
    pub(super) fn set_phase(&mut self, cx: &mut Cx<'_>, phase: Phase) {
        self.row.phase = phase;
        self.put_row(cx);
        self.tell_up(cx);
    }

    /// A block has come: deadlines, depths. Call it for each channel at each block.
    pub fn block(&mut self, cx: &mut Cx<'_>, height: BlockHeight) {
        self.check_depth(cx, height);
        self.check_deadlines(cx, height);
        self.fulfilled_at.retain(|_, at| height <= at.plus(1));
        self.check_closed(cx, height);
        self.retry_close(cx, false);
        self.check_hollow(cx, height);
    }

    /// Invariants, for debug builds and the simulator.
    pub fn check(&self) {
        self.ledger.check(self.capacity());
        assert!(!self.row.fundings.is_empty());
        assert_eq!(self.signature.number, self.ledger.latest_number(Side::Local));
        assert!(self.unsaved.is_empty() || self.dirty);
        for (key, htlc) in self.ledger.htlcs() {
            let ours = matches!(htlc.detail, Detail::Offered { .. });
            assert_eq!(ours, key.offered_by == Side::Local);
        }
    }

    /// The points of the peer that a commitment of this number uses.
    pub(super) fn remote_point(&self, number: u64) -> Option<PublicKey> {
        match number.checked_sub(self.ledger.oldest_number(Side::Remote))? {
            0 => Some(self.remote_points.current),
            1 => self.remote_points.next,
            _ => None,
        }
    }

    /// Sends an `error`, and goes on chain if we have something there and may.
    pub fn fail(&mut self, cx: &mut Cx<'_>, error: &ChannelError) {
        let text = error.to_string();
        self.send(cx, &Message::Error(wire::Error { channel_id: self.row.id, data: text.as_bytes() }));
        self.force_close(cx, CloseReason::Violation(text));
    }

    /// The peer sent an `error` for this channel: BOLT 1 makes us close it.
    pub fn receive_error(&mut self, cx: &mut Cx<'_>, text: &str) {
        self.force_close(cx, CloseReason::PeerError(text.to_owned()));
    }
}
