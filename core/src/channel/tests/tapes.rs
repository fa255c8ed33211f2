//! Two real ends over random tapes: adds, removals, fees, losses of the connection, restarts from rows.

use std::collections::BTreeMap;

use super::pair::{ALL_FEATURES, End, Pair, preimage, verify};
use crate::amount::Msat;
use crate::channel::{CloseTerms, Detail, Effect, OpenFeatures, Origin};
use crate::side::Side;

/// How parts of payments ended, by who paid.
#[derive(Default)]
struct Ledgers {
    begun: BTreeMap<u64, &'static str>,
    fulfilled: BTreeMap<u64, usize>,
    ended: BTreeMap<u64, usize>,
    incoming: BTreeMap<(&'static str, u64), usize>,
}

fn part_of(origin: &Origin) -> u64 {
    match origin {
        Origin::Payment { part } => *part,
        Origin::Forward { .. } => panic!("there are no forwards here"),
    }
}

impl Ledgers {
    fn take(&mut self, end: &mut End) {
        for effect in std::mem::take(&mut end.effects) {
            match effect {
                Effect::Fulfilled { origin, .. } => *self.fulfilled.entry(part_of(&origin)).or_default() += 1,
                Effect::Cleared { origin, .. } | Effect::Failed { origin, .. } | Effect::Dropped { origin, .. } => {
                    *self.ended.entry(part_of(&origin)).or_default() += 1;
                }
                Effect::Incoming { id, .. } => *self.incoming.entry((end.name, id.0)).or_default() += 1,
                _ => {}
            }
        }
    }

    /// A restart: parts that are in no row were never signed.
    fn forget_unsigned(&mut self, end: &End) {
        let alive: Vec<u64> = end
            .channel()
            .ledger()
            .of_side(Side::Local)
            .map(|(_, htlc)| match &htlc.detail {
                Detail::Offered { origin, .. } => part_of(origin),
                Detail::Received { .. } => panic!("it is ours"),
            })
            .collect();
        for (part, payer) in &self.begun {
            if *payer == end.name && !alive.contains(part) {
                self.ended.entry(*part).or_insert(1);
            }
        }
    }
}

fn act(end: &mut End, ledgers: &mut Ledgers, op: u8, arg: u8) {
    match op {
        0..=3 => {
            let part = ledgers.begun.len() as u64;
            // From dust on both commitments to a tenth of the channel.
            let amount = match arg % 4 {
                0 => Msat(1 + u64::from(arg) * 1_000),
                1 => Msat(340_000 + u64::from(arg) * 500),
                2 => Msat(2_000_000 + u64::from(arg / 8) * 1_000_000),
                _ if arg < 128 => Msat(u64::from(arg) * 400_000 + 1),
                // All that may be sent: what one side allows itself, the other must not refuse.
                _ => end.channel().spendable_msat(&end.config),
            };
            if end.offer(part, amount).is_ok() {
                ledgers.begun.insert(part, end.name);
            }
        }
        4..=6 => resolve(end, arg),
        7 => {
            let _ = end.act(|channel, cx| channel.update_fee(cx, 253 + u32::from(arg) * 20));
        }
        _ => end.flush(),
    }
}

/// Ends one HTLC that waits for it.
fn resolve(end: &mut End, arg: u8) {
    let waiting = end.waiting();
    if waiting.is_empty() {
        return;
    }
    let (id, hash) = waiting[usize::from(arg) % waiting.len()];
    let known = (0..2_000).map(preimage).find(|known| known.payment_hash() == hash).expect("the test knows all");
    let done = match arg % 3 {
        0 => end.act(|channel, cx| channel.fail_htlc(cx, id, &[arg; 292])),
        1 if arg & 1 == 0 => end.act(|channel, cx| channel.fail_malformed_htlc(cx, id, [1; 32], 5)),
        _ => end.act(|channel, cx| channel.fulfill_htlc(cx, id, known)),
    };
    done.expect("it waited for this");
}

fn run(tape: &[(u8, u8)], features: OpenFeatures, resolve_all: bool) {
    let mut pair = Pair::open(features, Msat(400_000_000));
    let mut ledgers = Ledgers::default();
    for &(op, arg) in tape {
        let end = if op & 1 == 0 { &mut pair.alice } else { &mut pair.bob };
        match op / 2 {
            0..=45 => act(end, &mut ledgers, op / 2 % 12, arg),
            46..=123 => {
                let to = if op & 1 == 0 { Side::Local } else { Side::Remote };
                for _ in 0..=arg % 3 {
                    pair.deliver(to);
                }
                // A node ends its turns.
                let end = if op & 1 == 0 { &mut pair.alice } else { &mut pair.bob };
                if arg < 200 {
                    end.flush();
                }
            }
            124..=125 => pair.reconnect(),
            _ => {
                pair.disconnect();
                let end = if op & 1 == 0 { &mut pair.alice } else { &mut pair.bob };
                end.restart();
                ledgers.take(&mut pair.alice);
                ledgers.take(&mut pair.bob);
                let end = if op & 1 == 0 { &pair.alice } else { &pair.bob };
                ledgers.forget_unsigned(end);
                pair.connect();
            }
        }
        ledgers.take(&mut pair.alice);
        ledgers.take(&mut pair.bob);
    }
    // Some tapes end by agreement, begun while all this is still on its way.
    let closes = resolve_all && tape.len().is_multiple_of(2);
    if closes {
        let end = if tape.len().is_multiple_of(4) { &mut pair.alice } else { &mut pair.bob };
        let terms = CloseTerms { feerate_range_per_kw: None };
        end.act(|channel, cx| channel.shutdown(cx, None, terms)).expect("it is open");
    }
    pair.drain();
    while resolve_all && pair.alice.waiting().len() + pair.bob.waiting().len() > 0 {
        for end in [&mut pair.alice, &mut pair.bob] {
            resolve(end, 5);
            resolve(end, 3);
        }
        pair.drain();
    }
    ledgers.take(&mut pair.alice);
    ledgers.take(&mut pair.bob);
    pair.assert_agreement();
    for end in [&pair.alice, &pair.bob] {
        assert!(!end.channel().ledger().awaiting_revoke());
        if resolve_all {
            assert!(end.channel().ledger().is_quiet(), "{} is quiet", end.name);
        }
    }
    if resolve_all {
        for part in ledgers.begun.keys() {
            assert_eq!(ledgers.ended.get(part), Some(&1), "part {part} ended once");
        }
    }
    assert!(ledgers.incoming.values().all(|times| *times == 1), "an HTLC comes in once");
    if closes {
        let tx = &pair.alice.world.broadcast[0];
        assert_eq!(tx, &pair.bob.world.broadcast[0]);
        verify(&pair.funding.output[1], tx, 0);
    } else {
        pair.assert_publishable();
    }
}

fn tapes(tests: u64, features: OpenFeatures, resolve_all: bool) {
    // A tape of a fixed length from a counter: quickcheck's sizes make most tapes short.
    for seed in 0..tests {
        let mut rng =
            crate::rng::Rng::new([seed as u8; 32]).fork(&format!("{seed} {resolve_all} {}", features.anchors));
        let length = 50 + rng.below(450) as usize;
        let mut bytes = vec![0; 2 * length];
        rng.fill(&mut bytes);
        let tape: Vec<(u8, u8)> = bytes.chunks(2).map(|pair| (pair[0], pair[1])).collect();
        run(&tape, features, resolve_all);
    }
}

#[test]
fn every_tape_ends_in_agreement_with_anchors() {
    tapes(60, ALL_FEATURES, true);
}

#[test]
fn every_tape_ends_in_agreement_without_anchors() {
    tapes(40, OpenFeatures { anchors: false, ..ALL_FEATURES }, true);
}

#[test]
fn what_is_pending_can_be_taken_on_chain() {
    tapes(30, ALL_FEATURES, false);
    tapes(20, OpenFeatures { anchors: false, ..ALL_FEATURES }, false);
}

#[test]
fn prop_random_tapes_shrink() {
    fn prop(tape: Vec<(u8, u8)>) -> bool {
        run(&tape, ALL_FEATURES, true);
        true
    }
    quickcheck::QuickCheck::new().rng(quickcheck::Gen::new(60)).tests(60).quickcheck(prop as fn(Vec<(u8, u8)>) -> bool);
}
