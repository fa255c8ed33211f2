//! A node from its rows: the same function at the first start, where there are none.

use std::collections::{BTreeMap, BTreeSet};

use super::chain::{BlockRow, ClaimRow};
use super::payments::Cue;
use super::peers::{PeerRow, our_features};
use super::{ChannelIndex, Io, Node, opening};
use crate::amount::Msat;
use crate::chain::{Backend, Chain, Tip};
use crate::channel::{ChannelConfig, Detail, HtlcState, Origin, Policy, Stored, rows};
use crate::clock::Clock;
use crate::command::{Command, Sink, Watch};
use crate::config::Config;
use crate::ids::{BlockHeight, ChannelKey, NodeId};
use crate::invoices::Invoices;
use crate::mutation::{Mutation, is_active};
use crate::payment::forward::{Forwards, Open};
use crate::payment::incoming::Incoming;
use crate::payment::outgoing::Outgoing;
use crate::payment::replay::Replays;
use crate::payment::rows::{ChangeRow, Changes, ForwardRow, ForwardState, PartRow, PaymentEndRow, PaymentRow};
use crate::peer::Peers;
use crate::rng::Rng;
use crate::side::Side;
use crate::signer::Signer;
use crate::store::{Key, Row, RowError, RowValue, Table};
use crate::timer::Timers;
use crate::wallet::Wallet;

/// What a node is made of besides its rows.
pub struct Boot {
    /// What the operator chose.
    pub config: Config,
    /// For jitter and names; drawn anew at each start.
    pub rng_seed: [u8; 32],
    /// Now.
    pub clock: Clock,
}

/// Why rows do not make a node. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoreError {
    /// A row cannot be read.
    Row {
        /// Where it stands.
        table: Table,
        /// Its key.
        key: Vec<u8>,
        /// What is wrong.
        error: RowError,
    },
    /// A channel is not whole.
    Channel(rows::RestoreError),
}

impl std::fmt::Display for RestoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RestoreError::Row { key, error, .. } => {
                write!(f, "{error}; its key is ")?;
                key.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            RestoreError::Channel(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RestoreError {}

/// Counters of the whole node, written when one moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(crate) struct FactsRow {
    pub(crate) next_channel: u32,
    pub(crate) fees_collected: Msat,
}

impl RowValue for FactsRow {
    const TABLE: Table = Table::Node;
}

fn facts_key() -> Key {
    Key::new().u8(0)
}

/// What we want of channels, from the operator's settings.
fn channel_config(config: &Config, node_id: NodeId) -> ChannelConfig {
    let settings = &config.channel;
    let mut wanted = ChannelConfig::new(node_id, config.network.chain_hash());
    wanted.dust_limit = settings.dust_limit;
    wanted.htlc_minimum_msat = settings.htlc_minimum;
    wanted.to_self_delay = settings.to_self_delay;
    wanted.to_self_delay_max = settings.to_self_delay_max;
    wanted.minimum_depth = settings.minimum_depth;
    wanted.funding_min = settings.funding_min;
    wanted.funding_max = settings.funding_max;
    wanted.reserve_permille = u64::from(settings.reserve_millionths) / 1000;
    wanted.max_dust_exposure_msat = settings.dust_exposure_max;
    wanted.policy = Policy {
        fee_base_msat: settings.fee_base_msat,
        fee_proportional_millionths: settings.fee_proportional_millionths,
        cltv_expiry_delta: settings.cltv_expiry_delta,
        htlc_minimum_msat: settings.htlc_minimum,
        htlc_maximum_msat: Msat(u64::MAX),
    };
    wanted
}

/// Rows as they are gathered, before they are joined.
#[derive(Default)]
struct Gathered {
    facts: FactsRow,
    holds: BTreeMap<ChannelKey, opening::HoldRow>,
    channels: BTreeMap<ChannelKey, Stored>,
    payments: BTreeMap<u64, PaymentRow>,
    ended: BTreeSet<u64>,
    parts: Vec<(u64, PartRow)>,
    next_payment: u64,
    next_part: u64,
    next_part_update: u64,
    forwards: Vec<(u64, ForwardRow)>,
    next_forward: u64,
    next_forward_update: u64,
    blocks: BTreeMap<BlockHeight, bitcoin::BlockHash>,
    claims: BTreeMap<bitcoin::OutPoint, ClaimRow>,
    peers: Vec<(NodeId, PeerRow)>,
    replays: Replays,
}

impl Gathered {
    fn take(&mut self, row: &Row<'_>, wallet: &mut Wallet, invoices: &mut Invoices) -> Result<(), RowError> {
        match row.table {
            Table::Node => match row.key {
                [opening::HOLD_KEY, channel @ ..] => {
                    let bad = |_| RowError::BadKey { table: Table::Node };
                    let channel = u32::from_be_bytes(channel.try_into().map_err(bad)?);
                    self.holds.insert(ChannelKey(channel), row.decode()?);
                }
                _ => self.facts = row.decode()?,
            },
            Table::Channel | Table::Commitment | Table::Htlc | Table::Onion | Table::Secret | Table::Signature => {
                self.channels.entry(rows::channel_of(row)?).or_default().take(row)?;
            }
            Table::Payment => {
                let index = u64::from_be_bytes(row.key_array()?);
                self.next_payment = self.next_payment.max(index + 1);
                self.payments.insert(index, row.decode()?);
            }
            Table::PaymentEnd => {
                row.decode::<PaymentEndRow>()?;
                self.ended.insert(u64::from_be_bytes(row.key_array()?));
            }
            Table::Part => {
                let key: [u8; 16] = row.key_array()?;
                let number = u64::from_be_bytes(key[8..].try_into().expect("half of sixteen bytes"));
                self.next_part = self.next_part.max(number + 1);
                self.parts.push((number, row.decode()?));
            }
            Table::Forward => {
                let index = u64::from_be_bytes(row.key_array()?);
                self.next_forward = self.next_forward.max(index + 1);
                let forward: ForwardRow = row.decode()?;
                if matches!(forward.state, ForwardState::Offered { .. }) {
                    self.forwards.push((index, forward));
                }
            }
            Table::Block => {
                let BlockRow(Tip { height, hash }) = row.decode()?;
                self.blocks.insert(height, hash);
            }
            Table::Claim => {
                let claim: ClaimRow = row.decode()?;
                self.claims.insert(claim.spendable.outpoint, claim);
            }
            Table::Change => {
                row.decode::<ChangeRow>()?;
                let next = |changes: Changes| changes.number(row.key).map_or(0, |number| number + 1);
                self.next_part_update = self.next_part_update.max(next(Changes::PartUpdated));
                self.next_forward_update = self.next_forward_update.max(next(Changes::ForwardUpdated));
            }
            Table::Peer => self.peers.push((NodeId(row.key_array()?), row.decode()?)),
            Table::Invoice
            | Table::InvoiceEnd
            | Table::InvoiceLabel
            | Table::InvoiceHash
            | Table::InvoicePaid
            | Table::InvoiceHold => {
                invoices.take(row)?;
            }
            Table::Utxo | Table::Transaction | Table::Address => wallet.take(row)?,
            Table::Replay => self.replays.take(row)?,
            Table::Revoked | Table::PaymentHash | Table::ClosedChannel => {}
        }
        Ok(())
    }
}

impl Node {
    /// Rebuilds the node from its stored rows. Pure, so a corrupt store is a testable input.
    pub fn restore<'a>(
        boot: Boot,
        rows: impl Iterator<Item = Row<'a>>,
        signer: &mut dyn Signer,
    ) -> Result<Node, RestoreError> {
        let Boot { config, rng_seed, clock } = boot;
        let id = signer.node_id();
        let mut wallet = Wallet::new(&signer.wallet_accounts(), config.network.bitcoin());
        let mut invoices = Invoices::default();
        invoices.see(clock);
        let mut gathered = Gathered::default();
        for row in rows {
            gathered.take(&row, &mut wallet, &mut invoices).map_err(|error| RestoreError::Row {
                table: row.table,
                key: row.key.to_vec(),
                error,
            })?;
        }
        let tip = gathered.blocks.last_key_value().map(|(height, hash)| Tip { height: *height, hash: *hash });
        let height = tip.map_or(BlockHeight(0), |tip| tip.height);
        let whole = |table, error| RestoreError::Row { table, key: Vec::new(), error };
        wallet.finish(height).map_err(|error| whole(Table::Utxo, error))?;
        invoices.finish(clock);

        let mut outgoing = Outgoing::restore(gathered.next_payment, gathered.next_part, gathered.next_part_update);
        for (index, row) in gathered.payments {
            if !gathered.ended.contains(&index) {
                outgoing.restore_payment(index, row);
            }
        }
        let mut parts = gathered.parts;
        parts.sort_by_key(|(number, _)| *number);
        for (number, row) in parts {
            outgoing.restore_part(number, row);
        }
        let mut forwards = Forwards::restore(gathered.next_forward, gathered.next_forward_update);
        for (index, row) in gathered.forwards {
            forwards.begin((row.in_channel, row.in_htlc), Open { index, row: Box::new(row) });
        }
        let mut incoming = Incoming::default();
        if !is_active(Mutation::AcceptedForgotten) {
            for (payment_hash, parts) in invoices.held() {
                incoming.accept(payment_hash, parts.to_vec());
            }
        }
        let mut node = Node {
            id,
            channel_config: channel_config(&config, id),
            features: our_features(),
            chain: Chain { tip, synced: false, feerates: None, fallback: None, backend: Backend::Unknown },
            rng: Rng::new(rng_seed),
            peers: Peers::default(),
            channels: BTreeMap::new(),
            index: ChannelIndex::default(),
            openings: BTreeMap::new(),
            holds: gathered.holds,
            next_channel: gathered.facts.next_channel,
            outgoing,
            incoming,
            forwards,
            replays: gathered.replays,
            old_policies: BTreeMap::new(),
            update_timestamps: BTreeMap::new(),
            invoices,
            wallet,
            effects: Vec::new(),
            scratch: crate::channel::Scratch::default(),
            dirty: BTreeSet::new(),
            timers: Timers::default(),
            queries: BTreeMap::new(),
            next_query: 0,
            transaction_queries: BTreeMap::new(),
            block_waiters: BTreeMap::new(),
            list_waiters: BTreeMap::new(),
            verdict_waiters: BTreeMap::new(),
            fresh_fundings: BTreeMap::new(),
            close_waiters: BTreeMap::new(),
            ping_waiters: BTreeMap::new(),
            fees_collected: gathered.facts.fees_collected,
            hollow_channels: 0,
            recent: gathered.blocks,
            claims: gathered.claims,
            config,
        };
        for (key, stored) in gathered.channels {
            let channel = stored.restore(key, signer).map_err(RestoreError::Channel)?;
            node.next_channel = node.next_channel.max(key.0 + 1);
            node.adopt(channel);
        }
        for (peer, row) in gathered.peers {
            for address in row.addresses.into_iter().rev() {
                node.peers.learn_address(peer, address);
            }
        }
        let partners: BTreeSet<NodeId> = node.channels.values().map(|channel| channel.peer()).collect();
        for peer in partners {
            node.peers.want(peer, true, clock.mono, &mut node.rng);
        }
        Ok(node)
    }

    /// What a restart owes: watches, HTLCs that wait for a decision, payments whose parts never left. Once, before the
    /// first event.
    pub fn start(&mut self, clock: Clock, signer: &mut dyn Signer, out: &mut dyn Sink) {
        let mut io = Io { clock, signer, out };
        let io = &mut io;
        self.wallet.watch(io.out);
        for channel in self.channels.values() {
            channel.watch(io.out);
        }
        for outpoint in self.claims.keys() {
            io.out.emit(Command::Watch(Watch::Spend(*outpoint)));
        }
        self.end_all_holds(io);
        self.reconcile_parts(io);
        self.present_incoming(io);
        self.settle(io);
    }

    /// A part is on its way exactly if an HTLC of some channel says so: a crash may lie between the two only in the one
    /// direction, that the add was never signed.
    fn reconcile_parts(&mut self, io: &mut Io<'_>) {
        if is_active(Mutation::PartsOutliveRestart) {
            return;
        }
        let mut offered = BTreeSet::new();
        let mut forwarded = BTreeSet::new();
        for channel in self.channels.values() {
            for (_, htlc) in channel.ledger().of_side(Side::Local) {
                match htlc.detail {
                    Detail::Offered { origin: Origin::Payment { part }, .. } => {
                        offered.insert(part);
                    }
                    Detail::Offered { origin: Origin::Forward { channel, id }, .. } => {
                        forwarded.insert((channel, id));
                    }
                    Detail::Received { .. } => {}
                }
            }
        }
        let lost: Vec<u64> = self.outgoing.part_numbers().filter(|number| !offered.contains(number)).collect();
        for number in lost {
            self.on_part_dropped(io, number);
        }
        for incoming in self.forwards.keys().filter(|incoming| !forwarded.contains(incoming)).collect::<Vec<_>>() {
            self.on_forward_dropped(io, incoming);
        }
        // Payments whose process ended between two parts have nobody to drive them on.
        for index in self.outgoing.indices().collect::<Vec<_>>() {
            self.advance_payment(io, index, Cue::Again);
        }
    }

    /// HTLCs of peers that are irrevocable and have no decision: decided anew, as if they had just come.
    fn present_incoming(&mut self, io: &mut Io<'_>) {
        if is_active(Mutation::ForgottenHtlcOnRestart) {
            return;
        }
        let mut waiting = Vec::new();
        for (key, channel) in &self.channels {
            for (htlc_key, htlc) in channel.ledger().of_side(Side::Remote) {
                if htlc.state == HtlcState::Live {
                    waiting.push((*key, htlc_key.id));
                }
            }
        }
        for (key, id) in waiting {
            // Dust beyond what we bear was decided upon in the turn that made it irrevocable: it is not among these.
            self.on_incoming(io, key, id, false);
        }
    }

    pub(super) fn put_facts(&self, io: &mut Io<'_>) {
        let row = FactsRow { next_channel: self.next_channel, fees_collected: self.fees_collected };
        io.put(facts_key(), &row);
    }
}
