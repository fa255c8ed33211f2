//! Messages that a bad peer makes up: of the right form, so that the node has to think about what they say.

use leyden_core::ids::{ChannelId, CommitmentSecret, PaymentHash, Preimage};
use leyden_core::onion::ONION_SIZE;
use leyden_core::wire::{self, Cursor, Message};

use super::{Saying, Which};

/// No channel is called that.
const NOBODYS: ChannelId = ChannelId([0x5a; 32]);

/// The message in bytes. `own` is the id of the channel that both have, and `point` one that is on the curve.
pub(super) fn bytes(saying: &Saying, own: Option<ChannelId>, point: [u8; 33]) -> Option<Vec<u8>> {
    let of = |which: &Which| match which {
        Which::Own => own,
        Which::Unknown => Some(NOBODYS),
        Which::All => Some(ChannelId::ALL),
    };
    let zeros = vec![0; usize::from(u16::MAX)];
    let onion = [0; ONION_SIZE];
    let message = match saying {
        Saying::Ping { num_pong_bytes, ignored } => {
            Message::Ping(wire::Ping { num_pong_bytes: *num_pong_bytes, ignored: &zeros[..usize::from(*ignored)] })
        }
        Saying::Pong { ignored } => Message::Pong(wire::Pong { ignored: &zeros[..usize::from(*ignored)] }),
        Saying::Error(which, text) => Message::Error(wire::Error { channel_id: of(which)?, data: text.as_bytes() }),
        Saying::Warning(which, text) => {
            Message::Warning(wire::Warning { channel_id: of(which)?, data: text.as_bytes() })
        }
        Saying::Reestablish(which, next_commitment_number, next_revocation_number) => {
            Message::ChannelReestablish(wire::ChannelReestablish {
                channel_id: of(which)?,
                next_commitment_number: *next_commitment_number,
                next_revocation_number: *next_revocation_number,
                your_last_per_commitment_secret: [0; 32],
                my_current_per_commitment_point: point,
                next_funding: None,
                my_current_funding_locked: None,
            })
        }
        Saying::Fee(which, feerate_per_kw) => {
            Message::UpdateFee(wire::UpdateFee { channel_id: of(which)?, feerate_per_kw: *feerate_per_kw })
        }
        Saying::Add(which, id, amount_msat) => Message::UpdateAddHtlc(wire::UpdateAddHtlc {
            channel_id: of(which)?,
            id: *id,
            amount_msat: *amount_msat,
            payment_hash: PaymentHash([7; 32]),
            cltv_expiry: 500,
            onion_routing_packet: &onion,
            blinded_path: None,
        }),
        Saying::Fulfill(which, id) => Message::UpdateFulfillHtlc(wire::UpdateFulfillHtlc {
            channel_id: of(which)?,
            id: *id,
            payment_preimage: Preimage([7; 32]),
            attribution_data: None,
        }),
        Saying::Revoke(which) => Message::RevokeAndAck(wire::RevokeAndAck {
            channel_id: of(which)?,
            per_commitment_secret: CommitmentSecret([7; 32]),
            next_per_commitment_point: leyden_core::ids::Point(point),
        }),
    };
    let mut bytes = vec![0; message.encoded_len()];
    message.encode(&mut Cursor::new(&mut bytes)).expect("the buffer is as long as the message says");
    Some(bytes)
}
