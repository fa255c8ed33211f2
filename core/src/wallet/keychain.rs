//! Addresses: four chains of keys below the signer's two accounts, each derived some way ahead of its use.

use std::collections::BTreeMap;

use bincode::de::Decoder;
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bincode::{Decode, Encode};
use bitcoin::bip32::{ChildNumber, DerivationPath, Fingerprint, KeySource, Xpub};
use bitcoin::{CompressedPublicKey, Network, Script, ScriptBuf};
use secp256k1::{PublicKey, SECP256K1};

use super::rows::{AddressRow, place_key};
use crate::command::{Command, Sink, Watch};
use crate::signer::WalletAccounts;
use crate::store::{Row, RowError, Table};

/// How many scripts beyond the last one in use are watched: what a wallet that only has the seed searches by custom
/// (BIP 44, address gap limit).
pub const LOOKAHEAD: u32 = 20;
/// The same for change and money from channels: every channel holds a script of its own until it closes, and two that
/// share one could be told to be the same node's.
pub const CHANGE_LOOKAHEAD: u32 = 100;

/// A chain of addresses. The numbers are in rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
#[repr(u8)]
pub enum Keychain {
    /// Taproot, given to others (m/86'/coin'/0'/0).
    P2trReceive = 0,
    /// Taproot, for change and for money from channels (m/86'/coin'/0'/1).
    P2trChange = 1,
    /// Segregated witness version 0, given to others (m/84'/coin'/0'/0).
    P2wpkhReceive = 2,
    /// Segregated witness version 0, where another program used it for change (m/84'/coin'/0'/1).
    P2wpkhChange = 3,
}

impl Keychain {
    /// All of them, by their numbers.
    pub const ALL: [Keychain; 4] =
        [Keychain::P2trReceive, Keychain::P2trChange, Keychain::P2wpkhReceive, Keychain::P2wpkhChange];

    /// Is it taproot?
    pub fn is_p2tr(self) -> bool {
        matches!(self, Keychain::P2trReceive | Keychain::P2trChange)
    }

    /// BIP 44: 0 receives, 1 takes change.
    fn branch(self) -> u32 {
        match self {
            Keychain::P2trReceive | Keychain::P2wpkhReceive => 0,
            Keychain::P2trChange | Keychain::P2wpkhChange => 1,
        }
    }

    /// How far beyond the last address in use we look.
    fn lookahead(self) -> u32 {
        if self == Keychain::P2trChange { CHANGE_LOOKAHEAD } else { LOOKAHEAD }
    }

    /// BIP 84 or BIP 86.
    fn purpose(self) -> u32 {
        if self.is_p2tr() { 86 } else { 84 }
    }
}

/// Where an address stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub struct Place {
    /// On which chain.
    pub keychain: Keychain,
    /// Its number there.
    pub index: u32,
}

/// One chain.
#[derive(Debug, bincode::Encode, bincode::Decode)]
struct Chain {
    /// Extended key of the chain itself, so that an address is one derivation away.
    #[bincode(with_serde)]
    xpub: Xpub,
    /// Scripts from 0 on, some way past `issued`.
    #[bincode(with_serde)]
    scripts: Vec<ScriptBuf>,
    /// The first index that was never given out.
    issued: u32,
    /// The first index after the last one that was paid.
    used: u32,
    /// The next one for change.
    cursor: u32,
}

/// All chains, and which script is where.
#[derive(Debug)]
pub struct Keychains {
    fingerprint: Fingerprint,
    coin: u32,
    chains: [Chain; 4],
    places: BTreeMap<ScriptBuf, Place>,
}

impl Encode for Keychains {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        // Where a script stands is known from where it stands.
        let Keychains { fingerprint, coin, chains, places: _ } = self;
        fingerprint.to_bytes().encode(encoder)?;
        coin.encode(encoder)?;
        chains.encode(encoder)
    }
}

impl<Context> Decode<Context> for Keychains {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Keychains, DecodeError> {
        let fingerprint = Fingerprint::from(<[u8; 4]>::decode(decoder)?);
        let coin = u32::decode(decoder)?;
        let chains = <[Chain; 4]>::decode(decoder)?;
        let mut places = BTreeMap::new();
        for (keychain, chain) in Keychain::ALL.into_iter().zip(&chains) {
            let numbered = (0..).zip(&chain.scripts);
            places.extend(numbered.map(|(index, script)| (script.clone(), Place { keychain, index })));
        }
        Ok(Keychains { fingerprint, coin, chains, places })
    }
}

bincode::impl_borrow_decode!(Keychains);

fn derive(xpub: &Xpub, index: u32) -> PublicKey {
    let child = ChildNumber::Normal { index };
    xpub.derive_pub(SECP256K1, &[child]).expect("a normal index below 2^31 derives").public_key
}

fn script_of(keychain: Keychain, key: PublicKey) -> ScriptBuf {
    if keychain.is_p2tr() {
        ScriptBuf::new_p2tr(SECP256K1, key.x_only_public_key().0, None)
    } else {
        ScriptBuf::new_p2wpkh(&CompressedPublicKey(key).wpubkey_hash())
    }
}

impl Keychains {
    /// Chains of which nothing is in use.
    pub(super) fn new(accounts: &WalletAccounts, network: Network) -> Keychains {
        let chain = |keychain: Keychain| {
            let account = if keychain.is_p2tr() { &accounts.p2tr } else { &accounts.p2wpkh };
            let path = [ChildNumber::Normal { index: keychain.branch() }];
            let xpub = account.derive_pub(SECP256K1, &path).expect("a normal path derives");
            Chain { xpub, scripts: Vec::new(), issued: 0, used: 0, cursor: 0 }
        };
        let coin = u32::from(network != Network::Bitcoin);
        let chains = Keychain::ALL.map(chain);
        Keychains { fingerprint: accounts.fingerprint, coin, chains, places: BTreeMap::new() }
    }

    /// Takes in a row. Rows of one chain come in the order of their indexes, without gaps.
    pub(super) fn take(&mut self, row: &Row<'_>) -> Result<(), RowError> {
        let [keychain, index @ ..] = row.key_array::<5>()?;
        let bad_key = RowError::BadKey { table: Table::Address };
        let keychain = *Keychain::ALL.get(usize::from(keychain)).ok_or(bad_key.clone())?;
        let index = u32::from_be_bytes(index);
        let value: AddressRow = row.decode()?;
        let chain = &mut self.chains[keychain as usize];
        if index as usize != chain.scripts.len() {
            return Err(bad_key);
        }
        let script = ScriptBuf::from_bytes(value.script);
        self.places.insert(script.clone(), Place { keychain, index });
        chain.scripts.push(script);
        chain.issued = index + 1;
        if value.used {
            chain.used = index + 1;
        }
        Ok(())
    }

    /// After the rows: derives ahead on every chain.
    pub(super) fn finish(&mut self) {
        for keychain in Keychain::ALL {
            let chain = &mut self.chains[keychain as usize];
            chain.cursor = chain.issued;
            self.derive_ahead(keychain, &mut |_| {});
        }
    }

    fn derive_ahead(&mut self, keychain: Keychain, new: &mut dyn FnMut(&Script)) {
        let chain = &mut self.chains[keychain as usize];
        let end = chain.issued.saturating_add(keychain.lookahead());
        for index in chain.scripts.len() as u32..end {
            let script = script_of(keychain, derive(&chain.xpub, index));
            new(&script);
            self.places.insert(script.clone(), Place { keychain, index });
            chain.scripts.push(script);
        }
    }

    /// Gives out everything before `end`.
    fn issue_to(&mut self, keychain: Keychain, end: u32, out: &mut dyn Sink) {
        let chain = &mut self.chains[keychain as usize];
        let first = chain.issued;
        chain.issued = chain.issued.max(end);
        chain.cursor = chain.cursor.max(chain.issued);
        self.derive_ahead(keychain, &mut |script| out.emit(Command::Watch(Watch::Script(script))));
        for index in first..end {
            self.put(Place { keychain, index }, out);
        }
    }

    fn put(&self, place: Place, out: &mut dyn Sink) {
        let chain = &self.chains[place.keychain as usize];
        let script = chain.scripts[place.index as usize].to_bytes();
        // An unpaid address before one that was paid counts as used: what matters is where the last one stands.
        let row = AddressRow { script, used: place.index < chain.used };
        out.emit(Command::Put { table: Table::Address, key: place_key(place).as_slice(), value: &row });
    }

    /// An address that nobody has seen.
    pub(super) fn fresh(&mut self, keychain: Keychain, out: &mut dyn Sink) -> Place {
        let index = self.chains[keychain as usize].issued;
        self.issue_to(keychain, index + 1, out);
        Place { keychain, index }
    }

    /// An address for ourselves. Transactions that are never broadcast must not lead us further away from the last
    /// address in use than a search by the seed alone would go, so unpaid ones come round again.
    pub(super) fn internal(&mut self, out: &mut dyn Sink) -> Place {
        let keychain = Keychain::P2trChange;
        let chain = &mut self.chains[keychain as usize];
        if chain.cursor >= chain.used + CHANGE_LOOKAHEAD {
            chain.cursor = chain.used;
        }
        let index = chain.cursor;
        chain.cursor += 1;
        if index >= chain.issued {
            self.issue_to(keychain, index + 1, out);
        }
        Place { keychain, index }
    }

    /// An address was paid in a block. One that was never given out, by this store, moves the chain on.
    pub(super) fn paid(&mut self, place: Place, out: &mut dyn Sink) {
        let chain = &mut self.chains[place.keychain as usize];
        if place.index < chain.used {
            return;
        }
        chain.used = place.index + 1;
        chain.cursor = chain.cursor.max(chain.used);
        let issued_before = chain.issued;
        self.issue_to(place.keychain, place.index + 1, out);
        if place.index < issued_before {
            self.put(place, out);
        }
    }

    /// Where a script stands, if it is ours.
    pub fn place(&self, script: &Script) -> Option<Place> {
        self.places.get(script).copied()
    }

    /// The script of a place that was derived.
    pub fn script(&self, place: Place) -> &Script {
        &self.chains[place.keychain as usize].scripts[place.index as usize]
    }

    /// Is there such a place yet?
    pub(super) fn contains(&self, place: Place) -> bool {
        (place.index as usize) < self.chains[place.keychain as usize].scripts.len()
    }

    /// The key of a place, and how a signer finds it.
    pub fn origin(&self, place: Place) -> (PublicKey, KeySource) {
        let key = derive(&self.chains[place.keychain as usize].xpub, place.index);
        let path = [
            ChildNumber::Hardened { index: place.keychain.purpose() },
            ChildNumber::Hardened { index: self.coin },
            ChildNumber::Hardened { index: 0 },
            ChildNumber::Normal { index: place.keychain.branch() },
            ChildNumber::Normal { index: place.index },
        ];
        (key, (self.fingerprint, DerivationPath::from(path.as_slice())))
    }

    /// Watches every script.
    pub(super) fn watch(&self, out: &mut dyn Sink) {
        for script in self.chains.iter().flat_map(|chain| &chain.scripts) {
            out.emit(Command::Watch(Watch::Script(script)));
        }
    }
}
