//! Opening channels: between the peer's messages, the wallet and the client that asked.

use bitcoin::{OutPoint, Psbt, ScriptBuf, TxOut};

use super::{Io, Node};
use crate::amount::Sat;
use crate::channel::{Channel, ChannelError, OpenFeatures, OpenRequest, Opening, Progress};
use crate::command::Level;
use crate::encoding::encode_fields;
use crate::ids::{ChannelId, ChannelKey, ConnId, KeysIndex, NodeId, RequestId};
use crate::limits::{CHANNELS_MAX, CHANNELS_PER_PEER_MAX, UNFUNDED_CHANNELS_MAX, UNFUNDED_CHANNELS_PER_PEER_MAX};
use crate::mutation::{Mutation, is_active};
use crate::request::channel::{ChannelFunded, FundChannel};
use crate::request::{AmountOrAll, RequestError};
use crate::side::Side;
use crate::store::{Key, RowValue, Table};
use crate::wallet::{FundSpec, InputChoice, Pay};
use crate::wire::{self, Feature, Message};

/// An opening under way, and who waits for it.
#[derive(bincode::Encode, bincode::Decode)]
pub(crate) struct Pending {
    pub(crate) opening: Opening,
    funding: Option<FundingPlan>,
}

/// Inputs that the wallet keeps for an opening under way. An opening does not survive a restart, so whoever finds this
/// row then sets them free.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(crate) struct HoldRow {
    #[bincode(with_serde)]
    pub(crate) inputs: Vec<OutPoint>,
}

impl RowValue for HoldRow {
    const TABLE: Table = Table::Node;
}

/// The first byte of such rows' keys; the node's counters have another.
pub(crate) const HOLD_KEY: u8 = 1;

fn hold_key(channel: ChannelKey) -> Key {
    Key::new().u8(HOLD_KEY).u32(channel.0)
}

/// How the wallet shall fund it.
struct FundingPlan {
    request: RequestId,
    feerate_per_kw: u32,
    min_confirmations: u32,
    only: Option<Vec<OutPoint>>,
    psbt: Option<(Psbt, u32)>,
}

encode_fields!(FundingPlan { request, feerate_per_kw, min_confirmations, only as foreign, psbt as psbt });

impl Node {
    fn open_features(&self, node: NodeId) -> Option<(ConnId, OpenFeatures)> {
        let (conn, init) = self.peers.ready(node)?;
        let both = |feature| self.features.negotiated(&init.features, feature);
        let features = OpenFeatures {
            anchors: both(Feature::Anchors),
            // Channels of today are opened with the plain type; aliases are given all the same.
            scid_alias: both(Feature::ScidAlias),
            large: both(Feature::LargeChannels),
            upfront_shutdown: both(Feature::UpfrontShutdownScript),
            any_segwit: both(Feature::ShutdownAnysegwit),
        };
        Some((conn, features))
    }

    /// What stays in the wallet for bumping commitments with anchors.
    pub(super) fn emergency_reserve(&self) -> Sat {
        let anchors = self.channels.values().filter(|channel| channel.funding().format.has_anchors()).count();
        crate::wallet::anchor_reserve(anchors)
    }

    fn fund_spec<'a>(
        &self,
        pay: Pay,
        feerate_per_kw: u32,
        min_confirmations: u32,
        only: Option<&'a [OutPoint]>,
    ) -> FundSpec<'a> {
        let inputs = match only {
            Some(only) => InputChoice::Exactly(only),
            None => InputChoice::Any { min_confirmations },
        };
        FundSpec { pay, feerate_per_kw, inputs, emergency_reserve: self.emergency_reserve(), reserve_blocks: 0 }
    }

    fn draw_channel(&mut self, io: &mut Io<'_>) -> (ChannelKey, KeysIndex) {
        let number = self.next_channel;
        self.next_channel += 1;
        self.put_facts(io);
        (ChannelKey(number), KeysIndex(u64::from(number)))
    }

    /// Too many already? What costs a peer nothing must be bounded.
    fn opening_limit(&self, node: NodeId) -> Option<&'static str> {
        let hollow = |channel: &Channel| channel.opener() == Side::Remote && channel.scid().is_none();
        let of_peer = self.index.of_peer(node).filter_map(|key| self.channels.get(&key));
        if self.channels.len() + self.openings.len() >= CHANNELS_MAX {
            Some("too many channels")
        } else if self.index.of_peer(node).count() >= CHANNELS_PER_PEER_MAX {
            Some("too many channels with this peer")
        } else if of_peer.filter(|channel| hollow(channel)).count() >= UNFUNDED_CHANNELS_PER_PEER_MAX
            || self.openings.values().filter(|pending| pending.opening.peer() == node).count()
                >= UNFUNDED_CHANNELS_PER_PEER_MAX
        {
            Some("too many unconfirmed channels with this peer")
        } else if self.hollow_channels >= UNFUNDED_CHANNELS_MAX {
            Some("too many unconfirmed channels")
        } else {
            None
        }
    }

    pub(super) fn on_fund_channel(&mut self, io: &mut Io<'_>, request: RequestId, fund: FundChannel) {
        if let Err(error) = self.begin_opening(io, request, fund) {
            io.reply(request, Err(error));
        }
    }

    fn begin_opening(&mut self, io: &mut Io<'_>, request: RequestId, fund: FundChannel) -> Result<(), RequestError> {
        if !self.chain.synced {
            let text = "Still syncing with the bitcoin network: wait until getinfo shows no warning_lightningd_sync";
            return Err(RequestError::new(RequestError::FUNDING_STILL_SYNCING_BITCOIN, text));
        }
        self.may_wait_for_verdict()?;
        let Some((conn, features)) = self.open_features(fund.peer) else {
            return Err(match self.peers.get(fund.peer) {
                Some(_) => RequestError::peer_not_connected(),
                None => RequestError::unknown_peer(),
            });
        };
        if let Some(limit) = self.opening_limit(fund.peer) {
            return Err(RequestError::generic(limit));
        }
        let mut features = features;
        match fund.channel_type.as_deref() {
            None => features.scid_alias = false,
            Some([12]) => (features.anchors, features.scid_alias) = (false, false),
            Some([12, 22]) if features.anchors => features.scid_alias = false,
            Some(bits) => {
                return Err(RequestError::invalid_params(format!(
                    "channel_type {bits:?} is not supported with this peer"
                )));
            }
        }
        let feerate_per_kw = self.feerate(fund.feerate);
        let only = fund.utxos;
        let funding = match fund.amount {
            AmountOrAll::Amount(amount) => amount,
            AmountOrAll::All => {
                let pay = Pay::AllTo(dummy_funding_script());
                let plan =
                    self.wallet.plan(&self.fund_spec(pay, feerate_per_kw, fund.min_confirmations, only.as_deref()))?;
                let most = Sat::from(plan.outputs[0].value);
                let max = if features.large { self.channel_config.funding_max } else { Sat((1 << 24) - 1) };
                most.min(max)
            }
        };
        if funding < self.channel_config.funding_min {
            let text = format!("a channel of {funding} is below the minimum of {}", self.channel_config.funding_min);
            return Err(RequestError::generic(text));
        }
        // Whether the wallet can pay is known now; an opening that cannot be funded would only annoy the peer.
        let pay = Pay::Outputs(vec![TxOut { value: funding.to_amount(), script_pubkey: dummy_funding_script() }]);
        self.wallet.plan(&self.fund_spec(pay, feerate_per_kw, fund.min_confirmations, only.as_deref()))?;

        let (key, keys) = self.draw_channel(io);
        let close_script = match fund.close_to {
            Some(script) => script,
            None => self.wallet.next_sweep_script(io.out),
        };
        let open = OpenRequest {
            key,
            keys,
            peer: fund.peer,
            funding,
            push_msat: fund.push_msat,
            announce: fund.announce,
            feerate_per_kw: None,
            features,
            close_script,
        };
        let mut cx = lend!(self, io);
        let opening = Opening::open(&mut cx, conn, open).map_err(|error| match error {
            ChannelError::Parameter { field: "funding_satoshis", .. } => {
                RequestError::new(RequestError::FUND_MAX_EXCEEDED, error.to_string())
            }
            error => RequestError::generic(error.to_string()),
        })?;
        let funding =
            FundingPlan { request, feerate_per_kw, min_confirmations: fund.min_confirmations, only, psbt: None };
        self.openings.insert(key, Pending { opening, funding: Some(funding) });
        Ok(())
    }

    /// `FundingNeeded`: builds the transaction and tells the opening its outpoint.
    pub(super) fn on_funding_needed(&mut self, io: &mut Io<'_>, key: ChannelKey, script: ScriptBuf, amount: Sat) {
        let Some(plan) = self.openings.get_mut(&key).and_then(|pending| pending.funding.as_mut()) else { return };
        let (feerate_per_kw, request) = (plan.feerate_per_kw, plan.request);
        let (min_confirmations, only) = (plan.min_confirmations, plan.only.clone());
        let pay = Pay::Outputs(vec![TxOut { value: amount.to_amount(), script_pubkey: script }]);
        let mut spec = self.fund_spec(pay, feerate_per_kw, min_confirmations, only.as_deref());
        spec.reserve_blocks = crate::wallet::RESERVE_BLOCKS;
        match self.wallet.fund(&spec, &mut self.rng, io.out) {
            Ok(funded) => {
                let vout = funded.outputs_at[0];
                // The txid must not change by signing: all our inputs are segregated witnesses.
                let outpoint = OutPoint { txid: funded.psbt.unsigned_tx.compute_txid(), vout };
                let inputs = funded.psbt.unsigned_tx.input.iter().map(|input| input.previous_output).collect();
                let hold = HoldRow { inputs };
                io.put(hold_key(key), &hold);
                self.holds.insert(key, hold);
                if let Some(plan) = self.openings.get_mut(&key).and_then(|pending| pending.funding.as_mut()) {
                    plan.psbt = Some((funded.psbt, vout));
                }
                self.with_opening(io, key, |opening, cx| opening.funding_built(cx, outpoint));
            }
            Err(error) => {
                io.reply(request, Err(error.into()));
                self.abandon_opening(io, key, "the wallet cannot fund it", false);
            }
        }
    }

    /// The wallet keeps nothing for this opening any more.
    fn end_hold(&mut self, io: &mut Io<'_>, key: ChannelKey) {
        if let Some(HoldRow { inputs }) = self.holds.remove(&key) {
            self.wallet.release(&inputs, crate::wallet::RESERVE_BLOCKS, io.out);
            io.delete::<HoldRow>(hold_key(key));
        }
    }

    /// Openings do not survive a restart, and what was kept for them is free again.
    pub(super) fn end_all_holds(&mut self, io: &mut Io<'_>) {
        for key in self.holds.keys().copied().collect::<Vec<_>>() {
            self.end_hold(io, key);
        }
    }

    /// `FundingSafe`: the peer has signed our way out, so the money may go in.
    pub(super) fn on_funding_safe(&mut self, io: &mut Io<'_>, key: ChannelKey) {
        let Some(mut pending) = self.openings.remove(&key) else { return };
        let Some(FundingPlan { request, psbt: Some((mut psbt, vout)), .. }) = pending.funding.take() else { return };
        if let Err(error) = self.may_wait_for_verdict() {
            self.abandon_unfunded(io, key, &error.message);
            self.end_hold(io, key);
            return io.reply(request, Err(error));
        }
        let signed = self.wallet.sign(&mut psbt, None, io.signer).and_then(|_| crate::wallet::extract(&psbt));
        let tx = match signed {
            Ok(tx) => tx,
            Err(error) => {
                let reason = error.to_string();
                io.note(Level::Error, "wallet", format_args!("cannot sign the funding of a channel: {reason}"));
                self.abandon_unfunded(io, key, &reason);
                self.end_hold(io, key);
                io.reply(request, Err(RequestError::generic(reason)));
                return;
            }
        };
        self.wallet.broadcast(&tx, "funding", io.out);
        // They are spent, and should the backend refuse it they are free.
        self.end_hold(io, key);
        if let Some(channel) = self.channels.get(&key) {
            let funded = ChannelFunded {
                output: vout,
                channel_id: channel.id(),
                channel_type: self.channel_type_bits(key),
                close_to: None,
                mindepth: Some(channel.row().minimum_depth),
                tx,
            };
            self.wait_for_funding(io, key, request, funded);
        }
    }

    /// Forgets a channel whose funding nobody has but us, and tells the peer so that it need not wait for it.
    pub(super) fn abandon_unfunded(&mut self, io: &mut Io<'_>, key: ChannelKey, reason: &str) -> bool {
        let Some((peer, channel_id)) = self.channels.get(&key).map(|channel| (channel.peer(), channel.id())) else {
            return false;
        };
        let is_abandoned = self.with_channel(io, key, |channel, cx| channel.abandon(cx, reason)).unwrap_or(false);
        if is_abandoned && let Some((conn, _)) = self.peers.ready(peer) {
            io.send(conn, wire::Error { channel_id, data: b"its funding transaction will never be" });
        }
        is_abandoned
    }

    pub(super) fn on_open_channel(&mut self, io: &mut Io<'_>, node: NodeId, conn: ConnId, message: &Message<'_>) {
        let Message::OpenChannel(open) = message else { return };
        let refuse = |io: &mut Io<'_>, text: &str| {
            io.note_peer(Level::Info, "channel", node, format_args!("refused an opening: {text}"));
            io.send(conn, wire::Error { channel_id: open.temporary_channel_id, data: text.as_bytes() });
        };
        if !self.chain.synced {
            return refuse(io, "still syncing with the chain, try again later");
        }
        if !self.config.channel.accept_channels {
            return refuse(io, "this node accepts no channels");
        }
        if let Some(limit) = self.opening_limit(node) {
            return refuse(io, limit);
        }
        let repeated = self.openings.values().any(|pending| {
            pending.opening.peer() == node && pending.opening.temporary_id() == open.temporary_channel_id
        });
        if repeated {
            return refuse(io, "this temporary_channel_id is in use");
        }
        let Some((_, features)) = self.open_features(node) else { return };
        let (key, keys) = self.draw_channel(io);
        let close_script = self.wallet.next_sweep_script(io.out);
        let mut cx = lend!(self, io);
        match Opening::accept(&mut cx, conn, (key, keys), node, features, close_script, open) {
            Ok(opening) => {
                self.openings.insert(key, Pending { opening, funding: None });
            }
            Err(error) => refuse(io, &error.to_string()),
        }
    }

    /// Was the message for an opening of this peer?
    pub(super) fn on_opening_message(
        &mut self,
        io: &mut Io<'_>,
        node: NodeId,
        conn: ConnId,
        channel_id: ChannelId,
        message: &Message<'_>,
    ) -> bool {
        let found = self.openings.iter().find(|(_, pending)| {
            let opening = &pending.opening;
            opening.peer() == node
                && opening.conn() == conn
                && (opening.temporary_id() == channel_id || opening.channel_id() == Some(channel_id))
        });
        let Some(key) = found.map(|(key, _)| *key) else { return false };
        match self.with_opening(io, key, |opening, cx| opening.receive(cx, message)) {
            Some(Ok(Progress::Done(channel))) => self.on_channel_born(io, *channel),
            Some(Err(error)) => {
                let text = error.to_string();
                io.send(conn, wire::Error { channel_id, data: text.as_bytes() });
                self.abandon_opening(io, key, &text, true);
            }
            Some(Ok(Progress::Waiting)) | None => {}
        }
        true
    }

    /// A channel exists from now on.
    fn on_channel_born(&mut self, io: &mut Io<'_>, channel: Channel) {
        let (key, peer, outpoint) = (channel.key(), channel.peer(), channel.funding().outpoint);
        if channel.opener() == Side::Remote {
            self.openings.remove(&key);
        }
        channel.watch(io.out);
        if channel.is_dirty() {
            self.dirty.insert(key);
        }
        io.note_peer(
            Level::Info,
            "channel",
            peer,
            format_args!("channel {} awaits its funding {outpoint}", channel.id()),
        );
        self.adopt(channel);
        self.peers.want(peer, true, io.clock.mono, &mut self.rng);
        self.store_addresses(io, peer);
    }

    /// Puts a channel where it can be found.
    pub(super) fn adopt(&mut self, channel: Channel) {
        let key = channel.key();
        self.index.by_id.insert(channel.id(), key);
        self.index.by_peer.insert((channel.peer(), key));
        self.index.by_funding.entry(channel.funding().outpoint.txid).or_default().insert(key);
        let names = [channel.scid(), channel.row().alias.local];
        for name in names.into_iter().flatten() {
            self.index.by_scid.insert(name, key);
        }
        if channel.opener() == Side::Remote && channel.scid().is_none() {
            self.hollow_channels += 1;
        }
        self.channels.insert(key, Box::new(channel));
    }

    fn abandon_opening(&mut self, io: &mut Io<'_>, key: ChannelKey, reason: &str, answer: bool) {
        let Some(Pending { opening, funding }) = self.openings.remove(&key) else { return };
        let (peer, temporary_id, conn) = (opening.peer(), opening.temporary_id(), opening.conn());
        io.note_peer(Level::Info, "channel", peer, format_args!("opening given up: {reason}"));
        let mut cx = lend!(self, io);
        opening.abandon(&mut cx);
        let Some(plan) = funding else { return };
        self.end_hold(io, key);
        if answer {
            io.reply(plan.request, Err(RequestError::new(RequestError::GENERIC, format!("They sent {reason}"))));
        } else {
            io.send(conn, wire::Error { channel_id: temporary_id, data: reason.as_bytes() });
        }
    }

    pub(super) fn openings_disconnected(&mut self, io: &mut Io<'_>, node: NodeId) {
        self.openings_failed_where(io, node, "Disconnected", |_| !is_active(Mutation::OpeningOutlivesConnection));
    }

    pub(super) fn openings_failed(&mut self, io: &mut Io<'_>, node: NodeId, channel_id: ChannelId, text: &str) {
        self.openings_failed_where(io, node, text, |opening| {
            channel_id == ChannelId::ALL
                || opening.temporary_id() == channel_id
                || opening.channel_id() == Some(channel_id)
        });
    }

    fn openings_failed_where(&mut self, io: &mut Io<'_>, node: NodeId, text: &str, meant: impl Fn(&Opening) -> bool) {
        let over =
            self.openings.iter().filter(|(_, pending)| pending.opening.peer() == node && meant(&pending.opening));
        for key in over.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.abandon_opening(io, key, text, true);
        }
    }

    /// Feature bits of a channel's type.
    pub(super) fn channel_type_bits(&self, key: ChannelKey) -> Vec<u16> {
        self.channels.get(&key).map(|channel| self.channel_type_of(channel)).unwrap_or_default()
    }

    pub(super) fn channel_type_of(&self, channel: &Channel) -> Vec<u16> {
        let mut bits = vec![12];
        if channel.funding().format.has_anchors() {
            bits.push(22);
        }
        if channel.row().scid_alias {
            bits.push(46);
        }
        bits
    }
}

/// As long as a funding output's script; the real one is known only when the peer has answered.
fn dummy_funding_script() -> ScriptBuf {
    use bitcoin::hashes::Hash;
    ScriptBuf::new_p2wsh(&bitcoin::WScriptHash::all_zeros())
}
