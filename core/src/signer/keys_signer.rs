//! The signer that keeps its keys in this process.

use std::collections::BTreeMap;
use std::fmt;

use bitcoin::bip32::{ChildNumber, Fingerprint, Xpriv};
use bitcoin::{Network, NetworkKind, Psbt, Transaction};
use secp256k1::ecdh::SharedSecret;
use secp256k1::{Message, PublicKey, SECP256K1, SecretKey};
use zeroize::Zeroize;

use super::ahead::{Ahead, Wanted};
use super::channel::{ChannelKeys, ChannelSecrets};
use super::draw::Draw;
use super::wallet::{Account, Accounts, derive};
use super::{CommitmentOf, Refusal, Signer, SignerState, WalletAccounts};
use crate::ids::{CommitmentSecret, KeysIndex, NodeId, Sig};
use crate::tx::{Basepoints, Claim, ClosingTx, CommitmentKeys, CommitmentTx, KeyScope, Sweep};

/// Our own purpose: everything that is not the wallet's lies below m/9735'.
const PURPOSE: u32 = 9735;
/// m/9735'/coin'/0' is the node key.
const NODE: u32 = 0;
/// m/9735'/coin'/1'/high'/low'/k' are the keys of a channel.
const CHANNELS: u32 = 1;

/// All secrets of a node, from one BIP 39 seed.
///
/// The keys of a channel are kept once derived; a channel that is over is forgotten, so there are as many as channels.
pub struct KeysSigner {
    node: SecretKey,
    node_id: NodeId,
    channels_root: Xpriv,
    channels: BTreeMap<KeysIndex, Box<ChannelKeys>>,
    ahead: Ahead,
    master: Fingerprint,
    p2wpkh: Account,
    p2tr: Account,
    draw: Draw,
}

impl Drop for KeysSigner {
    fn drop(&mut self) {
        self.node.non_secure_erase();
        self.channels_root.private_key.non_secure_erase();
    }
}

impl fmt::Debug for KeysSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeysSigner {{ node_id: {}, .. }}", self.node_id)
    }
}

fn hardened(index: u32) -> ChildNumber {
    ChildNumber::Hardened { index }
}

impl KeysSigner {
    /// Derives the node's keys. `seed` is what BIP 39 makes of the words; `rng_seed` must be new at every start.
    pub fn new(mut seed: [u8; 64], network: Network, mut rng_seed: [u8; 32]) -> KeysSigner {
        let kind = NetworkKind::from(network);
        let coin = hardened(if kind.is_mainnet() { 0 } else { 1 });
        let mut master = Xpriv::new_master(kind, &seed).expect("no seed is known that gives an invalid master key");
        let mut ours = derive(&master, &[hardened(PURPOSE), coin]);
        let mut node = derive(&ours, &[hardened(NODE)]);
        let signer = KeysSigner {
            node: node.private_key,
            node_id: node.private_key.public_key(SECP256K1).into(),
            channels_root: derive(&ours, &[hardened(CHANNELS)]),
            channels: BTreeMap::new(),
            ahead: Ahead::default(),
            master: master.fingerprint(SECP256K1),
            p2wpkh: Account::new(&master, 84, coin),
            p2tr: Account::new(&master, 86, coin),
            draw: Draw::new(rng_seed),
        };
        for key in [&mut master, &mut ours, &mut node] {
            key.private_key.non_secure_erase();
        }
        seed.zeroize();
        rng_seed.zeroize();
        signer
    }

    fn secrets(&self, index: KeysIndex) -> ChannelSecrets {
        let (high, low) = ((index.0 >> 31) as u32, (index.0 & 0x7fff_ffff) as u32);
        assert!(index.0 < 1 << 62, "keys are numbered one by one");
        let mut root = derive(&self.channels_root, &[hardened(high), hardened(low)]);
        let key = |k: u32| derive(&root, &[hardened(k)]).private_key;
        let delayed_payment = key(3);
        let secrets = ChannelSecrets {
            funding: key(0),
            revocation: key(1),
            payment: key(2),
            delayed_payment,
            // BOLT 3 has a basepoint for HTLCs so that their keys can lie elsewhere than those of the delayed outputs.
            // Here one signer holds both, no signature for one output is good for another, and each end saves a
            // derivation in every commitment of ours with an HTLC.
            htlc: delayed_payment,
            seed: key(5).secret_bytes(),
        };
        root.private_key.non_secure_erase();
        secrets
    }

    /// Is there anything to do in an idle moment?
    pub fn can_work_ahead(&self) -> bool {
        self.ahead.is_wanted()
    }

    /// Uses an idle moment: derives the keys of one commitment to come.
    pub fn work_ahead(&mut self) {
        if let Some(Wanted { keys, of, peer }) = self.ahead.next() {
            let channel = self.channel(keys);
            let made = channel.commitment_keys(of, &peer, KeyScope::Balances);
            if let CommitmentOf::Local(number) = of {
                // It goes into the `revoke_and_ack` that this commitment will bring.
                channel.per_commitment_point(number + 1);
            }
            self.ahead.keep(keys, of, made);
        }
    }

    fn channel(&mut self, index: KeysIndex) -> &mut ChannelKeys {
        if !self.channels.contains_key(&index) {
            let keys = Box::new(ChannelKeys::new(&self.secrets(index)));
            self.channels.insert(index, keys);
        }
        self.channels.get_mut(&index).expect("it was just inserted if it was missing")
    }
}

impl Signer for KeysSigner {
    fn node_id(&self) -> NodeId {
        self.node_id
    }

    fn ecdh(&mut self, point: &PublicKey) -> [u8; 32] {
        SharedSecret::new(point, &self.node).secret_bytes()
    }

    fn channel_basepoints(&mut self, keys: KeysIndex) -> Basepoints {
        self.channel(keys).basepoints
    }

    fn per_commitment_point(&mut self, keys: KeysIndex, number: u64) -> PublicKey {
        self.channel(keys).per_commitment_point(number)
    }

    fn commitment_keys(
        &mut self,
        keys: KeysIndex,
        commitment: CommitmentOf,
        peer: &Basepoints,
        scope: KeyScope,
    ) -> CommitmentKeys {
        if let CommitmentOf::Local(number) = commitment {
            self.ahead.want(keys, CommitmentOf::Local(number + 1), peer);
        }
        match self.ahead.take(keys, commitment) {
            Some(made) => self.channel(keys).with_htlcs(made, commitment, peer, scope),
            None => self.channel(keys).commitment_keys(commitment, peer, scope),
        }
    }

    fn expect(&mut self, keys: KeysIndex, commitment: CommitmentOf, peer: &Basepoints) {
        self.ahead.want(keys, commitment, peer);
    }

    fn track(&mut self, keys: KeysIndex, state: SignerState) {
        self.channel(keys).track(state);
    }

    fn state(&self, keys: KeysIndex) -> Option<SignerState> {
        self.channels.get(&keys)?.state()
    }

    fn forget(&mut self, keys: KeysIndex) {
        self.channels.remove(&keys);
        self.ahead.forget(keys);
    }

    fn local_signed(&mut self, keys: KeysIndex, number: u64) -> Result<(), Refusal> {
        self.channel(keys).local_signed(keys, number)
    }

    fn remote_revoked(&mut self, keys: KeysIndex, number: u64) -> Result<(), Refusal> {
        self.channel(keys).remote_revoked(keys, number)
    }

    fn release_secret(&mut self, keys: KeysIndex, number: u64) -> Result<CommitmentSecret, Refusal> {
        self.channel(keys).release_secret(keys, number)
    }

    fn sign_remote_commitment(
        &mut self,
        keys: KeysIndex,
        commitment: &CommitmentTx,
        htlc_sigs: &mut Vec<Sig>,
    ) -> Result<Sig, Refusal> {
        self.channel(keys).sign_remote_commitment(keys, commitment, htlc_sigs)
    }

    fn sign_local_commitment(&mut self, keys: KeysIndex, commitment: &CommitmentTx) -> Result<Sig, Refusal> {
        self.channel(keys).sign_local_commitment(keys, commitment)
    }

    fn sign_htlc(
        &mut self,
        keys: KeysIndex,
        commitment: &CommitmentTx,
        index: usize,
        tx: &Transaction,
        input: usize,
    ) -> Result<Sig, Refusal> {
        self.channel(keys).sign_htlc(keys, commitment, index, tx, input)
    }

    fn sign_closing(&mut self, keys: KeysIndex, closing: &ClosingTx) -> Result<Sig, Refusal> {
        self.channel(keys).sign_closing(keys, closing)
    }

    fn sign_sweep(&mut self, keys: KeysIndex, sweep: &Sweep, sigs: &mut Vec<Sig>) -> Result<(), Refusal> {
        sigs.clear();
        for (input, claim) in sweep.claims.iter().enumerate() {
            sigs.push(self.channel(keys).sign_claim(claim, &sweep.tx, input)?);
        }
        Ok(())
    }

    fn sign_claim(&mut self, keys: KeysIndex, claim: &Claim, tx: &Transaction, input: usize) -> Result<Sig, Refusal> {
        self.channel(keys).sign_claim(claim, tx, input)
    }

    fn sign_announcement(&mut self, keys: KeysIndex, digest: &Message) -> Sig {
        self.channel(keys).sign_funding(digest)
    }

    fn sign_node(&mut self, digest: &Message) -> Sig {
        SECP256K1.sign_ecdsa(digest, &self.node).into()
    }

    fn sign_recoverable(&mut self, digest: &Message) -> ([u8; 64], u8) {
        let (id, bytes) = SECP256K1.sign_ecdsa_recoverable(digest, &self.node).serialize_compact();
        (bytes, id.to_i32() as u8)
    }

    fn wallet_accounts(&self) -> WalletAccounts {
        WalletAccounts { fingerprint: self.master, p2wpkh: self.p2wpkh.xpub(), p2tr: self.p2tr.xpub() }
    }

    fn sign_psbt(&mut self, psbt: &mut Psbt) -> Result<usize, Refusal> {
        Accounts { master: self.master, p2wpkh: &self.p2wpkh, p2tr: &self.p2tr }.sign(psbt)
    }

    fn draw(&mut self) -> [u8; 32] {
        self.draw.next()
    }
}
