//! Opening a channel, from either end. Nothing is written until both first commitments are signed: an opening that
//! its connection does not survive never was.

use std::collections::BTreeMap;

use bitcoin::{OutPoint, ScriptBuf};
use secp256k1::PublicKey;

use crate::amount::{Msat, Sat};
use crate::command::Command;
use crate::ids::{ChannelId, ChannelKey, ConnId, KeysIndex, NodeId};
use crate::limits::{DUST_LIMIT_MIN, FUNDING_LARGE};
use crate::side::{PerSide, Side};
use crate::signer::{CommitmentOf, SignerState};
use crate::tx::{Basepoints, CommitFormat, CommitmentTx, SecretStore, opener_remainder};
use crate::wire::{self, Message, Rest};

use super::commit::KeyRing;
use super::commit::signed_of;
use super::ledger::{Age, Ledger};
use super::rows::{ChannelRow, Funding, FundingStatus, Phase, RemotePoints, SignatureRow};
use super::terms::{ChannelType, OpenFeatures, check_params, demand, our_params, parse, upfront};
use super::totals::Totals;
use super::{Channel, ChannelError, Cx, Effect, Link, Params, ready};

/// A channel that we want to open.
#[derive(Clone, Debug)]
pub struct OpenRequest {
    /// Its name in the store.
    pub key: ChannelKey,
    /// Whence its keys derive.
    pub keys: KeysIndex,
    /// With whom.
    pub peer: NodeId,
    /// How much we put in.
    pub funding: Sat,
    /// How much of it is the peer's at once.
    pub push_msat: Msat,
    /// Shall everyone know of it?
    pub announce: bool,
    /// What its commitment pays at first; `None` follows the chain.
    pub feerate_per_kw: Option<u32>,
    /// What both ends' features allow.
    pub features: OpenFeatures,
    /// Where our money goes in a closing by agreement.
    pub close_script: ScriptBuf,
}

/// Where an opening is.
#[derive(bincode::Encode, bincode::Decode)]
enum State {
    /// We sent `open_channel`.
    Offered,
    /// The wallet builds the funding transaction.
    Funding,
    /// We sent `funding_created`.
    Created { first: Box<First> },
    /// We sent `accept_channel`.
    Accepted,
}

/// Both first commitments' common ground, once the outpoint is known.
#[derive(bincode::Encode, bincode::Decode)]
struct First {
    row: ChannelRow,
    ledger: Ledger,
    local: CommitmentTx,
    remote: CommitmentTx,
}

/// What came of a message.
pub enum Progress {
    /// More is to come.
    Waiting,
    /// Both first commitments are signed: the channel exists.
    Done(Box<Channel>),
}

/// A channel that does not exist yet. Lives with its connection.
#[derive(bincode::Encode, bincode::Decode)]
pub struct Opening {
    key: ChannelKey,
    keys: KeysIndex,
    peer: NodeId,
    conn: ConnId,
    temporary_id: ChannelId,
    opener: Side,
    announce: bool,
    channel_type: ChannelType,
    features: OpenFeatures,
    funding: Sat,
    push_msat: Msat,
    feerate_per_kw: u32,
    params: PerSide<Params>,
    local_basepoints: Basepoints,
    remote_basepoints: Option<Basepoints>,
    #[bincode(with_serde)]
    remote_first_point: Option<PublicKey>,
    minimum_depth: u32,
    upfront_shutdown: PerSide<Option<Vec<u8>>>,
    close_script: Vec<u8>,
    state: State,
}

/// The five keys of one side and its first point, from either message.
macro_rules! parse_keys {
    ($message:expr) => {{
        let message = $message;
        let basepoints = Basepoints {
            funding_pubkey: parse(message.funding_pubkey, "funding_pubkey")?,
            revocation: parse(message.revocation_basepoint, "revocation_basepoint")?,
            payment: parse(message.payment_basepoint, "payment_basepoint")?,
            delayed_payment: parse(message.delayed_payment_basepoint, "delayed_payment_basepoint")?,
            htlc: parse(message.htlc_basepoint, "htlc_basepoint")?,
        };
        (basepoints, parse(message.first_per_commitment_point, "first_per_commitment_point")?)
    }};
}

/// What one side demands, from either message.
macro_rules! params_of {
    ($message:expr) => {{
        let message = $message;
        Params {
            dust_limit: message.dust_limit_satoshis,
            max_htlc_value_in_flight_msat: message.max_htlc_value_in_flight_msat,
            channel_reserve: message.channel_reserve_satoshis,
            htlc_minimum_msat: message.htlc_minimum_msat,
            to_self_delay: message.to_self_delay,
            max_accepted_htlcs: message.max_accepted_htlcs,
        }
    }};
}

impl Opening {
    /// Offers to open a channel.
    pub fn open(cx: &mut Cx<'_>, conn: ConnId, request: OpenRequest) -> Result<Opening, ChannelError> {
        let OpenRequest { key, keys, peer, funding, push_msat, announce, features, .. } = request;
        let large = features.large && cx.config.large_channels;
        let funding_max = if large { cx.config.funding_max } else { Sat(FUNDING_LARGE.0 - 1) };
        demand(funding <= funding_max, "funding_satoshis", funding.0, funding_max.0)?;
        if push_msat > funding.to_msat() {
            return Err(ChannelError::TooMuch { field: "push_msat", actual: push_msat, maximum: funding.to_msat() });
        }
        let format = if features.anchors { CommitFormat::AnchorsZeroFeeHtlc } else { CommitFormat::StaticRemoteKey };
        // BOLT 2: a type with aliases only is for channels that are not announced.
        let channel_type = ChannelType { format, scid_alias: features.scid_alias && !announce };
        let wanted = super::updates::wanted_feerate(format, &cx.chain.feerates(), cx.config);
        let feerate_per_kw = request.feerate_per_kw.unwrap_or(wanted);
        let params = our_params(cx.config, funding, DUST_LIMIT_MIN);
        let close_script = request.close_script.into_bytes();
        let upfront_shutdown = features.upfront_shutdown.then(|| close_script.clone());
        let mut temporary_id = ChannelId([0; 32]);
        cx.rng.fill(&mut temporary_id.0);
        let opening = Opening {
            key,
            keys,
            peer,
            conn,
            temporary_id,
            opener: Side::Local,
            announce,
            channel_type,
            features,
            funding,
            push_msat,
            feerate_per_kw,
            params: PerSide { local: params, remote: params },
            local_basepoints: cx.signer.channel_basepoints(keys),
            remote_basepoints: None,
            remote_first_point: None,
            minimum_depth: 0,
            upfront_shutdown: PerSide { local: upfront_shutdown, remote: None },
            close_script,
            state: State::Offered,
        };
        if let Err(error) = opening.check_affordable(&params) {
            opening.abandon(cx);
            return Err(error);
        }
        opening.send_open(cx);
        Ok(opening)
    }

    fn send_open(&self, cx: &mut Cx<'_>) {
        let (params, keys) = (&self.params.local, &self.local_basepoints);
        let channel_type = self.channel_type.to_bytes();
        let first = cx.signer.per_commitment_point(self.keys, 0);
        let open = wire::OpenChannel {
            chain_hash: cx.config.chain_hash,
            temporary_channel_id: self.temporary_id,
            funding_satoshis: self.funding,
            push_msat: self.push_msat,
            dust_limit_satoshis: params.dust_limit,
            max_htlc_value_in_flight_msat: params.max_htlc_value_in_flight_msat,
            channel_reserve_satoshis: params.channel_reserve,
            htlc_minimum_msat: params.htlc_minimum_msat,
            feerate_per_kw: self.feerate_per_kw,
            to_self_delay: params.to_self_delay,
            max_accepted_htlcs: params.max_accepted_htlcs,
            funding_pubkey: keys.funding_pubkey.into(),
            revocation_basepoint: keys.revocation.into(),
            payment_basepoint: keys.payment.into(),
            delayed_payment_basepoint: keys.delayed_payment.into(),
            htlc_basepoint: keys.htlc.into(),
            first_per_commitment_point: first.into(),
            channel_flags: u8::from(self.announce),
            upfront_shutdown_script: self.upfront_field(),
            channel_type: Some(Rest(&channel_type)),
        };
        self.send(cx, &Message::OpenChannel(open));
    }

    /// With the feature the field must be there, be it empty.
    fn upfront_field(&self) -> Option<Rest<'_>> {
        self.features.upfront_shutdown.then(|| Rest(self.upfront_shutdown.local.as_deref().unwrap_or(&[])))
    }

    /// Takes up a peer's offer to open a channel, or says what is wrong with it.
    pub fn accept(
        cx: &mut Cx<'_>,
        conn: ConnId,
        (key, keys): (ChannelKey, KeysIndex),
        peer: NodeId,
        features: OpenFeatures,
        close_script: ScriptBuf,
        open: &wire::OpenChannel<'_>,
    ) -> Result<Opening, ChannelError> {
        let config = cx.config;
        if open.chain_hash != config.chain_hash {
            return Err(ChannelError::ChainHash);
        }
        let channel_type =
            open.channel_type.and_then(|Rest(bytes)| ChannelType::parse(bytes)).ok_or(ChannelError::ChannelType)?;
        let announce = open.channel_flags & 1 != 0;
        let allowed = (features.anchors || channel_type.format == CommitFormat::StaticRemoteKey)
            && (!channel_type.scid_alias || (features.scid_alias && !announce));
        if !allowed {
            return Err(ChannelError::ChannelType);
        }
        let funding = open.funding_satoshis;
        let large = features.large && config.large_channels;
        let funding_max = if large { config.funding_max } else { Sat(FUNDING_LARGE.0 - 1) };
        demand(funding >= config.funding_min, "funding_satoshis", funding.0, config.funding_min.0)?;
        demand(funding <= funding_max, "funding_satoshis", funding.0, funding_max.0)?;
        if open.push_msat > funding.to_msat() {
            let (actual, maximum) = (open.push_msat, funding.to_msat());
            return Err(ChannelError::TooMuch { field: "push_msat", actual, maximum });
        }
        let (low, high) = super::updates::feerate_bounds(channel_type.format, &cx.chain.feerates());
        let feerate_per_kw = open.feerate_per_kw;
        demand(feerate_per_kw >= low, "feerate_per_kw", feerate_per_kw.into(), low.into())?;
        demand(feerate_per_kw <= high, "feerate_per_kw", feerate_per_kw.into(), high.into())?;
        let remote = params_of!(open);
        let local = our_params(config, funding, remote.dust_limit);
        check_params(config, &remote, &local, funding)?;
        let (remote_basepoints, first_point) = parse_keys!(open);
        let remote_upfront = upfront(open.upfront_shutdown_script.map(|Rest(script)| script), &features)?;
        let close_script = close_script.into_bytes();
        let local_upfront = features.upfront_shutdown.then(|| close_script.clone());
        let opening = Opening {
            key,
            keys,
            peer,
            conn,
            temporary_id: open.temporary_channel_id,
            opener: Side::Remote,
            announce,
            channel_type,
            features,
            funding,
            push_msat: open.push_msat,
            feerate_per_kw,
            params: PerSide { local, remote },
            local_basepoints: cx.signer.channel_basepoints(keys),
            remote_basepoints: Some(remote_basepoints),
            remote_first_point: Some(first_point),
            minimum_depth: config.minimum_depth.max(1),
            upfront_shutdown: PerSide { local: local_upfront, remote: remote_upfront },
            close_script,
            state: State::Accepted,
        };
        if let Err(error) = opening.check_affordable(&local) {
            opening.abandon(cx);
            return Err(error);
        }
        opening.send_accept(cx);
        Ok(opening)
    }

    fn send_accept(&self, cx: &mut Cx<'_>) {
        let (params, keys) = (&self.params.local, &self.local_basepoints);
        let channel_type = self.channel_type.to_bytes();
        let first = cx.signer.per_commitment_point(self.keys, 0);
        let accept = wire::AcceptChannel {
            temporary_channel_id: self.temporary_id,
            dust_limit_satoshis: params.dust_limit,
            max_htlc_value_in_flight_msat: params.max_htlc_value_in_flight_msat,
            channel_reserve_satoshis: params.channel_reserve,
            htlc_minimum_msat: params.htlc_minimum_msat,
            minimum_depth: self.minimum_depth,
            to_self_delay: params.to_self_delay,
            max_accepted_htlcs: params.max_accepted_htlcs,
            funding_pubkey: keys.funding_pubkey.into(),
            revocation_basepoint: keys.revocation.into(),
            payment_basepoint: keys.payment.into(),
            delayed_payment_basepoint: keys.delayed_payment.into(),
            htlc_basepoint: keys.htlc.into(),
            first_per_commitment_point: first.into(),
            upfront_shutdown_script: self.upfront_field(),
            channel_type: Some(Rest(&channel_type)),
        };
        self.send(cx, &Message::AcceptChannel(accept));
    }

    /// BOLT 2: the opener must afford its commitment, and somebody must have more than the reserve.
    fn check_affordable(&self, demanded: &Params) -> Result<(), ChannelError> {
        let opener_msat = self.funding.to_msat() - self.push_msat;
        let remainder = opener_remainder(self.channel_type.format, self.feerate_per_kw, 0, opener_msat);
        let (field, maximum) = ("push_msat", self.funding.to_msat());
        let remainder = remainder.ok_or(ChannelError::TooMuch { field, actual: self.push_msat, maximum })?;
        let reserve = demanded.channel_reserve.to_msat();
        if remainder <= reserve && self.push_msat <= reserve {
            return Err(ChannelError::TooMuch {
                field: "channel_reserve_satoshis",
                actual: reserve,
                maximum: remainder,
            });
        }
        Ok(())
    }

    /// Ends the opening: the connection went, a message was wrong, the wallet could not. The signer forgets its keys, so
    /// that a peer that opens and goes, over and over, leaves nothing behind.
    pub fn abandon(self, cx: &mut Cx<'_>) {
        cx.signer.forget(self.keys);
    }

    /// The id of its messages until the funding is known.
    pub fn temporary_id(&self) -> ChannelId {
        self.temporary_id
    }

    /// Its name in the store, should it become a channel.
    pub fn key(&self) -> ChannelKey {
        self.key
    }

    /// With whom.
    pub fn peer(&self) -> NodeId {
        self.peer
    }

    /// The connection that it lives with.
    pub fn conn(&self) -> ConnId {
        self.conn
    }

    /// Who began it.
    pub fn opener(&self) -> Side {
        self.opener
    }

    /// The id of the channel to be, once `funding_created` is sent: `funding_signed` names it.
    pub fn channel_id(&self) -> Option<ChannelId> {
        match &self.state {
            State::Created { first } => Some(first.row.id),
            _ => None,
        }
    }

    fn send(&self, cx: &mut Cx<'_>, message: &Message<'_>) {
        cx.out.emit(Command::Send { conn: self.conn, message });
    }

    /// Takes in the next message of the opening. After an error the opening is over: the caller abandons it and tells
    /// the peer by an `error`.
    pub fn receive(&mut self, cx: &mut Cx<'_>, message: &Message<'_>) -> Result<Progress, ChannelError> {
        match (message, &self.state) {
            (Message::AcceptChannel(accept), State::Offered) => {
                self.receive_accept(cx, accept).map(|()| Progress::Waiting)
            }
            (Message::FundingCreated(created), State::Accepted) => self.receive_created(cx, created),
            (Message::FundingSigned(signed), State::Created { .. }) => self.receive_signed(cx, signed),
            _ => Err(ChannelError::Unexpected { message: message.name(), state: "opening" }),
        }
    }

    fn receive_accept(&mut self, cx: &mut Cx<'_>, accept: &wire::AcceptChannel<'_>) -> Result<(), ChannelError> {
        if accept.channel_type != Some(Rest(&self.channel_type.to_bytes())) {
            return Err(ChannelError::ChannelType);
        }
        let remote = params_of!(accept);
        check_params(cx.config, &remote, &self.params.local, self.funding)?;
        let depth_max = cx.config.minimum_depth_max;
        demand(accept.minimum_depth <= depth_max, "minimum_depth", accept.minimum_depth.into(), depth_max.into())?;
        let (basepoints, first_point) = parse_keys!(accept);
        self.params.remote = remote;
        self.check_affordable(&remote)?;
        // Without zero-confirmation channels, one confirmation is the least that we go by.
        self.minimum_depth = accept.minimum_depth.max(1);
        self.upfront_shutdown.remote =
            upfront(accept.upfront_shutdown_script.map(|Rest(script)| script), &self.features)?;
        self.remote_basepoints = Some(basepoints);
        self.remote_first_point = Some(first_point);
        self.state = State::Funding;
        let script = crate::tx::script::funding(&self.local_basepoints.funding_pubkey, &basepoints.funding_pubkey);
        cx.effects.push(Effect::FundingNeeded {
            channel: self.key,
            script: script.to_p2wsh().to_script_buf(),
            amount: self.funding,
        });
        Ok(())
    }

    /// The wallet has built a transaction that funds the channel with this output. It must not be broadcast before
    /// `Effect::FundingSafe`: the peer has not signed our way out of it.
    pub fn funding_built(&mut self, cx: &mut Cx<'_>, outpoint: OutPoint) {
        assert!(matches!(self.state, State::Funding), "asked for by FundingNeeded, answered once");
        let first = self.first(cx, outpoint);
        let signature = self.sign_first(cx, &first.remote);
        let created = wire::FundingCreated {
            temporary_channel_id: self.temporary_id,
            funding_txid: outpoint.txid,
            funding_output_index: outpoint.vout as u16,
            signature,
        };
        self.send(cx, &Message::FundingCreated(created));
        self.state = State::Created { first: Box::new(first) };
    }

    /// Signs the peer's first commitment. From now on the signer guards the channel.
    fn sign_first(&self, cx: &mut Cx<'_>, remote: &CommitmentTx) -> crate::ids::Sig {
        cx.signer.track(self.keys, SignerState::default());
        cx.signer
            .sign_remote_commitment(self.keys, remote, &mut Vec::new())
            .expect("the signer allows the first commitment of a channel")
    }

    /// Everything about the channel at its first commitments.
    fn first(&self, cx: &mut Cx<'_>, outpoint: OutPoint) -> First {
        let remote_basepoints = self.remote_basepoints.expect("it came with the peer's parameters");
        let basepoints = PerSide { local: self.local_basepoints, remote: remote_basepoints };
        let funding = Funding {
            outpoint,
            amount: self.funding,
            format: self.channel_type.format,
            status: FundingStatus::Unconfirmed,
        };
        let maximum = self.params.remote.max_htlc_value_in_flight_msat.min(self.funding.to_msat());
        let mut policy = cx.config.policy;
        policy.htlc_maximum_msat = policy.htlc_maximum_msat.min(maximum);
        policy.htlc_minimum_msat = policy.htlc_minimum_msat.max(self.params.remote.htlc_minimum_msat);
        let row = ChannelRow {
            id: ChannelId::from_funding(outpoint),
            peer: self.peer,
            keys: self.keys,
            opener: self.opener,
            announce: self.announce,
            scid_alias: self.channel_type.scid_alias,
            params: self.params,
            basepoints,
            fundings: vec![funding],
            minimum_depth: self.minimum_depth,
            since: cx.chain.height(),
            phase: Phase::AwaitingFunding,
            ready: PerSide::default(),
            alias: PerSide { local: Some(ready::random_alias(cx.rng)), remote: None },
            announcement: PerSide::default(),
            policy,
            peer_policy: None,
            upfront_shutdown: self.upfront_shutdown.clone(),
            close_script: self.close_script.clone(),
            shutdown: PerSide::default(),
            behind: false,
        };
        let opener_msat = self.funding.to_msat() - self.push_msat;
        let base = match self.opener {
            Side::Local => PerSide { local: opener_msat, remote: self.push_msat },
            Side::Remote => PerSide { local: self.push_msat, remote: opener_msat },
        };
        let ledger = Ledger::new(base, self.feerate_per_kw, self.opener);
        let ring = KeyRing::new(&row);
        let remote_point = self.remote_first_point.expect("it came with the peer's parameters");
        let mut build = |whose, of| ring.build(cx.signer, &row, (0, of), &ledger.spec(whose, Age::Latest), None);
        let local = build(Side::Local, CommitmentOf::Local(0));
        let remote = build(Side::Remote, CommitmentOf::Remote(remote_point));
        First { row, ledger, local, remote }
    }

    fn receive_created(&mut self, cx: &mut Cx<'_>, created: &wire::FundingCreated) -> Result<Progress, ChannelError> {
        let outpoint = OutPoint { txid: created.funding_txid, vout: u32::from(created.funding_output_index) };
        let first = self.first(cx, outpoint);
        first.local.check_signatures(&created.signature, &[])?;
        let signature = self.sign_first(cx, &first.remote);
        let channel_id = first.row.id;
        let channel = self.finish(cx, first, created.signature);
        let message = wire::FundingSigned { channel_id, signature };
        self.send(cx, &Message::FundingSigned(message));
        Ok(Progress::Done(channel))
    }

    fn receive_signed(&mut self, cx: &mut Cx<'_>, signed: &wire::FundingSigned) -> Result<Progress, ChannelError> {
        let State::Created { first } = &self.state else {
            return Err(ChannelError::Unexpected { message: "funding_signed", state: "opening" });
        };
        first.local.check_signatures(&signed.signature, &[])?;
        let State::Created { first } = std::mem::replace(&mut self.state, State::Offered) else {
            unreachable!("it was matched above")
        };
        let outpoint = first.row.fundings[0].outpoint;
        let channel = self.finish(cx, *first, signed.signature);
        cx.effects.push(Effect::FundingSafe { channel: self.key, outpoint });
        Ok(Progress::Done(channel))
    }

    /// Both first commitments are signed: writes the channel down and watches for its funding.
    fn finish(&self, cx: &mut Cx<'_>, first: First, signature: crate::ids::Sig) -> Box<Channel> {
        let First { row, ledger, local, .. } = first;
        let current = self.remote_first_point.expect("it came with the peer's parameters");
        cx.signer.local_signed(self.keys, 0).expect("it is the first");
        let points = RemotePoints { current, next: None };
        let signature =
            SignatureRow { number: 0, signature, htlc_signatures: Vec::new(), signed: Some(signed_of(&local)) };
        let totals = Totals::new(ledger.base().local);
        let (onions, secrets) = (BTreeMap::new(), SecretStore::new());
        let mut channel = Channel::from_parts(self.key, row, (ledger, totals), points, signature, onions, secrets);
        channel.link = Link::Live { conn: self.conn };
        channel.watch(cx.out);
        channel.put_row(cx);
        channel.put_commitment(cx);
        channel.put_signature(cx);
        Box::new(channel)
    }
}
