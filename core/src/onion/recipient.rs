//! What a receiver tells each hop of its blinded path (BOLT 4, route blinding: `encrypted_data_tlv`), once decrypted.

use super::payload::Forward;
use crate::amount::Msat;
use crate::ids::{BlockHeight, NodeId, Point, ShortChannelId};
use crate::wire::codec::{read_tu32, read_tu64};
use crate::wire::tlv::{Record, Stream};

/// Types of the records.
mod kind {
    pub(super) const PADDING: u64 = 1;
    pub(super) const SHORT_CHANNEL_ID: u64 = 2;
    pub(super) const NEXT_NODE_ID: u64 = 4;
    pub(super) const PATH_ID: u64 = 6;
    pub(super) const NEXT_PATH_KEY_OVERRIDE: u64 = 8;
    pub(super) const PAYMENT_RELAY: u64 = 10;
    pub(super) const PAYMENT_CONSTRAINTS: u64 = 12;
    pub(super) const ALLOWED_FEATURES: u64 = 14;
}

/// What a hop takes for forwarding; it makes good for the amounts that a blinded payload does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaymentRelay {
    /// Blocks between incoming and outgoing expiry.
    pub cltv_expiry_delta: u16,
    /// Fee in millionths of what goes out.
    pub fee_proportional_millionths: u32,
    /// Fee for each payment.
    pub fee_base_msat: u32,
}

/// Which payments the receiver made the path for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaymentConstraints {
    /// The greatest expiry that may come in.
    pub max_cltv_expiry: BlockHeight,
    /// The least amount that may come in.
    pub htlc_minimum_msat: Msat,
}

/// The decrypted data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecipientData<'a> {
    /// Over which channel to go on.
    pub short_channel_id: Option<ShortChannelId>,
    /// To which node to go on.
    pub next_node_id: Option<NodeId>,
    /// The receiver's own name for the path.
    pub path_id: Option<&'a [u8]>,
    /// The path key for the next hop, where another path begins.
    pub next_path_key_override: Option<Point>,
    /// Compulsory where a payment goes on.
    pub payment_relay: Option<PaymentRelay>,
    /// Compulsory for payments.
    pub payment_constraints: Option<PaymentConstraints>,
    /// Features that the path needs, as they came.
    pub allowed_features: &'a [u8],
}

/// The data is no stream, has an even type that is not known, or a value that does not have its type's form. Which it is
/// nobody may learn: the one answer is `invalid_onion_blinding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// Why a payment does not go on. The one answer is `invalid_onion_blinding`, so this is for the log alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRelay {
    /// A record that forwarding needs is not there.
    Missing {
        /// Its type.
        kind: u64,
    },
    /// Both ways to name the next hop, or the name of a path of ours in the middle of one.
    Contradiction,
    /// Below the `htlc_minimum_msat` that the receiver set.
    BelowMinimum {
        /// What came in.
        amount: Msat,
        /// What should have.
        minimum: Msat,
    },
    /// Above the `max_cltv_expiry` that the receiver set: the path is not valid any more.
    Expired {
        /// The incoming expiry.
        cltv_expiry: BlockHeight,
        /// The greatest that is allowed.
        maximum: BlockHeight,
    },
    /// Features that nobody knows.
    Features,
    /// Less comes in than the hop itself takes.
    Fee,
}

impl<'a> RecipientData<'a> {
    /// Reads the stream.
    pub fn decode(stream: &'a [u8]) -> Result<RecipientData<'a>, Unreadable> {
        let mut data = RecipientData::default();
        for record in Stream::new(stream) {
            data.set(&record.map_err(|_| Unreadable)?).ok_or(Unreadable)?;
        }
        Ok(data)
    }

    fn set(&mut self, record: &Record<'a>) -> Option<()> {
        let value = record.value;
        match record.kind {
            kind::SHORT_CHANNEL_ID => {
                self.short_channel_id = Some(ShortChannelId(u64::from_be_bytes(value.try_into().ok()?)));
            }
            kind::NEXT_NODE_ID => self.next_node_id = Some(NodeId(value.try_into().ok()?)),
            kind::PATH_ID => self.path_id = Some(value),
            kind::NEXT_PATH_KEY_OVERRIDE => self.next_path_key_override = Some(Point(value.try_into().ok()?)),
            kind::PAYMENT_RELAY => {
                let (delta, rest) = value.split_first_chunk()?;
                let (proportional, base) = rest.split_first_chunk()?;
                self.payment_relay = Some(PaymentRelay {
                    cltv_expiry_delta: u16::from_be_bytes(*delta),
                    fee_proportional_millionths: u32::from_be_bytes(*proportional),
                    fee_base_msat: read_tu32(base)?,
                });
            }
            kind::PAYMENT_CONSTRAINTS => {
                let (expiry, minimum) = value.split_first_chunk()?;
                self.payment_constraints = Some(PaymentConstraints {
                    max_cltv_expiry: BlockHeight(u32::from_be_bytes(*expiry)),
                    htlc_minimum_msat: Msat(read_tu64(minimum)?),
                });
            }
            kind::ALLOWED_FEATURES => self.allowed_features = value,
            kind::PADDING => {}
            unknown if unknown % 2 == 0 => return None,
            _ => {}
        }
        Some(())
    }

    /// Checks what the receiver demands of a payment at this hop (BOLT 4, payload format).
    pub fn allows(&self, amount: Msat, cltv_expiry: BlockHeight) -> Result<(), NoRelay> {
        // No feature is defined for blinded paths: a bit that is set, odd or even, is one that we don't know.
        if self.allowed_features.iter().any(|byte| *byte != 0) {
            return Err(NoRelay::Features);
        }
        let missing = NoRelay::Missing { kind: kind::PAYMENT_CONSTRAINTS };
        let PaymentConstraints { max_cltv_expiry: maximum, htlc_minimum_msat: minimum } =
            self.payment_constraints.ok_or(missing)?;
        if cltv_expiry > maximum {
            return Err(NoRelay::Expired { cltv_expiry, maximum });
        }
        if amount < minimum {
            return Err(NoRelay::BelowMinimum { amount, minimum });
        }
        Ok(())
    }

    /// What to offer to the next hop for an HTLC that came in with this amount and expiry. Where `next_node_id` names
    /// it, the channel's name is `None`.
    pub fn relay(&self, amount: Msat, cltv_expiry: BlockHeight) -> Result<Relayed, NoRelay> {
        self.allows(amount, cltv_expiry)?;
        let relay = self.payment_relay.ok_or(NoRelay::Missing { kind: kind::PAYMENT_RELAY })?;
        let to = match (self.short_channel_id, self.next_node_id) {
            _ if self.path_id.is_some() => return Err(NoRelay::Contradiction),
            (Some(scid), None) => NextHop::Channel(scid),
            (None, Some(node)) => NextHop::Node(node),
            (Some(_), Some(_)) => return Err(NoRelay::Contradiction),
            (None, None) => return Err(NoRelay::Missing { kind: kind::SHORT_CHANNEL_ID }),
        };
        let amt_to_forward = relay.amt_to_forward(amount).ok_or(NoRelay::Fee)?;
        let delta = u32::from(relay.cltv_expiry_delta);
        let outgoing_cltv_value = BlockHeight(cltv_expiry.0.checked_sub(delta).ok_or(NoRelay::Fee)?);
        Ok(Relayed { to, amt_to_forward, outgoing_cltv_value })
    }
}

/// Who comes next on a blinded path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextHop {
    /// The far end of this channel.
    Channel(ShortChannelId),
    /// This node.
    Node(NodeId),
}

/// What goes on over a blinded path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relayed {
    /// To whom.
    pub to: NextHop,
    /// How much to offer there.
    pub amt_to_forward: Msat,
    /// The expiry to offer there.
    pub outgoing_cltv_value: BlockHeight,
}

impl Relayed {
    /// The same as an instruction to forward, where a channel is named.
    pub fn forward(&self) -> Option<Forward> {
        let NextHop::Channel(short_channel_id) = self.to else { return None };
        let Relayed { amt_to_forward, outgoing_cltv_value, .. } = *self;
        Some(Forward { short_channel_id, amt_to_forward, outgoing_cltv_value })
    }
}

const MILLION: u128 = 1_000_000;

impl PaymentRelay {
    /// What remains of `amount` once our fee is taken: rounded up, as BOLT 4 writes it, so that no later hop falls
    /// short. `None` when the fee takes all.
    pub fn amt_to_forward(&self, amount: Msat) -> Option<Msat> {
        let rest = u128::from(amount.0.checked_sub(u64::from(self.fee_base_msat))?);
        let divisor = MILLION + u128::from(self.fee_proportional_millionths);
        // Not above `amount`, so it fits.
        Some(Msat((rest * MILLION).div_ceil(divisor) as u64))
    }

    /// What a payer must be told of a whole path (BOLT 4, route blinding): the fees of all hops, first to last, as if
    /// one hop took them, each rounded up. `None` when they do not fit.
    pub fn aggregate(hops: &[PaymentRelay]) -> Option<PaymentRelay> {
        let mut all = PaymentRelay { cltv_expiry_delta: 0, fee_proportional_millionths: 0, fee_base_msat: 0 };
        for hop in hops.iter().rev() {
            let (base, proportional) = (u128::from(all.fee_base_msat), u128::from(all.fee_proportional_millionths));
            let (own_base, own) = (u128::from(hop.fee_base_msat), u128::from(hop.fee_proportional_millionths));
            let base = (own_base * MILLION + base * (MILLION + own)).div_ceil(MILLION);
            let proportional = ((own + proportional) * MILLION + own * proportional).div_ceil(MILLION);
            all = PaymentRelay {
                cltv_expiry_delta: all.cltv_expiry_delta.checked_add(hop.cltv_expiry_delta)?,
                fee_proportional_millionths: u32::try_from(proportional).ok()?,
                fee_base_msat: u32::try_from(base).ok()?,
            };
        }
        Some(all)
    }
}
