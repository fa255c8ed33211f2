//! What is signed and what is summed of gossip (BOLT 7): taken from the message as it travels, bytes that nobody knows
//! included, so that nothing is encoded again to verify it.

use bitcoin::hashes::{Hash, sha256d};
use secp256k1::Message as Digest;

use super::codec::{Cursor, Full};
use super::message::{ChannelAnnouncement, ChannelUpdate, Message, NodeAnnouncement};

/// Bytes of a message's type.
const TYPE: usize = 2;
/// Bytes of a signature.
const SIG: usize = 64;
/// Where a `channel_update`'s timestamp stands: behind type, signature, `chain_hash` and `short_channel_id`.
const TIMESTAMP: std::ops::Range<usize> = TYPE + SIG + 32 + 8..TYPE + SIG + 32 + 8 + 4;

/// What the signatures of a gossip message sign: everything behind them, hashed twice. `frame` is the message with its
/// type; `None` if it is not signed gossip, or shorter than its signatures.
pub fn digest(frame: &[u8]) -> Option<Digest> {
    let (message_type, _) = frame.split_first_chunk()?;
    let signatures = match u16::from_be_bytes(*message_type) {
        ChannelAnnouncement::TYPE => 4,
        NodeAnnouncement::TYPE | ChannelUpdate::TYPE => 1,
        _ => return None,
    };
    let signed = frame.get(TYPE + signatures * SIG..)?;
    Some(Digest::from_digest(sha256d::Hash::hash(signed).to_byte_array()))
}

/// The checksum of a `channel_update` in `reply_channel_range`: CRC32C of it without signature and timestamp. `frame` is
/// the message with its type; `None` if it is none, or cut short.
pub fn checksum(frame: &[u8]) -> Option<u32> {
    let (message_type, _) = frame.split_first_chunk()?;
    if u16::from_be_bytes(*message_type) != ChannelUpdate::TYPE {
        return None;
    }
    let before = frame.get(TYPE + SIG..TIMESTAMP.start)?;
    let after = frame.get(TIMESTAMP.end..)?;
    Some(crc32c::crc32c_append(crc32c::crc32c(before), after))
}

/// Bytes of our own `channel_update`: it has nothing that the specification does not know.
const UPDATE_SIZE: usize = 138;

impl ChannelUpdate<'_> {
    /// What its signature signs.
    pub fn digest(&self) -> Digest {
        let message = Message::ChannelUpdate(self.clone());
        let mut known = [0; UPDATE_SIZE];
        let mut out = Cursor::new(&mut known);
        // An update with more behind it is rare, and the only one to cost an allocation.
        match message.encode(&mut out) {
            Ok(()) => digest(&known),
            Err(Full) => {
                let mut bytes = vec![0; message.encoded_len()];
                message.encode(&mut Cursor::new(&mut bytes)).expect("it has the length that it says");
                digest(&bytes)
            }
        }
        .expect("an update has its signature")
    }
}
