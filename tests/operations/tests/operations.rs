//! How often a direct payment, its invoice included, asks the signer and the curve: both ends together, so that a
//! wasted operation is seen here.

use std::collections::{BTreeMap, VecDeque};

use bitcoin::hashes::Hash;
use bitcoin::{Network as BitcoinNetwork, Psbt, Transaction, TxIn, TxOut, absolute, transaction};
use leyden_core::amount::{Msat, Sat};
use leyden_core::chain::{Feerates, Tip};
use leyden_core::clock::{Clock, Mono, Wall};
use leyden_core::command::{Command, LoadRange, Sink};
use leyden_core::config::{Config, Network};
use leyden_core::event::{ChainEvent, Direction, Event, Match, NetAddr};
use leyden_core::ids::{BlockHeight, CommitmentSecret, ConnId, DialId, KeysIndex, NodeId, QueryId, RequestId, Sig};
use leyden_core::node::{Boot, Node};
use leyden_core::request::channel::FundChannel;
use leyden_core::request::invoice::{CreateInvoice, ExposePrivate};
use leyden_core::request::payment::{FeeLimit, Pay};
use leyden_core::request::wallet::AddressKind;
use leyden_core::request::{AmountOrAll, Request, RequestError, Response};
use leyden_core::signer::{CommitmentOf, KeysSigner, Refusal, Signer, SignerState, WalletAccounts};
use leyden_core::store::{Row, Table};
use leyden_core::tx::{Basepoints, Claim, ClosingTx, CommitmentKeys, CommitmentTx, KeyScope, Sweep};
use leyden_core::wire::Cursor;
use leyden_operations::{Counts, count};
use secp256k1::{Message, PublicKey};

/// A signer that counts by the name of what it was asked.
struct Counting {
    inner: KeysSigner,
    calls: BTreeMap<&'static str, u32>,
}

macro_rules! counted {
    ($( fn $name:ident(&mut self $(, $arg:ident: $ty:ty)*) $(-> $result:ty)?; )*) => {
        $( fn $name(&mut self $(, $arg: $ty)*) $(-> $result)? {
            *self.calls.entry(stringify!($name)).or_default() += 1;
            self.inner.$name($($arg),*)
        } )*
    };
}

impl Signer for Counting {
    fn node_id(&self) -> NodeId {
        self.inner.node_id()
    }
    fn state(&self, keys: KeysIndex) -> Option<SignerState> {
        self.inner.state(keys)
    }
    fn wallet_accounts(&self) -> WalletAccounts {
        self.inner.wallet_accounts()
    }
    counted! {
        fn ecdh(&mut self, point: &PublicKey) -> [u8; 32];
        fn channel_basepoints(&mut self, keys: KeysIndex) -> Basepoints;
        fn per_commitment_point(&mut self, keys: KeysIndex, number: u64) -> PublicKey;
        fn commitment_keys(&mut self, keys: KeysIndex, of: CommitmentOf, peer: &Basepoints, scope: KeyScope)
            -> CommitmentKeys;
        fn track(&mut self, keys: KeysIndex, state: SignerState);
        fn forget(&mut self, keys: KeysIndex);
        fn local_signed(&mut self, keys: KeysIndex, number: u64) -> Result<(), Refusal>;
        fn remote_revoked(&mut self, keys: KeysIndex, number: u64) -> Result<(), Refusal>;
        fn release_secret(&mut self, keys: KeysIndex, number: u64) -> Result<CommitmentSecret, Refusal>;
        fn sign_remote_commitment(&mut self, keys: KeysIndex, commitment: &CommitmentTx, htlc_sigs: &mut Vec<Sig>)
            -> Result<Sig, Refusal>;
        fn sign_local_commitment(&mut self, keys: KeysIndex, commitment: &CommitmentTx) -> Result<Sig, Refusal>;
        fn sign_htlc(&mut self, keys: KeysIndex, commitment: &CommitmentTx, index: usize, tx: &Transaction,
            input: usize) -> Result<Sig, Refusal>;
        fn sign_closing(&mut self, keys: KeysIndex, closing: &ClosingTx) -> Result<Sig, Refusal>;
        fn sign_sweep(&mut self, keys: KeysIndex, sweep: &Sweep, sigs: &mut Vec<Sig>) -> Result<(), Refusal>;
        fn sign_claim(&mut self, keys: KeysIndex, claim: &Claim, tx: &Transaction, input: usize)
            -> Result<Sig, Refusal>;
        fn sign_announcement(&mut self, keys: KeysIndex, digest: &Message) -> Sig;
        fn sign_node(&mut self, digest: &Message) -> Sig;
        fn sign_recoverable(&mut self, digest: &Message) -> ([u8; 64], u8);
        fn sign_psbt(&mut self, psbt: &mut Psbt) -> Result<usize, Refusal>;
        fn draw(&mut self) -> [u8; 32];
    }
}

/// Where a node's commands end up.
#[derive(Default)]
struct Out {
    rows: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    sent: VecDeque<Vec<u8>>,
    broadcast: Vec<Transaction>,
    replies: Vec<Result<Response, RequestError>>,
    loads: VecDeque<(QueryId, Table, Vec<u8>, bool)>,
}

impl Sink for Out {
    fn emit(&mut self, command: Command<'_>) {
        match command {
            Command::Send { message, .. } => {
                let mut bytes = vec![0; message.encoded_len()];
                message.encode(&mut Cursor::new(&mut bytes)).expect("it has the length that it says");
                self.sent.push_back(bytes);
            }
            Command::Put { table, key, value } => {
                let mut bytes = Vec::new();
                value.write(&mut bytes);
                self.rows.insert((table, key.to_vec()), bytes);
            }
            Command::Delete { table, key } => drop(self.rows.remove(&(table, key.to_vec()))),
            Command::Broadcast { tx, .. } => self.broadcast.push(tx.clone()),
            Command::Reply { result, .. } => self.replies.push(result.clone()),
            Command::Load { query, table, range, .. } => {
                let (key, exactly) = match range {
                    LoadRange::Exactly(key) => (key, true),
                    LoadRange::From(key) | LoadRange::Before(key) => (key, false),
                };
                self.loads.push_back((query, table, key.to_vec(), exactly));
            }
            _ => {}
        }
    }
}

struct End {
    node: Node,
    signer: Counting,
    out: Out,
}

const CLOCK: Clock = Clock { mono: Mono(1_000), wall: Wall(1_700_000_000_000) };
const CONN: ConnId = ConnId { slot: 0, generation: 0 };

impl End {
    fn new(seed: u8) -> End {
        let inner = KeysSigner::new([seed; 64], BitcoinNetwork::Regtest, [seed; 32]);
        let mut signer = Counting { inner, calls: BTreeMap::new() };
        let boot = Boot { config: Config::default_for(Network::Regtest), rng_seed: [seed; 32], clock: CLOCK };
        let node = Node::restore(boot, std::iter::empty(), &mut signer).expect("no rows make a fresh node");
        let mut end = End { node, signer, out: Out::default() };
        end.node.start(CLOCK, &mut end.signer, &mut end.out);
        let feerates =
            Feerates { blocks_2: 2_000, blocks_6: 1_000, blocks_12: 500, blocks_100: 300, mempool_minimum: 253 };
        end.step(Event::Chain(ChainEvent::Begin { tip: tip(100) }));
        end.step(Event::Chain(ChainEvent::Up));
        end.step(Event::Chain(ChainEvent::Feerates(feerates)));
        end.step(Event::Chain(ChainEvent::Synced { height: BlockHeight(100) }));
        end
    }

    fn step(&mut self, event: Event<'_>) {
        self.node.step(CLOCK, event, &mut self.signer, &mut self.out);
        // The turn's end: channels sign, history is read.
        while self.node.next_deadline() == Some(Mono(0)) {
            self.node.step(CLOCK, Event::Deadline, &mut self.signer, &mut self.out);
        }
        while let Some((query, table, key, exactly)) = self.out.loads.pop_front() {
            let found = self.out.rows.get_key_value(&(table, key)).filter(|_| exactly);
            let found: Vec<_> = found.map(|((_, key), value)| (key.clone(), value.clone())).into_iter().collect();
            let rows: Vec<Row<'_>> = found.iter().map(|(key, value)| Row { table, key, value }).collect();
            self.step(Event::Loaded { query, rows: &rows });
        }
    }

    fn ask(&mut self, request: Request) {
        self.step(Event::Request { id: RequestId(1), request });
    }

    fn reply(&mut self) -> Response {
        assert_eq!(self.out.replies.len(), 1, "one answer is due");
        self.out.replies.remove(0).expect("it succeeds")
    }

    fn block(&mut self, height: u32, tx: Option<&Transaction>) {
        let matches: Vec<Match<'_>> = tx.iter().map(|tx| Match { index: 1, tx }).collect();
        let event = ChainEvent::BlockConnected { tip: tip(height), time_s: 1_700_000_000, matches: &matches };
        self.step(Event::Chain(event));
        self.step(Event::Chain(ChainEvent::Synced { height: BlockHeight(height) }));
    }
}

fn tip(height: u32) -> Tip {
    Tip { height: BlockHeight(height), hash: bitcoin::BlockHash::hash(&height.to_be_bytes()) }
}

/// Until neither has anything to say.
fn drain(a: &mut End, b: &mut End) {
    loop {
        let (to_b, to_a) = (a.out.sent.pop_front(), b.out.sent.pop_front());
        if to_a.is_none() && to_b.is_none() {
            return;
        }
        if let Some(message) = to_b {
            b.step(Event::Received { conn: CONN, message: &message });
        }
        if let Some(message) = to_a {
            a.step(Event::Received { conn: CONN, message: &message });
        }
    }
}

fn open() -> (End, End) {
    let (mut a, mut b) = (End::new(1), End::new(2));
    a.ask(Request::NewAddr(AddressKind::P2tr));
    let Response::Addresses(addresses) = a.reply() else { panic!("an address was asked for") };
    let script_pubkey = addresses.p2tr.expect("it was asked for");
    let output = TxOut { value: bitcoin::Amount::from_sat(5_000_000), script_pubkey };
    // Of somebody: an input without an output before it would make a coinbase of it, which is not ripe.
    let previous_output = bitcoin::OutPoint { txid: bitcoin::Txid::all_zeros(), vout: 0 };
    let coins = Transaction {
        version: transaction::Version(2),
        lock_time: absolute::LockTime::ZERO,
        input: vec![TxIn { previous_output, ..TxIn::default() }],
        output: vec![output],
    };
    a.block(101, Some(&coins));
    b.block(101, None);
    let address = NetAddr::Ip4([127, 0, 0, 1], 9735);
    let (id_a, id_b) = (a.node.id(), b.node.id());
    let outbound = Direction::Outbound { dial: DialId(0) };
    a.step(Event::Connected { conn: CONN, peer: id_b, direction: outbound, address: address.clone() });
    b.step(Event::Connected { conn: CONN, peer: id_a, direction: Direction::Inbound { listener: 0 }, address });
    drain(&mut a, &mut b);
    a.ask(Request::FundChannel(Box::new(FundChannel {
        peer: id_b,
        amount: AmountOrAll::Amount(Sat(1_000_000)),
        feerate: None,
        announce: false,
        min_confirmations: 1,
        push_msat: Msat(0),
        close_to: None,
        utxos: None,
        mindepth: None,
        reserve_sat: None,
        channel_type: None,
    })));
    drain(&mut a, &mut b);
    a.reply();
    let funding = a.out.broadcast.pop().expect("the funding leaves");
    for height in 102..108 {
        let tx = (height == 102).then_some(&funding);
        a.block(height, tx);
        b.block(height, tx);
        drain(&mut a, &mut b);
    }
    (a, b)
}

fn pay(a: &mut End, b: &mut End, label: &str) {
    a.signer.calls.clear();
    b.signer.calls.clear();
    b.ask(Request::Invoice(Box::new(CreateInvoice {
        amount_msat: Some(Msat(10_000_000)),
        label: label.to_owned(),
        description: String::new(),
        expiry_s: 3_600,
        fallbacks: Vec::new(),
        preimage: None,
        expose: ExposePrivate::Auto,
        cltv: None,
        description_hash_only: false,
    })));
    let Response::InvoiceCreated(created) = b.reply() else { panic!("an invoice was asked for") };
    a.ask(Request::Pay(Box::new(Pay {
        invoice: created.bolt11.clone(),
        amount_msat: None,
        label: None,
        fee_limit: FeeLimit::Default,
        retry_for_s: 60,
        max_delay_blocks: None,
        exclude: Vec::new(),
        description: None,
        partial_msat: None,
    })));
    drain(a, b);
    assert!(matches!(a.reply(), Response::Paid(_)));
}

#[test]
fn a_direct_payment_asks_the_signer_no_more_than_it_must() {
    let (mut a, mut b) = open();
    pay(&mut a, &mut b, "first");
    pay(&mut a, &mut b, "second");
    // Each end signs two commitments of the peer and verifies two of its own, each with a point of its own: four sets
    // of keys, and two old commitments revoked on either side.
    let both = [
        ("commitment_keys", 4),
        ("local_signed", 2),
        ("per_commitment_point", 2),
        ("release_secret", 2),
        ("remote_revoked", 2),
        ("sign_remote_commitment", 2),
    ];
    let expected = |own: &[_]| both.into_iter().chain(own.iter().copied()).collect::<BTreeMap<_, _>>();
    // The payer draws the onion's session key. The payee draws a preimage and a secret for the invoice that it signs,
    // and peels the onion once.
    assert_eq!(a.signer.calls, expected(&[("draw", 1)]), "payer");
    assert_eq!(b.signer.calls, expected(&[("draw", 2), ("sign_recoverable", 1), ("ecdh", 1)]), "payee");
}

#[test]
fn a_direct_payment_takes_few_operations_on_the_curve() {
    let (mut a, mut b) = open();
    pay(&mut a, &mut b, "first");
    pay(&mut a, &mut b, "second");
    let counts = count(|| pay(&mut a, &mut b, "third"));
    let Counts { signs, verifies, recovers, creates, multiplications, additions, combinations, ecdhs, .. } = counts;
    // The payer recovers the payee's key from the invoice: that is how its signature is checked. Every other recovery
    // is a revocation key, one for each set of keys (see `core/src/tx/keys.rs`).
    let (verifies, rest) = (verifies + 1, recovers - 1 + creates + multiplications + additions + combinations + ecdhs);
    println!("signatures_per_payment {signs} operations");
    println!("verifications_per_payment {verifies} operations");
    println!("other_curve_operations_per_payment {rest} operations");
    println!("points_parsed_per_payment {} operations", counts.parses);
    // The invoice, four commitments, and the HTLC in two of them.
    assert_eq!((signs, verifies), (7, 7));
    // Eight sets of keys: four commitments, each at both ends.
    assert_eq!(recovers - 1, 8, "the revocation key of each set");
    // The delayed key of each set, and both HTLC keys where there is an HTLC: the peer's by addition, our own from its
    // secret.
    assert_eq!(additions, 4 + 4);
    assert_eq!(
        creates,
        4 + 4 + 4 + 4 + 1,
        "and a point for each commitment, a check of each secret, the onion's point"
    );
    assert_eq!(ecdhs, 2, "one at either end of the onion");
    assert!(rest <= 40);
    // The point after next in each `revoke_and_ack`, the onion's point, the payee as a hop.
    assert_eq!(counts.parses, 6);
    assert_eq!(counts.others, 0);
}
