//! What an update is: an add, a removal or a fee, how far it has travelled, and what an HTLC holds.

use crate::amount::Msat;
use crate::ids::{ChannelKey, HtlcId, PaymentHash, Point, Preimage};
use crate::side::Side;

/// How far one update has travelled, seen from the side that proposed it. After `OwnSigned` it settles: it leaves
/// the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub enum Stage {
    /// `update_*` sent (or decided and to be sent); in no commitment.
    Proposed,
    /// The proposer signed it into the peer's commitment.
    PeerSigned,
    /// The peer revoked its commitment without it.
    PeerRevoked,
    /// The peer signed it into the proposer's commitment.
    OwnSigned,
}

/// The four messages that move updates along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Step {
    /// We sent `commitment_signed`.
    SendCommit,
    /// We received `revoke_and_ack`.
    RecvRevoke,
    /// We received `commitment_signed`.
    RecvCommit,
    /// We sent `revoke_and_ack`.
    SendRevoke,
}

/// What a step does to an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advance {
    /// Nothing.
    Stay,
    /// It moves on.
    To(Stage),
    /// It is irrevocable in both commitments.
    Settled,
}

/// Which state of a side's commitment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// The oldest one its owner has not revoked.
    Oldest,
    /// The last one signed.
    Latest,
    /// The one that would be signed now, with everything proposed so far.
    Next,
    /// The worst one that can still be signed: every add of either side counts, a removal only where it would count
    /// in `Next`. What we offer is checked against this one, so that no order of messages can make it unaffordable.
    Worst,
}

impl Stage {
    /// What `step` does to an update of `proposer`.
    pub fn advance(self, proposer: Side, step: Step) -> Advance {
        use {Side::*, Stage::*, Step::*};
        match (self, proposer, step) {
            (Proposed, Local, SendCommit) | (Proposed, Remote, RecvCommit) => Advance::To(PeerSigned),
            (PeerSigned, Local, RecvRevoke) | (PeerSigned, Remote, SendRevoke) => Advance::To(PeerRevoked),
            (PeerRevoked, Local, RecvCommit) | (PeerRevoked, Remote, SendCommit) => Advance::To(OwnSigned),
            (OwnSigned, Local, SendRevoke) | (OwnSigned, Remote, RecvRevoke) => Advance::Settled,
            _ => Advance::Stay,
        }
    }

    /// Is an update at this stage part of that commitment?
    pub fn in_commitment(self, proposer: Side, whose: Side, age: Age) -> bool {
        match (whose == proposer, age) {
            (false, Age::Next | Age::Worst) => true,
            (false, Age::Latest) => self >= Stage::PeerSigned,
            (false, Age::Oldest) => self >= Stage::PeerRevoked,
            (true, Age::Next | Age::Worst) => self >= Stage::PeerRevoked,
            (true, Age::Latest) => self >= Stage::OwnSigned,
            // Settled updates are no longer in the pipeline.
            (true, Age::Oldest) => false,
        }
    }
}

/// Names an HTLC within a channel. Nothing else does: two HTLCs may be equal in hash, amount and expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub struct HtlcKey {
    /// Who offered it.
    pub offered_by: Side,
    /// Its id among those.
    pub id: HtlcId,
}

/// Where an HTLC that we offered comes from: whom its outcome concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub enum Origin {
    /// A part of a payment of our own.
    Payment {
        /// The part's created index.
        part: u64,
    },
    /// An HTLC that came in on another (or the same) channel.
    Forward {
        /// The incoming channel.
        channel: ChannelKey,
        /// The incoming HTLC.
        id: HtlcId,
    },
}

/// What the onion of a received HTLC said to us.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Peeled {
    /// It opened.
    Payload {
        /// Encrypts the failure that we may return.
        shared_secret: [u8; 32],
        /// Our layer: the TLV stream without its length prefix.
        payload: Vec<u8>,
        /// Is there an onion to pass on?
        forward: bool,
    },
    /// It did not; BOLT 4 wants `update_fail_malformed_htlc` with these.
    Malformed {
        /// With the BADONION bit.
        code: u16,
        /// SHA-256 of the onion as it came.
        sha256_of_onion: [u8; 32],
    },
    /// It opened with our blinded key: we are on a blinded path, and the add brought its path key.
    Blinded {
        /// Encrypts nothing: whatever fails on a blinded path is answered without the onion. The replay filter knows the
        /// onion by it.
        shared_secret: [u8; 32],
        /// Shared with the path key: opens the data that the receiver encrypted for us, and makes the next path key.
        path_secret: [u8; 32],
        /// Our layer: the TLV stream without its length prefix.
        payload: Vec<u8>,
        /// Is there an onion to pass on?
        forward: bool,
        /// SHA-256 of the onion as it came, for the one answer there is.
        sha256_of_onion: [u8; 32],
    },
}

/// What belongs to an HTLC apart from what the commitments show.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Detail {
    /// We offered it.
    Offered {
        /// Whom the outcome concerns.
        origin: Origin,
        /// `path_key` of the add, when it goes into a blinded route.
        path_key: Option<Point>,
    },
    /// The peer offered it.
    Received {
        /// What its onion said.
        onion: Peeled,
        /// `path_key` of the add, when it comes through a blinded route.
        path_key: Option<Point>,
    },
}

/// How an HTLC ends.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Removal {
    /// The preimage moves the money to the receiver.
    Fulfilled(Preimage),
    /// The money goes back; the encrypted reason.
    Failed(Box<[u8]>),
    /// The money goes back; the receiver could not read the onion.
    Malformed {
        /// SHA-256 of the onion as the receiver saw it.
        sha256_of_onion: [u8; 32],
        /// BOLT 4's code, with the BADONION bit.
        failure_code: u16,
    },
}

/// Where an HTLC stands. Illegal mixes cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum HtlcState {
    /// On its way in.
    Adding(Stage),
    /// Irrevocably in both commitments.
    Live,
    /// The same, and we have decided how it ends. Nothing of this is on the wire yet, or the wire has forgotten it:
    /// it is proposed when the peer is there, and survives disconnections and restarts until then.
    Decided(Removal),
    /// On its way out.
    Removing(Stage, Removal),
}

/// One HTLC.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Htlc {
    /// What it carries.
    pub amount_msat: Msat,
    /// What the preimage must hash to.
    pub payment_hash: PaymentHash,
    /// When it times out, as a block height.
    pub cltv_expiry: u32,
    /// Where it stands.
    pub state: HtlcState,
    /// The number of the first commitment of the peer that shows it; zero while there is none. A penalty needs it.
    pub remote_from: u64,
    /// The number of the first commitment of the peer that no longer shows it; zero while there is none.
    pub remote_until: u64,
    /// What else belongs to it.
    pub detail: Detail,
}
