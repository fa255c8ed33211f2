//! What control clients ask. Each request is answered in the turn it comes in, or a waiter stands for it until then.
mod channels;
mod hold;
mod invoice;
mod wait;

use secp256k1::Message as Digest;

use super::history::{InvoiceThen, no_invoice};
use super::{Io, Node, NodeTimer};
use crate::amount::Sat;
use crate::chain::{Backend, FEERATE_FLOOR_PER_KW};
use crate::channel::Phase;
use crate::command::Command;
use crate::ids::{NodeId, RequestId};
use crate::mutation::{Mutation, is_active};
use crate::request::node::{
    FeerateEstimate, FeerateStyle, FeeratesByPurpose, FeeratesInfo, MessageSignature, NodeInfo, OurFeatures,
    WaitBlockHeight,
};
use crate::request::peer::{Connect, Disconnect, PeerInfo, PeerLink, Ping};
use crate::request::{FeerateChoice, Request, RequestError, Response};
use crate::wire::{self, features::Context};

impl Node {
    pub(super) fn on_request(&mut self, io: &mut Io<'_>, id: RequestId, request: Request) {
        let answer = match request {
            Request::DevGenerate(_) | Request::DevFaucet(_) => Err(crate::request::dev::refusal()),
            Request::Getinfo => Ok(Response::NodeInfo(Box::new(self.node_info()))),
            Request::Stop => {
                if is_active(Mutation::ErrorOnStop) {
                    self.tell_error(io);
                }
                io.out.emit(Command::Stop);
                Ok(Response::Stopping)
            }
            Request::Feerates(style) => Ok(Response::Feerates(Box::new(self.feerates_info(style)))),
            Request::WaitBlockHeight(wait) => return self.on_wait_block(io, id, &wait),
            Request::Wait(wait) => return self.on_wait(io, id, wait),
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
            Request::Withdraw(withdraw) => return self.on_withdraw(io, id, &withdraw),
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
            Request::SendPsbt(send) => return self.on_send_psbt(io, id, &send),
            Request::Invoice(create) => self.on_create_invoice(io, *create),
            Request::ListInvoices(filter) => return self.on_list_invoices(io, id, filter),
            Request::WaitInvoice { label } => return self.on_wait_invoice(io, id, &label),
            Request::WaitAnyInvoice(wait) => return self.on_wait_any_invoice(io, id, &wait),
            Request::DelInvoice(delete) => match self.invoices.index_of_label(&delete.label) {
                // What is open is decided from memory: a payment could overtake the rows.
                Some(index) => match self.invoices.stored(index) {
                    Some(stored) => {
                        return self.on_invoice_read(io, id, index, stored, InvoiceThen::Delete(delete));
                    }
                    None => return self.ask_invoice(io, id, index, InvoiceThen::Delete(delete)),
                },
                None => Err(no_invoice()),
            },
            Request::SettleHoldInvoice { preimage } => return self.on_settle_hold_invoice(io, id, preimage),
            Request::CancelHoldInvoice { payment_hash } => return self.on_cancel_hold_invoice(io, id, payment_hash),
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
        let known = self.chain.feerates.or(self.chain.fallback);
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
}

fn sign_message(io: &mut Io<'_>, message: &str) -> Response {
    let digest = Digest::from_digest(crate::invoice::message::digest(message.as_bytes()));
    let (signature, recovery_id) = io.signer.sign_recoverable(&digest);
    Response::MessageSignature(MessageSignature { signature, recovery_id })
}
