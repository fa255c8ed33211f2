//! Two nodes with one channel between them: real keys, real signatures, real rows, and a wire that the test holds.

use std::collections::{BTreeMap, VecDeque};

use bitcoin::{Network, OutPoint, ScriptBuf, Transaction, TxOut, absolute, transaction};

use crate::amount::{Msat, Sat};
use crate::chain::{Backend, Chain, Feerates, Tip};
use crate::channel::Scratch;
use crate::channel::ledger::Origin;
use crate::channel::{
    Channel, ChannelConfig, ChannelError, Cx, Effect, HtlcState, Link, Offer, OpenFeatures, OpenRequest, Opening,
    Progress, Refusal, Stored,
};
use crate::clock::Clock;
use crate::command::{Command, Sink};
use crate::ids::{BlockHeight, ChainHash, ChannelKey, ConnId, HtlcId, KeysIndex, PaymentHash, Preimage};
use crate::onion::{self, ONION_SIZE};
use crate::rng::Rng;
use crate::side::Side;
use crate::signer::{KeysSigner, Signer};
use crate::store::{Row, Table};
use crate::wire::{self, Message};

/// Where the commands of a node end up.
#[derive(Default)]
pub(super) struct World {
    pub(super) rows: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    pub(super) sent: VecDeque<Message<'static>>,
    pub(super) broadcast: Vec<Transaction>,
    pub(super) puts: usize,
}

/// A message as the peer decodes it. Its bytes live as long as the test.
fn travel(message: &Message<'_>) -> Message<'static> {
    let mut bytes = vec![0; message.encoded_len()];
    message.encode(&mut wire::Cursor::new(&mut bytes)).expect("it has the length that it says");
    Message::decode(bytes.leak()).expect("we decode what we encode")
}

impl Sink for World {
    fn emit(&mut self, command: Command<'_>) {
        match command {
            Command::Send { message, .. } => self.sent.push_back(travel(message)),
            Command::Put { table, key, value } => {
                let mut bytes = Vec::new();
                value.write(&mut bytes);
                self.rows.insert((table, key.to_vec()), bytes);
                self.puts += 1;
            }
            Command::Delete { table, key } => drop(self.rows.remove(&(table, key.to_vec()))),
            Command::Broadcast { tx, .. } => self.broadcast.push(tx.clone()),
            _ => {}
        }
    }
}

/// What the keys of each are made from.
const ALICE: u8 = 1;
const BOB: u8 = 2;

/// One node.
pub(super) struct End {
    pub(super) name: &'static str,
    seed: u8,
    pub(super) config: ChannelConfig,
    pub(super) chain: Chain,
    pub(super) signer: KeysSigner,
    pub(super) rng: Rng,
    pub(super) world: World,
    pub(super) effects: Vec<Effect>,
    pub(super) scratch: Scratch,
    pub(super) opening: Option<Opening>,
    pub(super) channel: Option<Box<Channel>>,
    generation: u32,
}

/// Gives the node's parts to a piece of code.
macro_rules! with_cx {
    ($end:expr, $cx:ident, $body:expr) => {{
        let end: &mut End = $end;
        let mut context = Cx {
            clock: Clock::default(),
            config: &end.config,
            chain: &end.chain,
            signer: &mut end.signer,
            rng: &mut end.rng,
            out: &mut end.world,
            effects: &mut end.effects,
            scratch: &mut end.scratch,
        };
        let $cx = &mut context;
        $body
    }};
}

pub(super) use with_cx;

fn signer(seed: u8) -> KeysSigner {
    KeysSigner::new([seed; 64], Network::Regtest, [seed; 32])
}

impl End {
    fn new(name: &'static str, seed: u8) -> End {
        let signer = signer(seed);
        let mut config = ChannelConfig::new(signer.node_id(), ChainHash([6; 32]));
        config.max_dust_exposure_msat = Msat(20_000_000);
        let feerates = Feerates { blocks_2: 2_000, blocks_6: 1_000, ..Feerates::default() };
        let tip = Tip { height: BlockHeight(100), hash: bitcoin::hashes::Hash::all_zeros() };
        let chain =
            Chain { tip: Some(tip), synced: true, feerates: Some(feerates), fallback: None, backend: Backend::Up };
        End {
            name,
            seed,
            config,
            chain,
            signer,
            rng: Rng::new([seed; 32]),
            world: World::default(),
            effects: Vec::new(),
            scratch: Scratch::default(),
            opening: None,
            channel: None,
            generation: 0,
        }
    }

    pub(super) fn channel(&self) -> &Channel {
        self.channel.as_ref().expect("the channel is open")
    }

    fn conn(&mut self) -> ConnId {
        self.generation += 1;
        ConnId { slot: 1, generation: self.generation }
    }

    pub(super) fn receive(&mut self, message: &Message<'_>) -> Result<(), ChannelError> {
        if let Some(mut channel) = self.channel.take() {
            let result = with_cx!(self, cx, channel.receive(cx, message));
            channel.check();
            self.channel = Some(channel);
            return result;
        }
        let mut opening = self.opening.take().expect("there is something to receive it");
        match with_cx!(self, cx, opening.receive(cx, message))? {
            Progress::Waiting => self.opening = Some(opening),
            Progress::Done(channel) => self.channel = Some(channel),
        }
        Ok(())
    }

    pub(super) fn act<T>(&mut self, act: impl FnOnce(&mut Channel, &mut Cx<'_>) -> T) -> T {
        let mut channel = self.channel.take().expect("the channel is open");
        let result = with_cx!(self, cx, act(&mut channel, cx));
        channel.check();
        self.channel = Some(channel);
        result
    }

    fn peer_seed(&self) -> u8 {
        ALICE + BOB - self.seed
    }

    pub(super) fn flush(&mut self) {
        if self.channel.as_ref().is_some_and(|channel| channel.is_dirty()) {
            self.act(|channel, cx| channel.flush(cx));
        }
    }

    pub(super) fn offer(&mut self, part: u64, amount: Msat) -> Result<HtlcId, Refusal> {
        self.offer_until(part, amount, 500 + (part % 3) as u32)
    }

    pub(super) fn offer_until(&mut self, part: u64, amount_msat: Msat, expiry: u32) -> Result<HtlcId, Refusal> {
        let onion = onion(self.peer_seed(), part);
        let payment_hash = preimage(part).payment_hash();
        let origin = Origin::Payment { part };
        let offer = Offer {
            amount_msat,
            payment_hash,
            cltv_expiry: expiry,
            onion: &onion,
            path_key: None,
            origin,
            store_onion: part.is_multiple_of(5),
        };
        self.act(|channel, cx| channel.offer_htlc(cx, &offer))
    }

    /// HTLCs of the peer that wait for our decision.
    pub(super) fn waiting(&self) -> Vec<(HtlcId, PaymentHash)> {
        let live = self.channel().ledger().of_side(Side::Remote).filter(|(_, htlc)| htlc.state == HtlcState::Live);
        live.map(|(key, htlc)| (key.id, htlc.payment_hash)).collect()
    }

    /// Stops and starts again: nothing but rows is left.
    pub(super) fn restart(&mut self) {
        let key = self.channel().key();
        self.signer = signer(self.seed);
        let mut stored = Stored::default();
        for ((table, key), value) in &self.world.rows {
            stored.take(&Row { table: *table, key, value }).expect("we wrote it");
        }
        let mut channel = stored.restore(key, &mut self.signer).expect("its rows are whole");
        for (id, origin) in channel.missing_onions() {
            let Origin::Payment { part } = origin else { panic!("there are no forwards here") };
            channel.supply_onion(id, &onion(self.peer_seed(), part));
        }
        channel.check();
        self.channel = Some(Box::new(channel));
    }
}

/// The preimage of a part: both ends of the test know them all.
pub(super) fn preimage(part: u64) -> Preimage {
    let mut bytes = [0x77; 32];
    bytes[..8].copy_from_slice(&part.to_be_bytes());
    Preimage(bytes)
}

/// An onion that opens; those of odd parts hold another one.
fn onion(receiver: u8, part: u64) -> [u8; ONION_SIZE] {
    let hops = [receiver, 9].map(|seed| (signer(seed).node_id().parse().expect("a node's key"), [part as u8; 20]));
    let len = 1 + (part % 2) as usize;
    let payment_hash = preimage(part).payment_hash();
    onion::build(&[7; 32], hops.into_iter().take(len), &payment_hash.0).expect("it is short").packet
}

/// Alice opened the channel.
pub(super) struct Pair {
    pub(super) alice: End,
    pub(super) bob: End,
    pub(super) funding: Transaction,
}

pub(super) const ALL_FEATURES: OpenFeatures =
    OpenFeatures { anchors: true, scid_alias: true, large: true, upfront_shutdown: true, any_segwit: true };

pub(super) fn close_script(seed: u8) -> ScriptBuf {
    let mut bytes = vec![0, 20];
    bytes.extend([seed; 20]);
    ScriptBuf::from_bytes(bytes)
}

pub(super) fn request(peer: &End, features: OpenFeatures) -> OpenRequest {
    OpenRequest {
        key: ChannelKey(1),
        keys: KeysIndex(3),
        peer: peer.config.node_id,
        funding: Sat(1_000_000),
        push_msat: Msat(400_000_000),
        announce: false,
        feerate_per_kw: None,
        features,
        close_script: close_script(1),
    }
}

/// A transaction with such an output, in which somebody else has one too.
pub(super) fn funding_tx(script: &ScriptBuf, amount: Sat) -> Transaction {
    let other = TxOut { value: bitcoin::Amount::from_sat(777), script_pubkey: close_script(7) };
    let funding = TxOut { value: amount.to_amount(), script_pubkey: script.clone() };
    Transaction {
        version: transaction::Version(2),
        lock_time: absolute::LockTime::ZERO,
        input: vec![bitcoin::TxIn::default()],
        output: vec![other, funding],
    }
}

/// Alice's `open_channel`.
pub(super) fn offer(alice: &mut End, bob: &End) -> wire::OpenChannel<'static> {
    send_open(alice, request(bob, ALL_FEATURES))
}

fn send_open(alice: &mut End, request: OpenRequest) -> wire::OpenChannel<'static> {
    let conn = alice.conn();
    let opening = with_cx!(alice, cx, Opening::open(cx, conn, request)).expect("it is a fine channel");
    alice.opening = Some(opening);
    let Some(Message::OpenChannel(open)) = alice.world.sent.pop_front() else { panic!("alice offers a channel") };
    open
}

/// Up to the point where alice's wallet is asked.
pub(super) fn begin(alice: &mut End, bob: &mut End, request: OpenRequest) {
    let features = request.features;
    let open = send_open(alice, request);
    let (conn, peer) = (bob.conn(), alice.config.node_id);
    let (names, script) = ((ChannelKey(1), KeysIndex(8)), close_script(2));
    let opening = with_cx!(bob, cx, Opening::accept(cx, conn, names, peer, features, script, &open));
    bob.opening = Some(opening.expect("it is a fine channel"));
    let accept = bob.world.sent.pop_front().expect("accept_channel");
    alice.receive(&accept).expect("it is fine");
}

/// Alice's wallet answers; `change` makes a lie of it.
pub(super) fn build_funding(alice: &mut End, change: impl FnOnce(&mut Transaction)) -> Transaction {
    let Some(Effect::FundingNeeded { script, amount, .. }) = alice.effects.pop() else { panic!("the wallet is asked") };
    let mut funding = funding_tx(&script, amount);
    change(&mut funding);
    let outpoint = OutPoint { txid: funding.compute_txid(), vout: 1 };
    let mut opening = alice.opening.take().expect("it waits for the wallet");
    with_cx!(alice, cx, opening.funding_built(cx, outpoint));
    alice.opening = Some(opening);
    funding
}

impl Pair {
    pub(super) fn strangers() -> (End, End) {
        (End::new("alice", ALICE), End::new("bob", BOB))
    }

    /// Opened, not yet confirmed.
    pub(super) fn unconfirmed(features: OpenFeatures, push_msat: Msat) -> Pair {
        let (mut alice, mut bob) = Pair::strangers();
        let request = OpenRequest { push_msat, ..request(&bob, features) };
        begin(&mut alice, &mut bob, request);
        Pair::fund(alice, bob)
    }

    /// Goes on from `begin`.
    pub(super) fn fund(alice: End, bob: End) -> Pair {
        Pair::fund_with(alice, bob, |_| {})
    }

    /// The same, with a transaction that may not be what it should.
    pub(super) fn fund_with(mut alice: End, bob: End, change: impl FnOnce(&mut Transaction)) -> Pair {
        let funding = build_funding(&mut alice, change);
        let mut pair = Pair { alice, bob, funding };
        assert!(pair.deliver(Side::Remote), "funding_created");
        assert!(pair.deliver(Side::Local), "funding_signed");
        pair
    }

    /// Opened, confirmed, ready.
    pub(super) fn open(features: OpenFeatures, push_msat: Msat) -> Pair {
        let mut pair = Pair::unconfirmed(features, push_msat);
        pair.confirm();
        pair.drain();
        assert!(pair.alice.channel().is_up() && pair.bob.channel().is_up());
        pair
    }

    pub(super) fn confirm(&mut self) {
        let funding = self.funding.clone();
        self.each(|end| {
            end.act(|channel, cx| channel.funding_confirmed(cx, &funding, BlockHeight(90), 5));
        });
    }

    pub(super) fn each(&mut self, mut act: impl FnMut(&mut End)) {
        act(&mut self.alice);
        act(&mut self.bob);
    }

    /// Delivers the next message to alice (`Local`) or bob; false if there is none.
    pub(super) fn deliver(&mut self, to: Side) -> bool {
        let (from, to) = match to {
            Side::Local => (&mut self.bob, &mut self.alice),
            Side::Remote => (&mut self.alice, &mut self.bob),
        };
        let Some(message) = from.world.sent.pop_front() else { return false };
        if let Err(error) = to.receive(&message) {
            panic!("{} refuses {} of {}: {error}", to.name, message.name(), from.name);
        }
        true
    }

    /// Until nothing is left to say.
    pub(super) fn drain(&mut self) {
        for _ in 0..10_000 {
            self.each(End::flush);
            let (to_alice, to_bob) = (self.deliver(Side::Local), self.deliver(Side::Remote));
            if !to_alice && !to_bob {
                return;
            }
        }
        panic!("they never stop talking");
    }

    pub(super) fn disconnect(&mut self) {
        self.each(|end| {
            end.world.sent.clear();
            end.act(|channel, cx| channel.disconnected(cx));
            end.flush();
            assert!(end.world.sent.is_empty(), "nothing is said to a peer that is gone");
        });
    }

    pub(super) fn connect(&mut self) {
        self.each(|end| {
            let conn = end.conn();
            end.act(|channel, cx| channel.connected(cx, conn));
            assert!(matches!(end.channel().link(), Link::Reestablishing { .. }));
        });
    }

    pub(super) fn reconnect(&mut self) {
        self.disconnect();
        self.connect();
    }

    /// Both ends hold mirror images.
    pub(super) fn assert_agreement(&mut self) {
        fn mirror(one: &mut End, other: &mut End) {
            let ours = one.act(|channel, cx| channel.local_commitment(cx)).txid;
            let number = one.channel().ledger().latest_number(Side::Local);
            let theirs = other.act(|channel, cx| channel.remote_commitment(cx, number)).expect("it is the latest");
            assert_eq!(ours, theirs.txid);
        }
        mirror(&mut self.alice, &mut self.bob);
        mirror(&mut self.bob, &mut self.alice);
    }

    /// Everything that either end could publish now is valid on chain.
    pub(super) fn assert_publishable(&mut self) {
        let funding = self.funding.output[1].clone();
        self.each(|end| {
            let keys = end.channel().row().keys;
            let (commitment, tx) =
                end.act(|channel, cx| (channel.local_commitment(cx), channel.signed_local_commitment(cx)));
            verify(&funding, &tx, 0);
            let signatures = end.channel().peer_signatures().to_vec();
            assert_eq!(signatures.len(), commitment.htlcs.len());
            for (index, theirs) in signatures.iter().enumerate() {
                let mut tx = commitment.htlc_tx(index);
                let ours = end.signer.sign_htlc(keys, &commitment, index, &tx, 0).expect("it is the latest");
                let output = commitment.htlcs[index];
                let incoming = output.htlc.offered_by == Side::Remote;
                let known = (0..2_000).map(preimage).find(|known| known.payment_hash() == output.htlc.payment_hash);
                let known = known.filter(|_| incoming);
                tx.input[0].witness = commitment.htlc_witness(index, &ours, theirs, known.as_ref());
                verify(&commitment.transaction().output[output.vout as usize], &tx, 0);
            }
        });
    }
}

/// Would the chain take it?
pub(super) fn verify(spent: &TxOut, tx: &Transaction, index: usize) {
    let bytes = bitcoin::consensus::serialize(tx);
    let result = bitcoinconsensus::verify(spent.script_pubkey.as_bytes(), spent.value.to_sat(), &bytes, None, index);
    if let Err(error) = result {
        panic!("the chain refuses it: {error:?}");
    }
}
