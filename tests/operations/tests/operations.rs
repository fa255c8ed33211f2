//! How often a direct payment, its invoice included, asks the signer and the curve: both ends together, so that a
//! wasted operation is seen here.

use std::collections::BTreeMap;

use bitcoin::{Psbt, Transaction};
use leyden_core::amount::Msat;
use leyden_core::ids::{CommitmentSecret, KeysIndex, NodeId, Sig};
use leyden_core::onion::Session;
use leyden_core::signer::{CommitmentOf, KeysSigner, Refusal, Signer, SignerState, WalletAccounts};
use leyden_core::tx::{Basepoints, Claim, ClosingTx, CommitmentKeys, CommitmentTx, KeyScope, SignatureError, Sweep};
use leyden_operations::{Counts, count};
use leyden_tests::curve::{DIRECT_PAYMENT, Operations};
use leyden_tests::pair::Pair;
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
    fn expect(&mut self, keys: KeysIndex, commitment: CommitmentOf, peer: &Basepoints) {
        self.inner.expect(keys, commitment, peer);
    }
    counted! {
        fn ecdh(&mut self, point: &PublicKey) -> [u8; 32];
        fn channel_basepoints(&mut self, keys: KeysIndex) -> Basepoints;
        fn per_commitment_point(&mut self, keys: KeysIndex, number: u64) -> PublicKey;
        fn commitment_keys(&mut self, keys: KeysIndex, of: CommitmentOf, peer: &Basepoints, scope: KeyScope)
            -> CommitmentKeys;
        fn track(&mut self, keys: KeysIndex, state: SignerState);
        fn forget(&mut self, keys: KeysIndex);
        fn onion_session(&mut self, session_key: &[u8; 32], nodes: &[PublicKey]) -> Option<Session>;
        fn check_signatures(&mut self, keys: KeysIndex, commitment: &CommitmentTx, sig: &Sig, htlc_sigs: &[Sig])
            -> Result<(), SignatureError>;
        fn check_secret(&mut self, keys: KeysIndex, number: u64, secret: &CommitmentSecret, point: &PublicKey) -> bool;
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

fn counting(inner: KeysSigner) -> Counting {
    Counting { inner, calls: BTreeMap::new() }
}

fn pay(pair: &mut Pair<Counting>, label: &str) {
    pair.a.signer.calls.clear();
    pair.b.signer.calls.clear();
    let invoice = pair.invoice(label, Msat(10_000_000));
    pair.pay(invoice);
}

#[test]
fn a_direct_payment_asks_the_signer_no_more_than_it_must() {
    let mut pair = Pair::with_channel(counting);
    pay(&mut pair, "first");
    pay(&mut pair, "second");
    // Each end signs two commitments of the peer and verifies two of its own, each with a point of its own: four sets
    // of keys, and two old commitments revoked on either side.
    let both = [
        ("check_secret", 2),
        ("check_signatures", 2),
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
    assert_eq!(pair.a.signer.calls, expected(&[("draw", 1), ("onion_session", 1)]), "payer");
    assert_eq!(pair.b.signer.calls, expected(&[("draw", 2), ("sign_recoverable", 1), ("ecdh", 1)]), "payee");
}

/// What one more payment asks of the curve, both ends together.
fn operations(pair: &mut Pair<Counting>, label: &str) -> Operations {
    let counts = count(|| pay(pair, label));
    let Counts { signs, verifies, recovers, creates, multiplications, additions, combinations, ecdhs, parses, others } =
        counts;
    assert_eq!(others, 0);
    Operations { signs, verifies, recovers, creates, additions, multiplications, combinations, ecdhs, parses }
}

#[test]
fn a_direct_payment_takes_few_operations_on_the_curve() {
    let mut pair = Pair::with_channel(counting);
    pay(&mut pair, "first");
    pay(&mut pair, "second");
    let counted = operations(&mut pair, "third");
    assert_eq!(counted, DIRECT_PAYMENT);
    let Operations { signs, verifies, recovers, creates, multiplications, additions, combinations, ecdhs, parses } =
        counted;
    // The payer recovers the payee's key from the invoice: that is how its signature is checked. Every other recovery
    // is a revocation key of a commitment of one's own (see `core/src/tx/keys.rs`).
    let (verifies, rest) = (verifies + 1, recovers - 1 + creates + multiplications + additions + combinations + ecdhs);
    println!("signatures_per_payment {signs} operations");
    println!("verifications_per_payment {verifies} operations");
    println!("other_curve_operations_per_payment {rest} operations");
    println!("points_parsed_per_payment {parses} operations");
    // The invoice, four commitments, and the HTLC in two of them.
    assert_eq!((signs, verifies), (7, 7));
    // Eight sets of keys: four commitments, each at both ends.
    assert_eq!(recovers - 1, 4, "the revocation key of each commitment of one's own");
    assert_eq!((multiplications, combinations), (4, 4), "and of each of the peer's: its point times a public number");
    // The delayed key of each set, which is the owner's HTLC key too, and the other HTLC key where there is an HTLC: the
    // peer's by addition, our own from its secret.
    assert_eq!(additions, 4 + 2);
    assert_eq!(
        creates,
        4 + 2 + 4 + 4 + 4 + 1,
        "and the rest of the peer's revocation keys, a point for each commitment, a check of each secret, the onion's point"
    );
    assert_eq!(ecdhs, 2, "one at either end of the onion");
    // Two for each of the peer's commitments could be saved by a way whose duration depends on a secret that stays.
    assert!(rest <= 39);
    // The point after next in each `revoke_and_ack`, the onion's point, the payee as a hop.
    assert_eq!(parses, 6);
}

#[test]
fn work_ahead_of_a_payment_is_not_done_again() {
    let mut pair = Pair::with_channel(counting);
    pair.idle = |signer| {
        while signer.inner.can_work_ahead() {
            signer.inner.work_ahead();
        }
    };
    pay(&mut pair, "first");
    pay(&mut pair, "second");
    // The same as without it, only that a part of it falls into the time of waiting.
    assert_eq!(operations(&mut pair, "third"), DIRECT_PAYMENT);
    // Nobody waits: what was not derived before is derived when it is needed.
    pair.idle = |_| {};
    let saved = operations(&mut pair, "fourth");
    assert!(saved.creates < DIRECT_PAYMENT.creates, "the last payment's idle time served this one");
    assert_eq!(operations(&mut pair, "fifth"), DIRECT_PAYMENT);
}
