//! Connections and what arrives on them.

use super::{Io, Node};
use crate::address::NetAddr;
use crate::channel::{ChannelError, Consequence};
use crate::command::{Command, Level};
use crate::event::{Cut, Direction};
use crate::ids::{ChannelId, ChannelKey, ConnId, DialId, NodeId};
use crate::mutation::{Mutation, is_active};
use crate::peer::{Admission, DialNext, PeerTimer, RemoteInit};
use crate::request::peer::ConnectedPeer;
use crate::request::{RequestError, Response};
use crate::store::{Key, RowValue, Table};
use crate::wire::{self, DecodeError, Feature, Features, Message};

/// BOLT 1: a ping that asks for so much or more is not to be answered.
const PONG_BYTES_END: u16 = 65_532;
/// Text of peers is cut to this for people.
const PEER_TEXT_MAX: usize = 200;

/// Addresses of a node that we keep a connection with.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(crate) struct PeerRow {
    pub(crate) addresses: Vec<NetAddr>,
}

impl RowValue for PeerRow {
    const TABLE: Table = Table::Peer;
}

pub(crate) fn peer_key(node: NodeId) -> Key {
    Key::new().bytes(&node.0)
}

/// What we say of ourselves in `init`. The first five are what every implementation of today demands.
pub(crate) fn our_features() -> Features {
    Features::new()
        .with_required(Feature::DataLossProtect)
        .with_required(Feature::VarOnionOptin)
        .with_required(Feature::StaticRemotekey)
        .with_required(Feature::PaymentSecret)
        .with_required(Feature::ChannelType)
        .with_optional(Feature::UpfrontShutdownScript)
        .with_optional(Feature::BasicMpp)
        .with_optional(Feature::LargeChannels)
        .with_optional(Feature::Anchors)
        .with_optional(Feature::ShutdownAnysegwit)
        .with_optional(Feature::ScidAlias)
        .with_optional(Feature::PaymentMetadata)
}

/// A peer's words, as far as people need them.
fn peer_text(data: &[u8]) -> String {
    String::from_utf8_lossy(&data[..data.len().min(PEER_TEXT_MAX)]).into_owned()
}

impl Node {
    pub(super) fn on_connected(
        &mut self,
        io: &mut Io<'_>,
        conn: ConnId,
        node: NodeId,
        direction: Direction,
        address: NetAddr,
    ) {
        let now = io.clock.mono;
        match self.peers.admit(self.id, node, direction, now) {
            Admission::Only => {}
            Admission::Replaces(old) => {
                io.out.emit(Command::Disconnect { conn: old, reason: "a newer connection of the same node" });
                self.peers.replaced(old);
                self.channels_disconnected(io, node);
            }
            Admission::Redundant => {
                io.out.emit(Command::Disconnect { conn, reason: "already connected" });
                return;
            }
            Admission::Full => {
                io.note_peer(Level::Warn, "peer", node, format_args!("refused: too many connections"));
                io.out.emit(Command::Disconnect { conn, reason: "too many connections" });
                return;
            }
        }
        io.note_peer(Level::Debug, "peer", node, format_args!("connected as {conn}"));
        let features = self.features.to_wire();
        // BOLT 1: we tell a peer where it comes from if that is an address of the internet.
        let mut seen = [0; wire::address::DESCRIPTOR_SIZE_MAX];
        let mut descriptor = wire::Cursor::new(&mut seen);
        let told = matches!(address, NetAddr::Ip4(..) | NetAddr::Ip6(..));
        let seen_len = match wire::address::write(&address, &mut descriptor) {
            Ok(()) if told => Some(descriptor.position()),
            _ => None,
        };
        let chain_hash = self.config.network.chain_hash();
        self.peers.connected(node, conn, direction, address, now);
        io.send(
            conn,
            wire::Init {
                globalfeatures: &[],
                features: &features,
                networks: Some(wire::Rest(&chain_hash.0)),
                remote_addr: seen_len.map(|len| wire::Rest(&seen[..len])),
            },
        );
    }

    pub(super) fn on_dial_failed(&mut self, io: &mut Io<'_>, dial: DialId, reason: &str) {
        match self.peers.dial_failed(dial, io.clock.mono, &mut self.rng) {
            Some((node, DialNext::Try(dial, address))) => {
                io.out.emit(Command::Dial { dial, peer: node, address: &address });
            }
            Some((node, DialNext::GiveUp(waiters))) => {
                io.note_peer(Level::Debug, "peer", node, format_args!("dialling failed: {reason}"));
                for request in waiters {
                    let text = format!("All addresses failed: {reason}");
                    io.reply(request, Err(RequestError::new(RequestError::CONNECT_ALL_ADDRESSES_FAILED, text)));
                }
            }
            None => {}
        }
    }

    pub(super) fn on_write_space(&mut self, conn: ConnId, free: u32) {
        if let Some(session) = self.peers.session_mut(conn) {
            session.credit = free;
        }
    }

    pub(super) fn on_disconnected(&mut self, io: &mut Io<'_>, conn: ConnId, reason: &Cut) {
        let Some(node) = self.peers.disconnected(conn, io.clock.mono, &mut self.rng) else { return };
        io.note_peer(Level::Info, "peer", node, format_args!("disconnected: {reason:?}"));
        self.channels_disconnected(io, node);
    }

    fn channels_disconnected(&mut self, io: &mut Io<'_>, node: NodeId) {
        let keys: Vec<ChannelKey> = self.index.of_peer(node).collect();
        for key in keys {
            self.with_channel(io, key, |channel, cx| channel.disconnected(cx));
        }
        self.openings_disconnected(io, node);
        for request in self.ping_waiters.remove(&node).unwrap_or_default() {
            io.reply(request, Err(RequestError::peer_not_connected()));
        }
    }

    pub(super) fn on_peer_timer(&mut self, io: &mut Io<'_>, node: NodeId, timer: PeerTimer) {
        match timer {
            PeerTimer::Reconnect => self.dial(io, node),
            PeerTimer::Ping => {
                if let Some((conn, _)) = self.peers.ready(node) {
                    io.send(conn, wire::Ping { num_pong_bytes: 1, ignored: &[] });
                    self.peers.pinged(node, io.clock.mono);
                }
            }
            PeerTimer::Init | PeerTimer::Pong => {
                let Some(conn) = self.peers.get(node).and_then(|peer| peer.session.as_ref()).map(|s| s.conn) else {
                    return;
                };
                let reason = if timer == PeerTimer::Init { "no init" } else { "no answer to a ping" };
                self.cut(io, node, conn, reason);
            }
        }
    }

    /// Ends a session from here; what follows from it follows at once.
    pub(super) fn cut(&mut self, io: &mut Io<'_>, node: NodeId, conn: ConnId, reason: &str) {
        io.note_peer(Level::Info, "peer", node, format_args!("cut: {reason}"));
        io.out.emit(Command::Disconnect { conn, reason });
        if self.peers.disconnected(conn, io.clock.mono, &mut self.rng).is_some() {
            self.channels_disconnected(io, node);
        }
    }

    /// Dials, if there is an address and no connection.
    pub(super) fn dial(&mut self, io: &mut Io<'_>, node: NodeId) {
        if let Some((dial, address)) = self.peers.dial(node) {
            io.out.emit(Command::Dial { dial, peer: node, address: &address });
        }
    }

    fn warn_and_cut(&mut self, io: &mut Io<'_>, node: NodeId, conn: ConnId, channel_id: ChannelId, text: &str) {
        io.send(conn, wire::Warning { channel_id, data: text.as_bytes() });
        self.cut(io, node, conn, text);
    }

    pub(super) fn on_received(&mut self, io: &mut Io<'_>, conn: ConnId, bytes: &[u8]) {
        let Some(node) = self.peers.node_of(conn) else { return };
        let now = io.clock.mono;
        self.peers.heard(node, now);
        let message = match Message::decode(bytes) {
            Ok(message) => message,
            Err(error) => return self.on_undecodable(io, node, conn, &error),
        };
        io.note_peer(Level::Trace, "peer", node, format_args!("sent us {} ({} bytes)", message.name(), bytes.len()));
        let initialised = self.peers.ready(node).is_some();
        match (message, initialised) {
            (Message::Init(init), false) => self.on_init(io, node, conn, &init),
            (Message::Init(_), true) => {}
            // BOLT 1: nothing before init. An error may still tell why there will be none.
            (Message::Error(error), false) => {
                let text = peer_text(error.data);
                self.cut(io, node, conn, &text);
            }
            (other, false) => {
                let text = format!("{} before init", other.name());
                self.warn_and_cut(io, node, conn, ChannelId::ALL, &text);
            }
            (message, true) => self.on_message(io, node, conn, &message),
        }
    }

    fn on_undecodable(&mut self, io: &mut Io<'_>, node: NodeId, conn: ConnId, error: &DecodeError) {
        // BOLT 1: an unknown even message, a message cut short or a bad extension closes the connection.
        let text = error.to_string();
        self.warn_and_cut(io, node, conn, ChannelId::ALL, &text);
    }

    fn on_init(&mut self, io: &mut Io<'_>, node: NodeId, conn: ConnId, init: &wire::Init<'_>) {
        let features = Features::from_wire(init.features).union(&Features::from_wire(init.globalfeatures));
        if let Some(bit) = features.unknown_required(&self.features) {
            let text = format!("feature bit {bit} is required and not supported here");
            return self.warn_and_cut(io, node, conn, ChannelId::ALL, &text);
        }
        if let Some((feature, needed)) = features.missing_dependency() {
            let text = format!("{} needs {}, which is not set", feature.name(), needed.name());
            return self.warn_and_cut(io, node, conn, ChannelId::ALL, &text);
        }
        if let Some(wire::Rest(networks)) = init.networks {
            let ours = self.config.network.chain_hash();
            if !networks.chunks_exact(32).any(|chain| chain == ours.0) {
                let text = format!("no common chain; this node is on {}", self.config.network.name());
                return self.warn_and_cut(io, node, conn, ChannelId::ALL, &text);
            }
        }
        let remote_addr = init.remote_addr.and_then(|wire::Rest(bytes)| wire::address::read_one(bytes));
        self.peers.initialised(node, RemoteInit { features, remote_addr }, io.clock.mono);
        io.note_peer(Level::Info, "peer", node, format_args!("connected"));
        self.store_addresses(io, node);
        self.answer_connect(io, node);
        let keys: Vec<ChannelKey> = self.index.of_peer(node).collect();
        for key in keys {
            self.supply_onions(io, key);
            self.with_channel(io, key, |channel, cx| channel.connected(cx, conn));
        }
    }

    /// Remembers where a node that we share channels with can be dialled.
    pub(super) fn store_addresses(&mut self, io: &mut Io<'_>, node: NodeId) {
        let Some(peer) = self.peers.get(node) else { return };
        if peer.wanted && !peer.addresses.is_empty() {
            let row = PeerRow { addresses: peer.addresses.clone() };
            io.put(peer_key(node), &row);
        }
    }

    fn answer_connect(&mut self, io: &mut Io<'_>, node: NodeId) {
        let waiters = self.peers.get_mut(node).map(|peer| std::mem::take(&mut peer.waiters)).unwrap_or_default();
        for request in waiters {
            if let Some(connected) = self.connected_peer(node) {
                io.reply(request, Ok(Response::Connected(connected)));
            }
        }
    }

    /// What `connect` says of a peer that is here.
    pub(super) fn connected_peer(&self, node: NodeId) -> Option<ConnectedPeer> {
        let session = self.peers.get(node)?.session.as_ref()?;
        let init = session.init.as_ref()?;
        Some(ConnectedPeer {
            peer: node,
            features: init.features.to_wire(),
            inbound: matches!(session.direction, Direction::Inbound { .. }),
            address: session.address.clone(),
        })
    }

    fn on_message(&mut self, io: &mut Io<'_>, node: NodeId, conn: ConnId, message: &Message<'_>) {
        match message {
            Message::Ping(ping) => {
                if ping.num_pong_bytes < PONG_BYTES_END || is_active(Mutation::OddPingsAnswered) {
                    static ZEROS: [u8; PONG_BYTES_END as usize] = [0; PONG_BYTES_END as usize];
                    let length = usize::from(ping.num_pong_bytes).min(ZEROS.len());
                    io.send(conn, wire::Pong { ignored: &ZEROS[..length] });
                }
            }
            Message::Pong(pong) => {
                let waiter = self.ping_waiters.get_mut(&node).and_then(std::collections::VecDeque::pop_front);
                if let Some(request) = waiter {
                    // With type and length field, as Core Lightning counts it.
                    let total_len = pong.ignored.len() as u16 + 4;
                    io.reply(request, Ok(Response::Pong { total_len }));
                }
            }
            Message::Warning(warning) => {
                let text = peer_text(warning.data);
                io.note_peer(Level::Warn, "peer", node, format_args!("warns: {text}"));
            }
            Message::Error(error) => self.on_error(io, node, error.channel_id, &peer_text(error.data)),
            Message::ChannelUpdate(update) => self.on_channel_update(io, node, update),
            Message::OpenChannel(_) => self.on_open_channel(io, node, conn, message),
            Message::Unknown { .. } | Message::PeerStorage(_) | Message::PeerStorageRetrieval(_) => {}
            Message::OnionMessage(_) => {}
            // BOLT 7 numbers `announcement_signatures` among the gossip, but it is between the two ends of a channel.
            _ if (256..512).contains(&message.message_type())
                && !matches!(message, Message::AnnouncementSignatures(_)) =>
            {
                // Gossip of others is the router's; a node without one has nothing to answer.
            }
            _ => match channel_id_of(message) {
                Some(channel_id) => self.on_channel_message(io, node, conn, channel_id, message),
                None => {
                    let text = format!("{} is not supported", message.name());
                    io.send(conn, wire::Warning { channel_id: ChannelId::ALL, data: text.as_bytes() });
                }
            },
        }
    }

    /// What a seeded bug does when the node is stopped.
    pub(super) fn tell_error(&self, io: &mut Io<'_>) {
        let conns = self.peers.iter().filter_map(|(_, peer)| peer.session.as_ref()).map(|session| session.conn);
        for conn in conns {
            io.send(conn, wire::Error { channel_id: ChannelId::ALL, data: b"internal error" });
        }
    }

    /// BOLT 1: an error for all channels, or for one, which must be this peer's.
    fn on_error(&mut self, io: &mut Io<'_>, node: NodeId, channel_id: ChannelId, text: &str) {
        io.note_peer(Level::Warn, "peer", node, format_args!("error for {channel_id}: {text}"));
        let keys: Vec<ChannelKey> = self.index.of_peer(node).collect();
        for key in keys {
            let meant = channel_id == ChannelId::ALL || self.index.by_id.get(&channel_id) == Some(&key);
            if meant {
                self.with_channel(io, key, |channel, cx| channel.receive_error(cx, text));
            }
        }
        self.openings_failed(io, node, channel_id, text);
    }

    fn on_channel_message(
        &mut self,
        io: &mut Io<'_>,
        node: NodeId,
        conn: ConnId,
        channel_id: ChannelId,
        message: &Message<'_>,
    ) {
        let key = self.index.by_id.get(&channel_id).copied();
        // A channel of somebody else is as good as none: ids are no secret.
        let key = key.filter(|key| self.channels.get(key).is_some_and(|channel| channel.peer() == node));
        let Some(key) = key else {
            if !self.on_opening_message(io, node, conn, channel_id, message) {
                self.on_unknown_channel(io, node, conn, channel_id, message);
            }
            return;
        };
        if let Some(Err(error)) = self.with_channel(io, key, |channel, cx| channel.receive(cx, message)) {
            self.on_channel_error(io, node, conn, key, &error);
        }
    }

    pub(super) fn on_channel_error(
        &mut self,
        io: &mut Io<'_>,
        node: NodeId,
        conn: ConnId,
        key: ChannelKey,
        error: &ChannelError,
    ) {
        let channel_id = self.channels.get(&key).map_or(ChannelId::ALL, |channel| channel.id());
        let text = error.to_string();
        io.note_peer(Level::Warn, "channel", node, format_args!("channel {channel_id}: {text}"));
        match error.consequence() {
            Consequence::Ignore => {}
            Consequence::Warn => io.send(conn, wire::Warning { channel_id, data: text.as_bytes() }),
            Consequence::WarnDisconnect => self.warn_and_cut(io, node, conn, channel_id, &text),
            // Our data is old, or the peer's is: it must close, and nothing of ours may be broadcast.
            Consequence::AskToClose => io.send(conn, wire::Error { channel_id, data: text.as_bytes() }),
            Consequence::Fail => {
                self.with_channel(io, key, |channel, cx| channel.fail(cx, error));
            }
        }
    }

    /// A peer that has lost its data may ask about a channel we have forgotten: an error makes it close (BOLT 2,
    /// message retransmission). Other messages are a little late, or a lie; a warning tells.
    fn on_unknown_channel(
        &mut self,
        io: &mut Io<'_>,
        node: NodeId,
        conn: ConnId,
        channel_id: ChannelId,
        message: &Message<'_>,
    ) {
        io.note_peer(Level::Debug, "peer", node, format_args!("{} for unknown channel {channel_id}", message.name()));
        let text = b"unknown channel";
        if matches!(message, Message::ChannelReestablish(_)) && !is_active(Mutation::SilentOnUnknownChannel) {
            io.send(conn, wire::Error { channel_id, data: text });
        } else {
            io.send(conn, wire::Warning { channel_id, data: text });
        }
    }
}

/// The channel that a message of BOLT 2 is about; the temporary id before there is another.
fn channel_id_of(message: &Message<'_>) -> Option<ChannelId> {
    Some(match message {
        Message::AcceptChannel(m) => m.temporary_channel_id,
        Message::FundingCreated(m) => m.temporary_channel_id,
        Message::FundingSigned(m) => m.channel_id,
        Message::ChannelReady(m) => m.channel_id,
        Message::Shutdown(m) => m.channel_id,
        Message::ClosingSigned(m) => m.channel_id,
        Message::UpdateAddHtlc(m) => m.channel_id,
        Message::UpdateFulfillHtlc(m) => m.channel_id,
        Message::UpdateFailHtlc(m) => m.channel_id,
        Message::UpdateFailMalformedHtlc(m) => m.channel_id,
        Message::UpdateFee(m) => m.channel_id,
        Message::CommitmentSigned(m) => m.channel_id,
        Message::RevokeAndAck(m) => m.channel_id,
        Message::ChannelReestablish(m) => m.channel_id,
        Message::AnnouncementSignatures(m) => m.channel_id,
        Message::Stfu(m) => m.channel_id,
        Message::StartBatch(m) => m.channel_id,
        Message::TxAbort(m) => m.channel_id,
        Message::SpliceInit(m) => m.channel_id,
        Message::ClosingComplete(m) => m.channel_id,
        _ => return None,
    })
}
