//! Routes: who forwards what, to whom, until when; and the onion that says so.

use crate::amount::Msat;
use crate::ids::{BlockHeight, NodeId, PaymentSecret, ShortChannelId};
use crate::invoice::RouteHintHop;

/// One hop: the channel to take and what arrives at its far end.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Hop {
    /// The node at the far end.
    pub node_id: NodeId,
    /// The channel to it. The first hop's may be any name of one of our channels.
    pub short_channel_id: ShortChannelId,
    /// What that node receives.
    pub amount: Msat,
    /// The absolute lock time of the HTLC that reaches it.
    pub cltv_expiry: BlockHeight,
}

/// What the last node needs to know besides the amount.
#[derive(Clone, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct FinalData {
    /// BOLT 11 `s`; absent only where a caller of `sendpay` gave none.
    pub payment_secret: Option<PaymentSecret>,
    /// The sum of all parts.
    pub total: Msat,
    /// BOLT 11 `m`.
    pub metadata: Option<Vec<u8>>,
}

/// Fee a node takes for forwarding `amount` (BOLT 7, HTLC fees): on the amount that leaves it.
pub fn forwarding_fee(amount: Msat, base_msat: u32, proportional_millionths: u32) -> Msat {
    let proportional = u128::from(amount.0) * u128::from(proportional_millionths) / 1_000_000;
    Msat(u64::try_from(proportional).unwrap_or(u64::MAX)).saturating_add(Msat(u64::from(base_msat)))
}

/// Extends a route backwards over the hops of a hint: what must reach the hint's first node so that `amount` reaches
/// `payee`. The first hop (our channel to the hint's first node) comes without a channel: the caller picks one.
/// `None` when the amounts or lock times do not fit their types.
pub fn along_hint(hint: &[RouteHintHop], payee: NodeId, amount: Msat, cltv_expiry: BlockHeight) -> Option<Vec<Hop>> {
    let mut hops = Vec::with_capacity(hint.len() + 1);
    let (mut node_id, mut amount, mut cltv_expiry) = (payee, amount, cltv_expiry);
    for hop in hint.iter().rev() {
        hops.push(Hop { node_id, short_channel_id: hop.short_channel_id, amount, cltv_expiry });
        node_id = hop.node_id;
        amount = amount.checked_add(forwarding_fee(amount, hop.fee_base_msat, hop.fee_proportional_millionths))?;
        cltv_expiry = BlockHeight(cltv_expiry.0.checked_add(u32::from(hop.cltv_expiry_delta))?);
    }
    hops.push(Hop { node_id, short_channel_id: ShortChannelId(0), amount, cltv_expiry });
    hops.reverse();
    Some(hops)
}

/// Divides `amount` over channels that can carry `capacities`, largest first, using as few as possible. Returns for
/// each capacity what it carries; `None` when all together are too small. No part is zero but where unused.
pub fn split(amount: Msat, capacities: &[Msat], minimum: Msat) -> Option<Vec<Msat>> {
    let mut order: Vec<usize> = (0..capacities.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse((capacities[index], index)));
    let mut parts = vec![Msat::ZERO; capacities.len()];
    let mut left = amount;
    for (position, &index) in order.iter().enumerate() {
        if left == Msat::ZERO {
            break;
        }
        let mut part = left.min(capacities[index]);
        // The rest must not be smaller than what a channel takes.
        let rest = left - part;
        if rest > Msat::ZERO && rest < minimum {
            part = part.saturating_sub(minimum - rest);
        }
        if part < minimum && position > 0 {
            return None;
        }
        parts[index] = part;
        left -= part;
    }
    (left == Msat::ZERO).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(byte: u8) -> NodeId {
        NodeId([byte; 33])
    }

    #[test]
    fn a_hint_adds_its_fees_and_delays_backwards() {
        let hint = [
            RouteHintHop {
                node_id: node(2),
                short_channel_id: ShortChannelId(20),
                fee_base_msat: 1,
                fee_proportional_millionths: 20,
                cltv_expiry_delta: 3,
            },
            RouteHintHop {
                node_id: node(3),
                short_channel_id: ShortChannelId(30),
                fee_base_msat: 2,
                fee_proportional_millionths: 30,
                cltv_expiry_delta: 4,
            },
        ];
        let hops = along_hint(&hint, node(9), Msat(1_000_000), BlockHeight(100)).expect("fits");
        let seen: Vec<_> =
            hops.iter().map(|hop| (hop.node_id, hop.short_channel_id.0, hop.amount.0, hop.cltv_expiry.0)).collect();
        // 1,000,000 + 2 + 30 = 1,000,032 reaches node 3; + 1 + 20 (rounded down) reaches node 2.
        assert_eq!(seen, [(node(2), 0, 1_000_053, 107), (node(3), 20, 1_000_032, 104), (node(9), 30, 1_000_000, 100),]);
    }

    #[test]
    fn an_absurd_hint_is_no_route() {
        let hint = [RouteHintHop {
            node_id: node(2),
            short_channel_id: ShortChannelId(20),
            fee_base_msat: u32::MAX,
            fee_proportional_millionths: u32::MAX,
            cltv_expiry_delta: u16::MAX,
        }];
        assert_eq!(along_hint(&hint, node(9), Msat(u64::MAX / 2), BlockHeight(100)), None);
    }

    #[test]
    fn the_split_uses_few_channels_and_adds_up() {
        let capacities = [Msat(300), Msat(1_000), Msat(500)];
        assert_eq!(split(Msat(900), &capacities, Msat(1)), Some(vec![Msat(0), Msat(900), Msat(0)]));
        assert_eq!(split(Msat(1_600), &capacities, Msat(1)), Some(vec![Msat(100), Msat(1_000), Msat(500)]));
        assert_eq!(split(Msat(1_801), &capacities, Msat(1)), None);
        // A rest of 20 would be below the minimum of 50: the part before it gives way.
        assert_eq!(split(Msat(1_020), &capacities[1..], Msat(50)), Some(vec![Msat(970), Msat(50)]));
    }

    quickcheck::quickcheck! {
        fn what_is_split_adds_up_and_fits(amount: u32, capacities: Vec<u32>) -> bool {
            let capacities: Vec<Msat> = capacities.into_iter().map(|c| Msat(u64::from(c))).collect();
            let amount = Msat(u64::from(amount));
            match split(amount, &capacities, Msat(1)) {
                Some(parts) => {
                    parts.iter().copied().sum::<Msat>() == amount
                        && parts.iter().zip(&capacities).all(|(part, capacity)| part <= capacity)
                }
                None => capacities.iter().copied().sum::<Msat>() < amount,
            }
        }
    }
}
