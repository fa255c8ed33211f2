//! Signing for the watch-only wallet: key paths inside our two accounts, nothing else.

use bitcoin::bip32::{ChildNumber, DerivationPath, Fingerprint, KeySource, Xpriv};
use bitcoin::hashes::Hash;
use bitcoin::key::TapTweak;
use bitcoin::psbt::Input;
use bitcoin::sighash::{Prevouts, SighashCache};
use bitcoin::{EcdsaSighashType, Psbt, PublicKey, ScriptBuf, TapSighashType, TxOut, XOnlyPublicKey, ecdsa, taproot};
use secp256k1::{Keypair, Message, SECP256K1, SecretKey};

use super::Refusal;

/// A key below another one.
pub(super) fn derive(parent: &Xpriv, path: &[ChildNumber]) -> Xpriv {
    parent.derive_priv(SECP256K1, &path).expect("a path of a few steps stays below the depth limit")
}

/// One of the wallet's accounts: its key and the path that leads to it.
pub(super) struct Account {
    key: Xpriv,
    path: [ChildNumber; 3],
}

impl Drop for Account {
    fn drop(&mut self) {
        self.key.private_key.non_secure_erase();
    }
}

impl Account {
    /// The account m/purpose'/coin'/0'.
    pub(super) fn new(master: &Xpriv, purpose: u32, coin: ChildNumber) -> Account {
        let hardened = |index| ChildNumber::Hardened { index };
        let path = [hardened(purpose), coin, hardened(0)];
        Account { key: derive(master, &path), path }
    }

    pub(super) fn xpub(&self) -> bitcoin::bip32::Xpub {
        bitcoin::bip32::Xpub::from_priv(SECP256K1, &self.key)
    }

    /// The secret key at an origin, if that is an address of this account: account / receive or change / index.
    fn secret(&self, master: Fingerprint, (fingerprint, path): &KeySource) -> Option<SecretKey> {
        let path = <DerivationPath as AsRef<[ChildNumber]>>::as_ref(path);
        match path.strip_prefix(&self.path)? {
            address @ [ChildNumber::Normal { index: 0 | 1 }, ChildNumber::Normal { .. }] if *fingerprint == master => {
                Some(derive(&self.key, address).private_key)
            }
            _ => None,
        }
    }
}

/// Both accounts.
pub(super) struct Accounts<'a> {
    pub(super) master: Fingerprint,
    pub(super) p2wpkh: &'a Account,
    pub(super) p2tr: &'a Account,
}

/// How an input is signed.
enum Plan {
    P2wpkh(PublicKey, SecretKey),
    P2tr(SecretKey),
}

impl Accounts<'_> {
    /// The output that `index` spends. A full previous transaction, where given, must agree: an amount that lies would
    /// make us pay it as a fee.
    fn prevout(psbt: &Psbt, index: usize) -> Option<TxOut> {
        let outpoint = psbt.unsigned_tx.input[index].previous_output;
        let input = &psbt.inputs[index];
        let full = match &input.non_witness_utxo {
            Some(tx) if tx.compute_txid() == outpoint.txid => Some(tx.output.get(outpoint.vout as usize)?.clone()),
            Some(_) => return None,
            None => None,
        };
        match (full, &input.witness_utxo) {
            (Some(full), Some(witness)) => (full == *witness).then_some(full),
            (full, witness) => full.or_else(|| witness.clone()),
        }
    }

    fn plan(&self, input: &Input, prevout: &TxOut) -> Option<Plan> {
        if prevout.script_pubkey.is_p2wpkh() {
            return input.bip32_derivation.iter().find_map(|(key, origin)| {
                let secret = self.p2wpkh.secret(self.master, origin)?;
                let key = PublicKey::new(*key);
                let fits = secret.public_key(SECP256K1) == key.inner
                    && ScriptBuf::new_p2wpkh(&key.wpubkey_hash().ok()?) == prevout.script_pubkey;
                fits.then_some(Plan::P2wpkh(key, secret))
            });
        }
        input.tap_key_origins.iter().find_map(|(key, (leaves, origin))| {
            let secret = self.p2tr.secret(self.master, origin)?;
            let own: XOnlyPublicKey = secret.x_only_public_key(SECP256K1).0;
            let fits =
                own == *key && leaves.is_empty() && ScriptBuf::new_p2tr(SECP256K1, own, None) == prevout.script_pubkey;
            fits.then_some(Plan::P2tr(secret))
        })
    }

    /// Signs what is ours with `SIGHASH_ALL` (taproot: default). Taproot signs all previous outputs, so all must be there.
    pub(super) fn sign(&self, psbt: &mut Psbt) -> Result<usize, Refusal> {
        let prevouts: Vec<Option<TxOut>> =
            (0..psbt.unsigned_tx.input.len()).map(|index| Accounts::prevout(psbt, index)).collect();
        let mut cache = SighashCache::new(psbt.unsigned_tx.clone());
        let mut signed = 0;
        for (index, input) in psbt.inputs.iter_mut().enumerate() {
            let refusal = Refusal::Psbt { input: index };
            let Some(prevout) = &prevouts[index] else {
                let claims_ours = input.bip32_derivation.values().any(|origin| origin.0 == self.master)
                    || input.tap_key_origins.values().any(|(_, origin)| origin.0 == self.master);
                if claims_ours { return Err(refusal) } else { continue }
            };
            match self.plan(input, prevout) {
                None => continue,
                Some(Plan::P2wpkh(key, mut secret)) => {
                    let sighash_type = EcdsaSighashType::All;
                    let digest = cache
                        .p2wpkh_signature_hash(index, &prevout.script_pubkey, prevout.value, sighash_type)
                        .map_err(|_| refusal)?;
                    let digest = Message::from_digest(digest.to_byte_array());
                    let signature = SECP256K1.sign_ecdsa(&digest, &secret);
                    secret.non_secure_erase();
                    input.partial_sigs.insert(key, ecdsa::Signature { signature, sighash_type });
                }
                Some(Plan::P2tr(mut secret)) => {
                    let all: Option<Vec<&TxOut>> = prevouts.iter().map(Option::as_ref).collect();
                    let all = all.ok_or(refusal)?;
                    let sighash_type = TapSighashType::Default;
                    let digest = cache
                        .taproot_key_spend_signature_hash(index, &Prevouts::All(&all), sighash_type)
                        .map_err(|_| refusal)?;
                    let digest = Message::from_digest(digest.to_byte_array());
                    let mut pair = Keypair::from_secret_key(SECP256K1, &secret).tap_tweak(SECP256K1, None).to_keypair();
                    let signature = SECP256K1.sign_schnorr_no_aux_rand(&digest, &pair);
                    secret.non_secure_erase();
                    pair.non_secure_erase();
                    input.tap_key_sig = Some(taproot::Signature { signature, sighash_type });
                }
            }
            signed += 1;
        }
        Ok(signed)
    }
}
