//! What control clients ask. Each request is answered in the turn it comes in, or a waiter stands for it until then.

use secp256k1::Message as Digest;

use super::history::{InvoiceThen, no_invoice};
use super::{Io, Node, NodeTimer};
use crate::amount::{Msat, Sat};
use crate::chain::{Backend, FEERATE_FLOOR_PER_KW};
use crate::channel::ledger::Stage;
use crate::channel::{Channel, CloseReason, CloseTerms, HtlcState as ChannelHtlcState, Link, Phase, Policy};
use crate::command::Command;
use crate::ids::{ChannelKey, NodeId, PaymentHash, PaymentSecret, Preimage, RequestId};
use crate::invoice::{Description, Fallback, Invoice, RouteHintHop};
use crate::invoices::{self, InvoiceEndRow, InvoiceRow};
use crate::onion::Failure;
use crate::request::channel::{
    ChannelName, ChannelPolicy, ChannelState, Close, HtlcInfo, HtlcProgress, HtlcStage, ListPeerChannels, PeerChannel,
    SetChannel, Traffic,
};
use crate::request::graph::{GraphChannel, GraphNode, ListChannels};
use crate::request::invoice::{
    CreateInvoice, DelInvoice, ExposePrivate, InvoiceCreated, InvoiceStatus, InvoiceWarning, WaitAnyInvoice,
};
use crate::request::node::{
    FeerateEstimate, FeerateStyle, FeeratesByPurpose, FeeratesInfo, MessageSignature, NodeInfo, OurFeatures,
    WaitBlockHeight,
};
use crate::request::peer::{Connect, Disconnect, PeerInfo, PeerLink, Ping};
use crate::request::wallet::{Funds, FundsChannel};
use crate::request::{ErrorData, FeerateChoice, ForwardPolicy, Request, RequestError, Response};
use crate::side::{PerSide, Side};
use crate::wire::{self, features::Context};

impl Node {
    pub(super) fn on_request(&mut self, io: &mut Io<'_>, id: RequestId, request: Request) {
        let answer = match request {
            Request::DevGenerate(_) | Request::DevFaucet(_) => Err(crate::request::dev::refusal()),
            Request::Getinfo => Ok(Response::NodeInfo(Box::new(self.node_info()))),
            Request::Stop => {
                io.out.emit(Command::Stop);
                Ok(Response::Stopping)
            }
            Request::Feerates(style) => Ok(Response::Feerates(Box::new(self.feerates_info(style)))),
            Request::WaitBlockHeight(wait) => return self.on_wait_block(io, id, &wait),
            Request::SignMessage { message } => Ok(sign_message(io, &message)),
            Request::Connect(connect) => return self.on_connect(io, id, connect),
            Request::Disconnect(disconnect) => self.on_disconnect(io, &disconnect),
            Request::ListPeers { id } => Ok(Response::Peers(self.peer_infos(id))),
            Request::Ping(ping) => return self.on_ping(io, id, &ping),
            Request::ListPeerChannels(filter) => Ok(Response::PeerChannels(self.peer_channels(&filter))),
            Request::ListClosedChannels { id: peer } => return self.on_list_closed(io, id, peer),
            Request::FundChannel(fund) => return self.on_fund_channel(io, id, *fund),
            Request::Close(close) => return self.on_close(io, id, *close),
            Request::SetChannel(set) => self.on_set_channel(io, &set),
            Request::NewAddr(kind) => Ok(Response::Addresses(self.wallet.new_addresses(kind, io.out))),
            Request::ListFunds { spent } => Ok(Response::Funds(self.funds(spent))),
            Request::Withdraw(withdraw) => {
                let feerate = self.feerate(withdraw.feerate);
                let reserve = self.emergency_reserve();
                let done = self.wallet.withdraw(&withdraw, feerate, reserve, io.signer, &mut self.rng, io.out);
                done.map(|withdrawn| Response::Withdrawn(Box::new(withdrawn))).map_err(RequestError::from)
            }
            Request::ListTransactions => return self.on_list_transactions(io, id),
            Request::ReserveInputs(reserve) => {
                self.wallet.reserve_inputs(&reserve, io.out).map(Response::Reservations).map_err(RequestError::from)
            }
            Request::UnreserveInputs(release) => {
                self.wallet.unreserve_inputs(&release, io.out).map(Response::Reservations).map_err(RequestError::from)
            }
            Request::FundPsbt(fund) => {
                let feerate = self.feerate(Some(fund.feerate));
                let reserve = self.emergency_reserve();
                let funded = self.wallet.fund_psbt(&fund, feerate, reserve, &mut self.rng, io.out);
                funded.map(|funded| Response::PsbtFunded(Box::new(funded))).map_err(RequestError::from)
            }
            Request::SignPsbt(sign) => {
                self.wallet.sign_psbt(&sign, io.signer).map(Response::PsbtSigned).map_err(RequestError::from)
            }
            Request::SendPsbt(send) => {
                let sent = self.wallet.send_psbt(&send, io.out);
                sent.map(|sent| Response::PsbtSent(Box::new(sent))).map_err(RequestError::from)
            }
            Request::Invoice(create) => self.on_create_invoice(io, *create),
            Request::ListInvoices(filter) => return self.on_list_invoices(io, id, filter),
            Request::WaitInvoice { label } => return self.on_wait_invoice(io, id, &label),
            Request::WaitAnyInvoice(wait) => return self.on_wait_any_invoice(io, id, &wait),
            Request::DelInvoice(delete) => match self.invoices.index_of_label(&delete.label) {
                // What is open is decided from memory: a payment could overtake the rows.
                Some(index) => match self.invoices.open_at(index).cloned() {
                    Some(row) => {
                        return self.on_invoice_read(io, id, index, row, None, InvoiceThen::Delete(delete));
                    }
                    None => return self.ask_invoice(io, id, index, InvoiceThen::Delete(delete)),
                },
                None => Err(no_invoice()),
            },
            Request::Pay(_) | Request::XPay(_) | Request::SendPay(_) | Request::SendOnion(_) => {
                return self.on_pay(io, id, request);
            }
            Request::ListPays(filter) => return self.on_list_pays(io, id, filter, false),
            Request::ListSendPays(filter) => return self.on_list_pays(io, id, filter, true),
            Request::WaitSendPay(wait) => return self.on_wait_sendpay(io, id, wait),
            Request::CreateOnion(create) => return self.on_create_onion(io, id, create),
            Request::ListForwards(filter) => return self.on_list_forwards(io, id, filter),
            Request::ListNodes { id } => Ok(Response::Nodes(self.graph_nodes(id))),
            Request::ListChannels(filter) => Ok(Response::Channels(self.graph_channels(&filter))),
        };
        io.reply(id, answer);
    }

    // --- The node ---------------------------------------------------------------------------------------------------

    fn node_info(&self) -> NodeInfo {
        let count = |wanted: fn(&Phase) -> bool| {
            self.channels.values().filter(|channel| wanted(channel.phase())).count() as u32
        };
        let pending = count(|phase| *phase == Phase::AwaitingFunding);
        let active = count(|phase| *phase == Phase::Open);
        NodeInfo {
            id: self.id,
            alias: self.config.alias.clone(),
            color: self.config.color,
            num_peers: self.peers.iter().filter(|(_, peer)| peer.session.is_some() || peer.wanted).count() as u32,
            num_pending_channels: pending,
            num_active_channels: active,
            num_inactive_channels: self.channels.len() as u32 - pending - active,
            blockheight: self.chain.height(),
            fees_collected_msat: self.fees_collected,
            addresses: self.config.announce.clone(),
            features: OurFeatures {
                init: self.features.to_wire(),
                node: self.features.only(Context::Node).to_wire(),
                channel: Vec::new(),
                invoice: self.features.only(Context::Invoice).to_wire(),
            },
            warning_backend_sync: match &self.chain.backend {
                Backend::Up => None,
                Backend::Unknown => Some("bitcoind has not answered yet".to_owned()),
                Backend::Down { reason } => Some(format!("bitcoind: {reason}")),
            },
            warning_node_sync: (!self.chain.synced).then(|| "still loading latest blocks from bitcoind".to_owned()),
        }
    }

    /// The feerate that a client means; to confirm within 12 blocks if it says nothing.
    pub(super) fn feerate(&self, choice: Option<FeerateChoice>) -> u32 {
        let known = self.chain.feerates();
        let feerate = match choice.unwrap_or(FeerateChoice::Normal) {
            FeerateChoice::PerKw(feerate) => feerate,
            FeerateChoice::Urgent | FeerateChoice::UnilateralClose | FeerateChoice::Penalty => known.blocks_6,
            FeerateChoice::Normal | FeerateChoice::Opening => known.blocks_12,
            FeerateChoice::Slow | FeerateChoice::MutualClose => known.blocks_100,
            FeerateChoice::Minimum => known.mempool_minimum,
            FeerateChoice::Blocks(blocks) => match blocks {
                0..=2 => known.blocks_2,
                3..=6 => known.blocks_6,
                7..=12 => known.blocks_12,
                _ => known.blocks_100,
            },
        };
        feerate.max(FEERATE_FLOOR_PER_KW)
    }

    fn feerates_info(&self, style: FeerateStyle) -> FeeratesInfo {
        let known = self.chain.feerates;
        let cost = |feerate: u32, weight: u64| Sat(u64::from(feerate) * weight / 1000);
        let by_purpose = known.map(|known| FeeratesByPurpose {
            opening: known.blocks_12,
            mutual_close: known.blocks_100,
            unilateral_close: known.blocks_6,
            unilateral_anchor_close: known.blocks_12,
            penalty: known.blocks_6,
            opening_channel_sat: cost(known.blocks_12, 702),
            mutual_close_sat: cost(known.blocks_100, 673),
            unilateral_close_sat: cost(known.blocks_6, 1124),
            htlc_timeout_sat: cost(known.blocks_6, 666),
            htlc_success_sat: cost(known.blocks_6, 706),
        });
        let estimates = known.into_iter().flat_map(|known| {
            [(2, known.blocks_2), (6, known.blocks_6), (12, known.blocks_12), (100, known.blocks_100)]
        });
        FeeratesInfo {
            style,
            min_acceptable: FEERATE_FLOOR_PER_KW,
            max_acceptable: known.map_or(u32::MAX, |known| known.blocks_2.saturating_mul(10)),
            floor: self.chain.feerates().mempool_minimum,
            by_purpose,
            estimates: estimates
                .map(|(blocks, feerate_per_kw)| FeerateEstimate {
                    blocks,
                    feerate_per_kw,
                    smoothed_feerate_per_kw: feerate_per_kw,
                })
                .collect(),
        }
    }

    fn on_wait_block(&mut self, io: &mut Io<'_>, request: RequestId, wait: &WaitBlockHeight) {
        if self.chain.height() >= wait.height {
            return io.reply(request, Ok(Response::BlockHeight(self.chain.height())));
        }
        self.block_waiters.insert(request, wait.height);
        let until = io.clock.mono.plus_ms(wait.timeout_s.saturating_mul(1000));
        self.timers.set(NodeTimer::WaitBlock { request }, until);
    }

    // --- Peers ------------------------------------------------------------------------------------------------------

    fn on_connect(&mut self, io: &mut Io<'_>, request: RequestId, connect: Connect) {
        let Connect { peer, address } = connect;
        if peer == self.id {
            return io.reply(request, Err(RequestError::generic("this is our own id")));
        }
        if peer.parse().is_err() {
            return io.reply(request, Err(RequestError::invalid_params("id is no point of the curve")));
        }
        if let Some(connected) = self.connected_peer(peer) {
            return io.reply(request, Ok(Response::Connected(connected)));
        }
        if let Some(address) = address {
            self.peers.learn_address(peer, address);
        }
        let known = self.peers.get(peer).is_some_and(|peer| !peer.addresses.is_empty() || peer.session.is_some());
        if !known {
            let text = "Unable to connect, no address known for peer: give a host";
            return io.reply(request, Err(RequestError::new(RequestError::CONNECT_NO_KNOWN_ADDRESS, text)));
        }
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.waiters.push(request);
        }
        self.dial(io, peer);
    }

    fn on_disconnect(&mut self, io: &mut Io<'_>, disconnect: &Disconnect) -> Result<Response, RequestError> {
        let peer = disconnect.peer;
        let conn = self.peers.get(peer).and_then(|known| known.session.as_ref()).map(|session| session.conn);
        let Some(conn) = conn else { return Err(RequestError::generic("Peer not connected")) };
        let busy = self.index.of_peer(peer).any(|key| {
            self.channels
                .get(&key)
                .is_some_and(|channel| !matches!(channel.phase(), Phase::OnChain { .. } | Phase::Closed))
        });
        if busy && !disconnect.force {
            return Err(RequestError::generic(
                "Peer has (at least one) channel: use force=true to disconnect all the same",
            ));
        }
        self.cut(io, peer, conn, "asked for by the operator");
        Ok(Response::Done)
    }

    fn peer_infos(&self, wanted: Option<NodeId>) -> Vec<PeerInfo> {
        let peers = self.peers.iter().filter(|(id, _)| wanted.is_none_or(|wanted| wanted == *id));
        peers
            .map(|(id, peer)| PeerInfo {
                id,
                num_channels: self.index.of_peer(id).count() as u32,
                link: peer.session.as_ref().and_then(|session| {
                    let init = session.init.as_ref()?;
                    Some(PeerLink { address: session.address.clone(), remote_addr: init.remote_addr.clone() })
                }),
                features: peer.last_features.as_ref().map(|features| features.to_wire()),
            })
            .collect()
    }

    fn on_ping(&mut self, io: &mut Io<'_>, request: RequestId, ping: &Ping) {
        let Some((conn, _)) = self.peers.ready(ping.peer) else {
            return io.reply(request, Err(RequestError::peer_not_connected()));
        };
        let zeros = vec![0; usize::from(ping.len).min(crate::limits::MESSAGE_SIZE_MAX - 6)];
        io.send(conn, wire::Ping { num_pong_bytes: ping.pong_bytes, ignored: &zeros });
        if ping.pong_bytes >= 65_532 {
            return io.reply(request, Ok(Response::Pong { total_len: 0 }));
        }
        self.ping_waiters.entry(ping.peer).or_default().push_back(request);
    }

    // --- Channels ---------------------------------------------------------------------------------------------------

    fn named(&self, name: &ChannelName) -> Result<ChannelKey, RequestError> {
        match name {
            ChannelName::Id(id) => self.index.by_id.get(id).copied(),
            ChannelName::Scid(scid) => self.index.by_scid.get(scid).copied(),
            ChannelName::Peer(peer) => {
                let mut of_peer = self.index.of_peer(*peer).filter(|key| {
                    self.channels.get(key).is_some_and(|channel| !matches!(channel.phase(), Phase::OnChain { .. }))
                });
                let first = of_peer.next();
                if of_peer.next().is_some() {
                    let text = "Peer has multiple channels: use channel_id or short_channel_id";
                    return Err(RequestError::invalid_params(text));
                }
                first
            }
        }
        .ok_or_else(|| RequestError::invalid_params("Unknown channel: see listpeerchannels"))
    }

    fn state_of(channel: &Channel) -> ChannelState {
        match channel.phase() {
            Phase::AwaitingFunding => ChannelState::AwaitingLockin,
            Phase::Open => ChannelState::Normal,
            Phase::ShuttingDown => ChannelState::ShuttingDown,
            Phase::Negotiating => ChannelState::SigExchange,
            Phase::OnChain { spent: Some(_), .. } => ChannelState::Onchain,
            Phase::OnChain { reason: Some(_), .. } => ChannelState::AwaitingUnilateral,
            Phase::OnChain { .. } => ChannelState::ClosingComplete,
            Phase::Closed => ChannelState::Closed,
        }
    }

    fn peer_channels(&self, filter: &ListPeerChannels) -> Vec<PeerChannel> {
        let wanted = filter.channel.as_ref().map(|name| self.named(name).ok());
        let channels = self.channels.iter().filter(|(key, channel)| {
            filter.peer.is_none_or(|peer| peer == channel.peer()) && wanted.is_none_or(|wanted| wanted == Some(**key))
        });
        channels.map(|(key, channel)| self.peer_channel(*key, channel)).collect()
    }

    fn peer_channel(&self, key: ChannelKey, channel: &Channel) -> PeerChannel {
        let row = channel.row();
        let to_us = channel.ledger().base().local;
        let opener_put = channel.capacity();
        let funded_sat = match row.opener {
            Side::Local => PerSide { local: opener_put, remote: Sat::ZERO },
            Side::Remote => PerSide { local: Sat::ZERO, remote: opener_put },
        };
        let closer = match (&row.shutdown.local, &row.shutdown.remote) {
            (Some(_), None) => Some(Side::Local),
            (None, Some(_)) => Some(Side::Remote),
            (Some(_), Some(_)) => Some(Side::Local),
            (None, None) => None,
        };
        PeerChannel {
            peer_id: channel.peer(),
            peer_connected: self.peers.ready(channel.peer()).is_some(),
            reestablished: matches!(channel.link(), Link::Live { .. }),
            state: Node::state_of(channel),
            channel_id: channel.id(),
            short_channel_id: channel.scid(),
            direction: channel.direction(self.id),
            alias: row.alias,
            channel_type: self.channel_type_bits(key),
            private: !row.announce,
            opener: row.opener,
            closer,
            funding: Some(channel.funding().outpoint),
            funded_sat,
            pushed_msat: Msat::ZERO,
            close_to: row.upfront_shutdown.local.as_ref().map(|script| script.clone().into()),
            to_us_msat: to_us,
            min_to_us_msat: to_us,
            max_to_us_msat: to_us,
            total_msat: channel.capacity().to_msat(),
            spendable_msat: channel.spendable_msat(&self.channel_config),
            receivable_msat: channel.receivable_msat(&self.channel_config),
            feerate_per_kw: channel.ledger().newest_feerate(),
            last_commitment_txid: None,
            last_commitment_fee_msat: Msat::ZERO,
            reserve_sat: PerSide { local: row.params.remote.channel_reserve, remote: row.params.local.channel_reserve },
            dust_limit_sat: PerSide { local: row.params.local.dust_limit, remote: row.params.remote.dust_limit },
            to_self_delay: PerSide { local: row.params.remote.to_self_delay, remote: row.params.local.to_self_delay },
            max_accepted_htlcs: PerSide {
                local: row.params.local.max_accepted_htlcs,
                remote: row.params.remote.max_accepted_htlcs,
            },
            max_htlc_in_flight_msat: PerSide {
                local: row.params.local.max_htlc_value_in_flight_msat,
                remote: row.params.remote.max_htlc_value_in_flight_msat,
            },
            htlc_minimum_msat: PerSide {
                local: row.params.local.htlc_minimum_msat,
                remote: row.params.remote.htlc_minimum_msat,
            },
            policy_local: policy_info(&row.policy),
            policy_remote: row.peer_policy.map(|peer| policy_info(&peer.policy)),
            htlcs: channel.ledger().htlcs().map(|(key, htlc)| htlc_info(key.offered_by, key.id, htlc)).collect(),
            incoming: Traffic::default(),
            outgoing: Traffic::default(),
            status: vec![format!("{}: {}", channel_link(channel), channel.phase().name())],
            lost_state: row.behind,
            last_stable_connection: None,
        }
    }

    fn on_close(&mut self, io: &mut Io<'_>, request: RequestId, close: Close) {
        let key = match self.named(&close.channel) {
            Ok(key) => key,
            Err(error) => return io.reply(request, Err(error)),
        };
        let range = close.fee_range.map(|(low, high)| (self.feerate(Some(low)), self.feerate(Some(high))));
        let terms = CloseTerms { feerate_range_per_kw: range };
        let script = close.destination;
        let begun = self.with_channel(io, key, |channel, cx| channel.shutdown(cx, script.as_deref(), terms));
        match begun {
            Some(Ok(())) => {}
            Some(Err(refusal)) => {
                if let Some(Phase::OnChain { .. }) = self.channels.get(&key).map(|channel| channel.phase()) {
                    let text = "Channel is on chain already";
                    return io.reply(request, Err(RequestError::generic(text)));
                }
                return io.reply(request, Err(RequestError::generic(refusal.to_string())));
            }
            None => return io.reply(request, Err(RequestError::generic("the channel is gone"))),
        }
        self.close_waiters.entry(key).or_default().push(request);
        let connected = self.channels.get(&key).is_some_and(|channel| matches!(channel.link(), Link::Live { .. }));
        // As Core Lightning: two days for a peer that is here, at once for one that is not, unless the caller says.
        let patience_s = close.unilateral_timeout_s.unwrap_or(if connected { 48 * 3600 } else { 1 });
        let until = io.clock.mono.plus_ms(patience_s.saturating_mul(1000));
        self.timers.set(NodeTimer::Patience { request }, until);
    }

    /// The peer did not agree in time: close alone.
    pub(super) fn on_patience_over(&mut self, io: &mut Io<'_>, request: RequestId) {
        let waiting = self.close_waiters.iter().find(|(_, requests)| requests.contains(&request));
        let Some(key) = waiting.map(|(key, _)| *key) else { return };
        self.with_channel(io, key, |channel, cx| channel.force_close(cx, CloseReason::Operator));
    }

    fn on_set_channel(&mut self, io: &mut Io<'_>, set: &SetChannel) -> Result<Response, RequestError> {
        let keys = match &set.channel {
            Some(name) => vec![self.named(name)?],
            None => self.channels.keys().copied().collect(),
        };
        if set.channel.is_none() {
            // New channels follow.
            let policy = &mut self.channel_config.policy;
            policy.fee_base_msat = set.fee_base_msat.map_or(policy.fee_base_msat, small);
            policy.fee_proportional_millionths =
                set.fee_proportional_millionths.unwrap_or(policy.fee_proportional_millionths);
            policy.htlc_minimum_msat = set.htlc_minimum_msat.unwrap_or(policy.htlc_minimum_msat);
            policy.htlc_maximum_msat = set.htlc_maximum_msat.unwrap_or(policy.htlc_maximum_msat);
        }
        let mut changed = Vec::new();
        for key in keys {
            let Some(channel) = self.channels.get(&key) else { continue };
            let mut policy = channel.row().policy;
            policy.fee_base_msat = set.fee_base_msat.map_or(policy.fee_base_msat, small);
            policy.fee_proportional_millionths =
                set.fee_proportional_millionths.unwrap_or(policy.fee_proportional_millionths);
            let least = channel.row().params.remote.htlc_minimum_msat;
            let most = channel.capacity().to_msat();
            let minimum = set.htlc_minimum_msat.unwrap_or(policy.htlc_minimum_msat);
            let maximum = set.htlc_maximum_msat.unwrap_or(policy.htlc_maximum_msat);
            policy.htlc_minimum_msat = minimum.max(least);
            policy.htlc_maximum_msat = maximum.min(most);
            changed.push(ChannelPolicy {
                peer_id: channel.peer(),
                channel_id: channel.id(),
                short_channel_id: channel.scid(),
                policy: policy_info(&policy),
                ignore_fee_limits: false,
                warning_htlc_minimum_too_low: set.htlc_minimum_msat.is_some_and(|asked| asked < least),
                warning_htlc_maximum_too_high: set.htlc_maximum_msat.is_some_and(|asked| asked > most),
            });
            self.set_policy(io, key, policy, set.enforce_delay_s);
        }
        Ok(Response::ChannelPolicies(changed))
    }

    fn funds(&self, spent: bool) -> Funds {
        let channels = self.channels.values().map(|channel| FundsChannel {
            peer_id: channel.peer(),
            connected: self.peers.ready(channel.peer()).is_some(),
            state: Node::state_of(channel),
            channel_id: channel.id(),
            short_channel_id: channel.scid(),
            our_amount_msat: channel.ledger().base().local,
            amount_msat: channel.capacity().to_msat(),
            funding: channel.funding().outpoint,
        });
        Funds { outputs: self.wallet.list_funds(spent), channels: channels.collect() }
    }

    // --- The map, as far as we are part of it -----------------------------------------------------------------------

    fn graph_nodes(&self, wanted: Option<NodeId>) -> Vec<GraphNode> {
        let mut ids: Vec<NodeId> = self.channels.values().map(|channel| channel.peer()).collect();
        ids.push(self.id);
        ids.sort();
        ids.dedup();
        let wanted = |id: &NodeId| wanted.is_none_or(|wanted| wanted == *id);
        ids.into_iter().filter(wanted).map(|id| GraphNode { id, announcement: None }).collect()
    }

    fn graph_channels(&self, filter: &ListChannels) -> Vec<GraphChannel> {
        let mut found = Vec::new();
        for channel in self.channels.values().filter(|channel| *channel.phase() == Phase::Open) {
            let Some(scid) = channel.scid().or(channel.row().alias.local) else { continue };
            let ours = channel.direction(self.id);
            let ends = [
                (self.id, channel.peer(), ours, Some(channel.row().policy)),
                (channel.peer(), self.id, 1 - ours, channel.peer_policy().map(|peer| peer.policy)),
            ];
            for (source, destination, direction, policy) in ends {
                let Some(policy) = policy else { continue };
                let wanted = match filter {
                    ListChannels::All => true,
                    ListChannels::Channel(wanted) => *wanted == scid,
                    ListChannels::Source(wanted) => *wanted == source,
                    ListChannels::Destination(wanted) => *wanted == destination,
                };
                if wanted {
                    found.push(GraphChannel {
                        source,
                        destination,
                        short_channel_id: scid,
                        direction,
                        public: channel.row().announce,
                        amount_msat: channel.capacity().to_msat(),
                        message_flags: 1,
                        channel_flags: direction,
                        active: channel.is_up(),
                        last_update_s: 0,
                        policy: policy_info(&policy),
                        features: Vec::new(),
                    });
                }
            }
        }
        found
    }

    // --- Invoices ---------------------------------------------------------------------------------------------------

    fn on_create_invoice(&mut self, io: &mut Io<'_>, create: CreateInvoice) -> Result<Response, RequestError> {
        let preimage = create.preimage.unwrap_or_else(|| Preimage(io.signer.draw()));
        let payment_hash = preimage.payment_hash();
        self.invoices.check_new(&create.label, payment_hash)?;
        if create.amount_msat == Some(Msat::ZERO) {
            return Err(RequestError::invalid_params("amount_msat must be above zero, or \"any\""));
        }
        let payment_secret = PaymentSecret(io.signer.draw());
        let description = match create.description_hash_only {
            false => Description::Text(create.description.clone()),
            true => {
                use bitcoin::hashes::{Hash, sha256};
                Description::Hash(sha256::Hash::hash(create.description.as_bytes()).to_byte_array())
            }
        };
        let (hints, mut warnings) = self.route_hints(&create.expose, create.amount_msat);
        let mut invoice = Invoice::new(
            self.config.network,
            io.clock.wall.unix_s(),
            payment_hash,
            payment_secret,
            description,
            self.id,
        );
        invoice.amount = create.amount_msat;
        invoice.expiry_s = create.expiry_s;
        invoice.min_final_cltv_expiry_delta = create.cltv.unwrap_or(FINAL_CLTV_DELTA);
        invoice.route_hints = hints;
        invoice.features = self.features.only(Context::Invoice);
        for script in &create.fallbacks {
            let fallback = Fallback::from_script(script).ok_or_else(|| {
                RequestError::invalid_params("fallbacks: an address of a kind that invoices cannot hold")
            })?;
            invoice.fallbacks.push(fallback);
        }
        let to_sign = invoice.prepare().map_err(|error| RequestError::invalid_params(error.to_string()))?;
        let (compact, recovery_id) = io.signer.sign_recoverable(&Digest::from_digest(to_sign.digest()));
        let bolt11 = to_sign.finish(&compact, recovery_id);
        let expires_at_s = invoice.expires_at_s();
        self.invoices.see(io.clock);
        let row = InvoiceRow {
            label: create.label,
            description: Some(create.description),
            payment_hash,
            payment_secret,
            preimage: preimage.0,
            amount: create.amount_msat,
            expires_at_s,
            min_final_cltv_expiry_delta: invoice.min_final_cltv_expiry_delta,
            bolt11: bolt11.clone(),
        };
        let index = self.invoices.create(io.out, row);
        warnings.dedup();
        Ok(Response::InvoiceCreated(Box::new(InvoiceCreated {
            bolt11,
            payment_hash,
            payment_secret,
            expires_at_s,
            created_index: index + 1,
            warnings,
        })))
    }

    /// Ways to us through peers that nobody can know of otherwise: without a map of the network, each channel is such.
    fn route_hints(
        &self,
        expose: &ExposePrivate,
        amount: Option<Msat>,
    ) -> (Vec<Vec<RouteHintHop>>, Vec<InvoiceWarning>) {
        let mut usable: Vec<(Msat, RouteHintHop)> = Vec::new();
        let mut offline = Msat::ZERO;
        let mut total = Msat::ZERO;
        for channel in self.channels.values().filter(|channel| *channel.phase() == Phase::Open) {
            let receivable = channel.receivable_msat(&self.channel_config);
            if !channel.is_up() {
                offline = offline.saturating_add(receivable);
                continue;
            }
            total = total.saturating_add(receivable);
            let (Some(scid), Some(peer)) = (channel.scid_in_hints(), channel.peer_policy()) else { continue };
            let wanted = match expose {
                ExposePrivate::Auto | ExposePrivate::All => true,
                ExposePrivate::None => false,
                ExposePrivate::Only(scids) => {
                    let names = [channel.scid(), channel.row().alias.local, channel.row().alias.remote];
                    names.iter().flatten().any(|name| scids.contains(name))
                }
            };
            if wanted {
                usable.push((
                    receivable,
                    RouteHintHop {
                        node_id: channel.peer(),
                        short_channel_id: scid,
                        fee_base_msat: peer.policy.fee_base_msat,
                        fee_proportional_millionths: peer.policy.fee_proportional_millionths,
                        cltv_expiry_delta: peer.policy.cltv_expiry_delta,
                    },
                ));
            }
        }
        usable.sort_by_key(|(receivable, _)| std::cmp::Reverse(*receivable));
        let mut warnings = Vec::new();
        if let Some(amount) = amount {
            let largest = usable.first().map_or(Msat::ZERO, |(receivable, _)| *receivable);
            if total < amount && total.saturating_add(offline) >= amount {
                warnings.push(InvoiceWarning::Offline);
            } else if total < amount {
                warnings.push(InvoiceWarning::Capacity);
            } else if largest < amount {
                warnings.push(InvoiceWarning::MultiPart);
            }
        }
        (usable.into_iter().take(ROUTE_HINTS_MAX).map(|(_, hop)| vec![hop]).collect(), warnings)
    }

    fn on_wait_invoice(&mut self, io: &mut Io<'_>, request: RequestId, label: &str) {
        let Some(index) = self.invoices.index_of_label(label) else { return io.reply(request, Err(no_invoice())) };
        if !self.invoices.is_open(index) {
            return self.ask_invoice(io, request, index, InvoiceThen::Show);
        }
        if let Err(error) = self.invoices.wait_one(request, index) {
            io.reply(request, Err(error));
        }
    }

    fn on_wait_any_invoice(&mut self, io: &mut Io<'_>, request: RequestId, wait: &WaitAnyInvoice) {
        if wait.last_pay_index < self.invoices.last_pay_index() {
            return self.ask_paid_invoice(io, request, wait.last_pay_index);
        }
        let until = wait.timeout_s.map(|timeout_s| io.clock.mono.plus_ms(timeout_s.saturating_mul(1000)));
        if let Err(error) = self.invoices.wait_any(request, until) {
            io.reply(request, Err(error));
        }
    }

    /// An invoice was read back from its rows.
    pub(super) fn on_invoice_read(
        &mut self,
        io: &mut Io<'_>,
        request: RequestId,
        index: u64,
        mut row: InvoiceRow,
        end: Option<InvoiceEndRow>,
        then: InvoiceThen,
    ) {
        let info = invoices::info(index, &row, end.as_ref(), io.clock.wall);
        let result = match then {
            InvoiceThen::Show if info.status == InvoiceStatus::Expired => {
                let text = "Invoice expired";
                let data = ErrorData::Invoice(Box::new(info));
                Err(RequestError::new(RequestError::INVOICE_EXPIRED_DURING_WAIT, text).with_data(data))
            }
            InvoiceThen::Show => Ok(Response::Invoice(Box::new(info))),
            InvoiceThen::Delete(DelInvoice { status, .. }) if status != info.status => {
                let text = format!("Invoice status is {:?} not {status:?}", info.status).to_lowercase();
                let data = ErrorData::InvoiceStatus { current: info.status, expected: status };
                Err(RequestError::new(RequestError::INVOICE_STATUS_UNEXPECTED, text).with_data(data))
            }
            InvoiceThen::Delete(DelInvoice { description_only: true, .. }) => {
                row.description = None;
                io.put(invoices::index_key(index), &row);
                self.invoices.replace(index, &row);
                Ok(Response::Invoice(Box::new(invoices::info(index, &row, end.as_ref(), io.clock.wall))))
            }
            InvoiceThen::Delete(_) => {
                for (waiter, result) in self.invoices.forget(io.out, index, &row, end.as_ref()) {
                    io.reply(waiter, result);
                }
                self.fail_held(io, row.payment_hash);
                Ok(Response::Invoice(Box::new(info)))
            }
        };
        io.reply(request, result);
    }

    pub(super) fn on_invoice_deadline(&mut self, io: &mut Io<'_>) {
        let (expired, replies) = self.invoices.on_deadline(io.clock);
        for payment_hash in expired {
            self.fail_held(io, payment_hash);
        }
        for (request, result) in replies {
            io.reply(request, result);
        }
    }

    /// Parts that are held for an invoice that is no more go back.
    fn fail_held(&mut self, io: &mut Io<'_>, payment_hash: PaymentHash) {
        let parts = self.incoming.take(payment_hash);
        self.fail_parts(io, &parts, |node, part| Failure::IncorrectOrUnknownPaymentDetails {
            htlc_msat: part.amount,
            height: node.chain.height(),
        });
    }
}

/// BOLT 11 `c` of our invoices: BOLT 2's 18 blocks, and some for the way.
const FINAL_CLTV_DELTA: u32 = 24;
/// Hints in one invoice: more would not fit into a code that can be scanned.
const ROUTE_HINTS_MAX: usize = 3;

fn small(amount: Msat) -> u32 {
    u32::try_from(amount.0).unwrap_or(u32::MAX)
}

fn policy_info(policy: &Policy) -> ForwardPolicy {
    ForwardPolicy {
        htlc_minimum_msat: policy.htlc_minimum_msat,
        htlc_maximum_msat: policy.htlc_maximum_msat,
        cltv_expiry_delta: policy.cltv_expiry_delta,
        fee_base_msat: Msat(u64::from(policy.fee_base_msat)),
        fee_proportional_millionths: policy.fee_proportional_millionths,
    }
}

fn channel_link(channel: &Channel) -> &'static str {
    match channel.link() {
        Link::Offline => "offline",
        Link::Reestablishing { .. } => "reestablishing",
        Link::Live { .. } => "connected",
    }
}

fn htlc_info(offered_by: Side, id: crate::ids::HtlcId, htlc: &crate::channel::Htlc) -> HtlcInfo {
    let stage = |stage: &Stage| match stage {
        Stage::Proposed => HtlcStage::Proposed,
        Stage::PeerSigned => HtlcStage::PeerSigned,
        Stage::PeerRevoked => HtlcStage::PeerRevoked,
        Stage::OwnSigned => HtlcStage::OwnSigned,
    };
    HtlcInfo {
        offered_by,
        id,
        amount_msat: htlc.amount_msat,
        expiry: crate::ids::BlockHeight(htlc.cltv_expiry),
        payment_hash: htlc.payment_hash,
        progress: match &htlc.state {
            ChannelHtlcState::Adding(at) => HtlcProgress::Adding(stage(at)),
            ChannelHtlcState::Live | ChannelHtlcState::Decided(_) => HtlcProgress::Live,
            ChannelHtlcState::Removing(at, _) => HtlcProgress::Removing(stage(at)),
        },
        local_trimmed: false,
    }
}

fn sign_message(io: &mut Io<'_>, message: &str) -> Response {
    let digest = Digest::from_digest(crate::invoice::message::digest(message.as_bytes()));
    let (signature, recovery_id) = io.signer.sign_recoverable(&digest);
    Response::MessageSignature(MessageSignature { signature, recovery_id })
}
