//! Stories: what a run is made of, as data. A scenario is a story that somebody wrote, a soak run is one that was drawn
//! from a seed, and a failing one shrinks to a shorter one; all of them have the same text and the same runner.

mod expect;
mod pay;
mod print;
mod run;
mod say;
mod setup;
mod text;
mod variants;

#[cfg(test)]
mod tests;

use leyden_core::amount::{Msat, Sat};
use leyden_core::request::channel::ChannelState;
use leyden_core::request::invoice::InvoiceStatus;

pub use run::{Outcome, run, run_recorded, states};
pub(crate) use run::{Payment, Telling};
pub(crate) use setup::channels_of;
pub use text::{Flaw, keywords, parse};
pub use variants::{Variant, variants};

use crate::net::{NodeIndex, Wire};
use crate::world::{CrashPoint, Habit, Refill, Trigger};

/// A story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// In one line.
    pub title: String,
    /// What nothing else fixes follows from it.
    pub seed: u64,
    /// What travels.
    pub wire: Wire,
    /// Milliseconds that messages take.
    pub latency_ms: u64,
    /// Up to so many more.
    pub jitter_ms: u64,
    /// The nodes' names.
    pub names: Vec<String>,
    /// The node that crashes everywhere and whose store is slow, in variants.
    pub under_test: Option<NodeIndex>,
    /// Do heights matter, so that variants mine a few blocks more or less?
    pub heights_matter: bool,
    /// Nodes that do not keep the rules: nothing is expected of them, and channels with them may be closed.
    pub bad: Vec<NodeIndex>,
    /// May a channel be closed without its owner's wish?
    pub closes_allowed: bool,
    /// What nodes want that is not the default.
    pub options: Vec<(NodeIndex, NodeOption, u64)>,
    /// Channels that are there when the story begins.
    pub channels: Vec<ChannelPlan>,
    /// Coins in wallets, beside those that every node gets.
    pub coins: Vec<(NodeIndex, Sat)>,
    /// What happens.
    pub steps: Vec<Step>,
}

/// A channel that is there when the story begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelPlan {
    /// Who opens it.
    pub from: NodeIndex,
    /// To whom.
    pub to: NodeIndex,
    /// How large it is.
    pub amount: Sat,
    /// What the other side gets of it.
    pub push_msat: Msat,
}

/// Something that a node may want otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeOption {
    /// What a forward costs at least.
    FeeBaseMsat,
    /// What a forward costs, in millionths.
    FeeMillionths,
    /// How much earlier an outgoing HTLC ends.
    CltvExpiryDelta,
    /// The smallest HTLC that is accepted.
    HtlcMinimumMsat,
    /// The dust limit.
    DustLimitSat,
    /// How much may be lost as dust.
    DustExposureMsat,
    /// How many confirmations a channel needs.
    MinimumDepth,
    /// How long parts of a payment wait for the rest.
    MppTimeoutS,
    /// The share that the peer must keep, in millionths.
    ReserveMillionths,
    /// Channels that it opens have no anchors if this is not 0, so that fees make dust of HTLCs.
    StaticRemotekey,
}

impl NodeOption {
    /// All of them, with their names.
    pub const ALL: [(NodeOption, &'static str); 10] = [
        (NodeOption::FeeBaseMsat, "fee_base_msat"),
        (NodeOption::FeeMillionths, "fee_proportional_millionths"),
        (NodeOption::CltvExpiryDelta, "cltv_expiry_delta"),
        (NodeOption::HtlcMinimumMsat, "htlc_minimum_msat"),
        (NodeOption::DustLimitSat, "dust_limit_sat"),
        (NodeOption::DustExposureMsat, "dust_exposure_msat"),
        (NodeOption::MinimumDepth, "minimum_depth"),
        (NodeOption::MppTimeoutS, "mpp_timeout_s"),
        (NodeOption::ReserveMillionths, "reserve_millionths"),
        (NodeOption::StaticRemotekey, "static_remotekey"),
    ];
}

/// What kind of payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayKind {
    /// An invoice is paid.
    Invoice,
    /// Over a route that the payer chooses, along the channels of the story.
    Route,
    /// The payee does not know the hash: it fails there.
    Probe,
    /// The same, over a route that the payer chooses, and the payer has invented the hash.
    ProbeRoute,
    /// Half of it never comes: the payee holds what it has until it loses patience.
    Half,
}

/// One thing that happens. Steps do not wait for what they begin; waiting is a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A payment begins.
    Pay {
        /// What the story calls it.
        name: String,
        /// Who pays.
        from: NodeIndex,
        /// Whom.
        to: NodeIndex,
        /// How much.
        amount: Msat,
        /// How.
        kind: PayKind,
    },
    /// A node pays itself, over others and back.
    Circle {
        /// What the story calls it.
        name: String,
        /// Who pays, and is paid.
        from: NodeIndex,
        /// How much.
        amount: Msat,
        /// Over whom. Each has a channel with the one before, and the first and the last with the payer.
        over: Vec<NodeIndex>,
    },
    /// A connection is asked for.
    Connect(NodeIndex, NodeIndex),
    /// The operator disconnects.
    Disconnect(NodeIndex, NodeIndex),
    /// A channel is opened.
    Open(ChannelPlan),
    /// The first node asks to close all its channels with the second; alone after so many seconds, if any.
    Close(NodeIndex, NodeIndex, Option<u64>),
    /// The same, with the lowest and the highest feerate that suit the first, in satoshi per 1,000 weight.
    CloseBetween {
        /// Who asks.
        from: NodeIndex,
        /// With whom.
        with: NodeIndex,
        /// The lowest feerate.
        low: u32,
        /// The highest.
        high: u32,
        /// Alone after so many seconds, if any.
        alone_s: Option<u64>,
    },
    /// Time passes.
    Wait(u64),
    /// Until nothing happens for ten seconds.
    WaitQuiet,
    /// Blocks are found, a moment between them.
    Mine(u32),
    /// A block is found, and no time passes.
    Block,
    /// The last blocks are replaced by others, one more than they were.
    Reorg(u32, Refill),
    /// Both ends lose their connections.
    Cut(NodeIndex, NodeIndex),
    /// Nothing arrives between two for so many milliseconds.
    Stall(NodeIndex, NodeIndex, u64),
    /// Two cannot reach each other any more.
    Part(NodeIndex, NodeIndex),
    /// They can again.
    Meet(NodeIndex, NodeIndex),
    /// Everything that was broken on purpose works again.
    Heal,
    /// Something waits for a message, which may never come.
    Arm(Trigger),
    /// Something waits for a message, and the story as it is written is none if it never comes.
    Must(Trigger),
    /// A node ends and starts again.
    Crash(NodeIndex),
    /// It will, at the end of the so-manieth turn from now that writes (the next is 0).
    CrashAt(NodeIndex, u64, CrashPoint),
    /// A node ends, and stays off.
    Halt(NodeIndex),
    /// It starts again.
    Start(NodeIndex),
    /// Its commits take so many milliseconds from now on.
    SlowStore(NodeIndex, u64),
    /// Blocks reach it so many milliseconds later from now on.
    LagChain(NodeIndex, u64),
    /// Its chain backend does not answer, or does again.
    ChainUp(NodeIndex, bool),
    /// The proxy through which a node is connected, such as Tor, goes away, or comes back.
    ProxyUp(NodeIndex, bool),
    /// Its chain backend has no block from the next on, until it is up again.
    ChainLacks(NodeIndex),
    /// Other people fill the mempool: it takes nothing below this feerate, in satoshi per 1,000 weight.
    MempoolMinimum(u32),
    /// A block comes that is nearly all one witness.
    Giant,
    /// Its clock is so many milliseconds ahead from now on.
    SkewClock(NodeIndex, i64),
    /// Its estimates are all this from now on, in satoshi per 1,000 weight.
    Feerate(NodeIndex, u32),
    /// A bad peer has a habit from now on, in so many of a hundred cases.
    Habit(NodeIndex, Habit, u64),
    /// A bad peer says these bytes.
    Inject(NodeIndex, NodeIndex, Vec<u8>),
    /// A bad peer makes up a message.
    Say(NodeIndex, NodeIndex, Saying),
    /// A bad peer says once more what it said last of this type, perhaps on an earlier connection.
    Again(NodeIndex, NodeIndex, u16),
    /// The operator ends a node as one should; it stays off.
    Stop(NodeIndex),
    /// A node is reached under another address from now on.
    Move(NodeIndex),
    /// The first node loses its connections with the second, which notices nothing.
    Vanish(NodeIndex, NodeIndex),
    /// A node's backend takes back so many blocks, and brings the same ones again with the next.
    Reindex(NodeIndex, u32),
    /// Somebody makes an invoice.
    Invoice {
        /// What the story calls it.
        name: String,
        /// Who shall be paid.
        to: NodeIndex,
        /// How much.
        amount: Msat,
        /// For how many seconds it can be paid.
        expiry_s: u64,
    },
    /// Somebody makes an invoice of which only the story knows the preimage.
    HoldInvoice {
        /// What the story calls it.
        name: String,
        /// Who shall be paid.
        to: NodeIndex,
        /// How much.
        amount: Msat,
        /// For how many seconds it can be paid.
        expiry_s: u64,
        /// Blocks that the last hop gets.
        cltv: u32,
    },
    /// Whoever made it settles it, or is told why that cannot be. Asked once more if the answer is lost in a crash.
    Settle(String),
    /// Whoever made it cancels it.
    Cancel(String),
    /// Somebody pays an invoice of the story, or a part of it. A payment of that name begins.
    PayInvoice(String, NodeIndex, Option<Msat>),
    /// Something must be so, in the story as it is written.
    Expect(Expectation),
    /// Something must be so, in every variant.
    Always(Expectation),
}

/// What must be so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// A payment is complete.
    Paid(String),
    /// A payment has failed.
    Failed(String),
    /// A payment over a route has failed, and it was its payee who refused it: it does not know the hash.
    Refused(String),
    /// A payment is still under way.
    Pending(String),
    /// An invoice of the story has this status, by the word of whoever made it.
    Status(String, InvoiceStatus),
    /// Two have so many channels that carry payments.
    Usable(NodeIndex, NodeIndex, usize),
    /// Two have so many connections.
    Connected(NodeIndex, NodeIndex, bool),
    /// A node's last lines hold this text.
    Says(NodeIndex, String),
    /// A node has this much more in channels than at the beginning (less, if negative).
    Gains(NodeIndex, i64),
    /// Two have so many connections that both know of.
    Connections(NodeIndex, NodeIndex, usize),
    /// The first has so many channels with the second in this state.
    Channels(NodeIndex, NodeIndex, ChannelState, usize),
    /// All channels that the first has with the second hold so many HTLCs.
    Holds(NodeIndex, NodeIndex, usize),
    /// All channels that the first has with the second have this feerate, in satoshi per 1,000 weight.
    ChannelFeerate(NodeIndex, NodeIndex, u32),
    /// The first has said so many messages of this type to the second.
    Said(NodeIndex, NodeIndex, u16, Count),
    /// Since the first's last `init` to the second, the first message of this type came before any of that type.
    Order(NodeIndex, NodeIndex, u16, u16),
    /// The first has ended so many connections with the second.
    Cuts(NodeIndex, NodeIndex, Count),
    /// Since the story began the first has dialled the second so often.
    Dials(NodeIndex, NodeIndex, Count),
    /// A node has taken in every block.
    InStep(NodeIndex),
    /// Its `getinfo` warns of its chain backend, or does not.
    Warned(NodeIndex, bool),
}

/// How many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// So many.
    Exactly(u64),
    /// So many or more.
    AtLeast(u64),
    /// So many or fewer.
    AtMost(u64),
}

impl Count {
    /// Are so many right?
    pub fn holds(self, found: u64) -> bool {
        match self {
            Count::Exactly(wanted) => found == wanted,
            Count::AtLeast(wanted) => found >= wanted,
            Count::AtMost(wanted) => found <= wanted,
        }
    }
}

/// Which channel a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The first one that the two have.
    Own,
    /// One that nobody has.
    Unknown,
    /// All of them (only in errors and warnings).
    All,
}

/// A message that a bad peer makes up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Saying {
    /// `ping`.
    Ping {
        /// What the answer shall carry.
        num_pong_bytes: u16,
        /// What it carries itself.
        ignored: u16,
    },
    /// `pong`, asked for or not.
    Pong {
        /// What it carries.
        ignored: u16,
    },
    /// `error`.
    Error(Which, String),
    /// `warning`.
    Warning(Which, String),
    /// `channel_reestablish` with these two numbers (and no proof).
    Reestablish(Which, u64, u64),
    /// `update_fee`.
    Fee(Which, u32),
    /// `update_add_htlc` of this id and amount, with an onion that nobody can read.
    Add(Which, u64, Msat),
    /// `update_fulfill_htlc` of this id, with a preimage that fits nothing.
    Fulfill(Which, u64),
    /// `revoke_and_ack` with a secret that is none.
    Revoke(Which),
}

impl Story {
    /// Has anybody a bad habit? Then some of what was begun may wait for long, and both ends may go on chain at once.
    pub(crate) fn has_habits(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Habit(..)))
    }

    /// An empty one.
    pub fn new(title: &str, names: &[&str]) -> Story {
        Story {
            title: title.to_owned(),
            seed: 1,
            wire: Wire::Messages,
            latency_ms: 10,
            jitter_ms: 0,
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            under_test: None,
            heights_matter: false,
            bad: Vec::new(),
            closes_allowed: false,
            options: Vec::new(),
            channels: Vec::new(),
            coins: Vec::new(),
            steps: Vec::new(),
        }
    }
}
