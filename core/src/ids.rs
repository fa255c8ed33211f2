//! Names of things: one type for each, so that no two can be confused.

use std::fmt;
use std::str::FromStr;

use bitcoin::hashes::{Hash, sha256};

/// Bytes that print as lower-case hex and parse back from it.
macro_rules! bytes {
    ($($(#[$doc:meta])* $name:ident [$len:literal])*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
        pub struct $name(pub [u8; $len]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl FromStr for $name {
            type Err = HexError;
            fn from_str(text: &str) -> Result<$name, HexError> {
                hex_array(text).map($name)
            }
        }
        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
    )*};
}

bytes! {
    /// A node's public key (compressed point). Not checked to lie on the curve: see [`Point::parse`].
    NodeId[33]
    /// A compressed curve point as it travels. Not checked to lie on the curve until [`Point::parse`].
    Point[33]
    /// A 64-byte compact ECDSA signature as it travels: r, then s.
    Sig[64]
    /// A channel: the funding outpoint (BOLT 2, `channel_id`), or a temporary one before it exists.
    ChannelId[32]
    /// SHA-256 of a preimage.
    PaymentHash[32]
    /// BOLT 11 `s`: proves that a payer saw the invoice.
    PaymentSecret[32]
    /// The genesis hash of a chain, in wire (internal) order.
    ChainHash[32]
    /// A per-commitment secret that its owner has given away.
    CommitmentSecret[32]
}

/// The preimage of a payment hash: proof of payment, so it prints only when asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub struct Preimage(pub [u8; 32]);

/// Text that is not the hex of the expected number of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HexError {
    /// How many bytes the text should hold.
    pub expected_bytes: usize,
}

impl fmt::Display for HexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {} hexadecimal digits", self.expected_bytes * 2)
    }
}

impl std::error::Error for HexError {}

/// Parses exactly `N` bytes of hex, either case.
pub fn hex_array<const N: usize>(text: &str) -> Result<[u8; N], HexError> {
    let digits = text.as_bytes();
    let mut bytes = [0; N];
    if digits.len() != 2 * N {
        return Err(HexError { expected_bytes: N });
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |c: u8| (c as char).to_digit(16).ok_or(HexError { expected_bytes: N });
        *byte = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
    }
    Ok(bytes)
}

impl Point {
    /// The point itself, if the bytes are one. Costs a square root: keep the result.
    pub fn parse(&self) -> Result<secp256k1::PublicKey, secp256k1::Error> {
        secp256k1::PublicKey::from_slice(&self.0)
    }
}

impl From<secp256k1::PublicKey> for Point {
    fn from(key: secp256k1::PublicKey) -> Point {
        Point(key.serialize())
    }
}

impl NodeId {
    /// The public key itself, if the bytes are one.
    pub fn parse(&self) -> Result<secp256k1::PublicKey, secp256k1::Error> {
        secp256k1::PublicKey::from_slice(&self.0)
    }
}

impl From<secp256k1::PublicKey> for NodeId {
    fn from(key: secp256k1::PublicKey) -> NodeId {
        NodeId(key.serialize())
    }
}

impl Sig {
    /// The signature, if r and s are in range and s is low: a high s would not relay (BOLT 2 demands low-S).
    pub fn parse(&self) -> Result<secp256k1::ecdsa::Signature, secp256k1::Error> {
        let signature = secp256k1::ecdsa::Signature::from_compact(&self.0)?;
        let mut low = signature;
        low.normalize_s();
        if low == signature { Ok(signature) } else { Err(secp256k1::Error::InvalidSignature) }
    }
}

impl From<secp256k1::ecdsa::Signature> for Sig {
    fn from(signature: secp256k1::ecdsa::Signature) -> Sig {
        Sig(signature.serialize_compact())
    }
}

impl ChannelId {
    /// The all-zero id: an `error` or `warning` about the whole connection.
    pub const ALL: ChannelId = ChannelId([0; 32]);

    /// BOLT 2: the funding txid with its last two bytes XORed with the big-endian output index.
    pub fn from_funding(outpoint: bitcoin::OutPoint) -> ChannelId {
        let mut id = outpoint.txid.to_byte_array();
        let vout = (outpoint.vout as u16).to_be_bytes();
        id[30] ^= vout[0];
        id[31] ^= vout[1];
        ChannelId(id)
    }
}

impl Preimage {
    /// Its SHA-256.
    pub fn payment_hash(&self) -> PaymentHash {
        PaymentHash(sha256::Hash::hash(&self.0).to_byte_array())
    }
}

impl fmt::Debug for Preimage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "preimage of {}", self.payment_hash())
    }
}

/// Where a funding output is in the chain: block height, transaction index, output index (BOLT 7).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub struct ShortChannelId(pub u64);

impl ShortChannelId {
    /// Packs its three parts; height and index keep their low 24 bits.
    pub fn new(height: u32, index: u32, vout: u16) -> ShortChannelId {
        ShortChannelId(u64::from(height & 0xff_ffff) << 40 | u64::from(index & 0xff_ffff) << 16 | u64::from(vout))
    }

    /// Height of the block that holds the funding transaction.
    pub fn height(self) -> BlockHeight {
        BlockHeight((self.0 >> 40) as u32)
    }
}

impl fmt::Display for ShortChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.0 >> 40, self.0 >> 16 & 0xff_ffff, self.0 & 0xffff)
    }
}

impl fmt::Debug for ShortChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ShortChannelId {
    type Err = ScidError;
    fn from_str(text: &str) -> Result<ShortChannelId, ScidError> {
        let mut parts = text.split('x').map(|part| part.parse::<u32>().map_err(|_| ScidError));
        let mut next = || parts.next().unwrap_or(Err(ScidError));
        let (height, index, vout) = (next()?, next()?, next()?);
        let vout = u16::try_from(vout).map_err(|_| ScidError)?;
        if parts.next().is_some() || height > 0xff_ffff || index > 0xff_ffff {
            return Err(ScidError);
        }
        Ok(ShortChannelId::new(height, index, vout))
    }
}

/// Text that is not `BLOCKxTXxOUTPUT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScidError;

impl fmt::Display for ScidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a short channel id such as 103x1x0")
    }
}

impl std::error::Error for ScidError {}

/// Height of a block, or an absolute lock time in blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub struct BlockHeight(pub u32);

impl BlockHeight {
    /// The height `blocks` later.
    pub fn plus(self, blocks: u32) -> BlockHeight {
        BlockHeight(self.0.saturating_add(blocks))
    }

    /// How many blocks `self` lies above `earlier`; zero when it does not.
    pub fn since(self, earlier: BlockHeight) -> u32 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for BlockHeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Plain numbered handles.
macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident($inner:ty))*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    )*};
}

numbers! {
    /// An attempt to connect that the core asked for.
    DialId(u64)
    /// A request of a control client; the reply carries the same number.
    RequestId(u64)
    /// A read of stored history; the answer carries the same number.
    QueryId(u64)
    /// The number that all keys of one channel are derived from. Never used twice.
    KeysIndex(u64)
    /// The store's own name of a channel: short, and the same before and after funding.
    ChannelKey(u32)
    /// The id of an HTLC among those offered by one side of one channel.
    HtlcId(u64)
}

/// A connection. Slots of the reactor's slab are used again, so a slot alone would name the wrong peer later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub struct ConnId {
    /// Index in the reactor's slab.
    pub slot: u32,
    /// How often a connection was made since start.
    pub generation: u32,
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}
