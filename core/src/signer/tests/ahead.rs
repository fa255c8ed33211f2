//! What is derived ahead is what would have been derived.

use super::*;
use crate::limits::KEYS_AHEAD_MAX;

const SCOPES: [KeyScope; 2] = [KeyScope::Balances, KeyScope::BalancesAndHtlcs];

fn keys_of(a: &mut KeysSigner, pair: &PerSide<Basepoints>, of: CommitmentOf, scope: KeyScope) -> CommitmentKeys {
    a.commitment_keys(KEYS, of, &pair.remote, scope)
}

#[test]
fn keys_made_ahead_are_those_that_are_made_when_asked() {
    let Pair { mut a, mut b, basepoints, .. } = Pair::new();
    for (number, scope) in (0..20u64).zip(SCOPES.into_iter().cycle()) {
        let point = b.per_commitment_point(KEYS, number);
        for of in [CommitmentOf::Local(number), CommitmentOf::Remote(point)] {
            let late = keys_of(&mut signer(1), &basepoints, of, scope);
            a.expect(KEYS, of, &basepoints.remote);
            while a.can_work_ahead() {
                a.work_ahead();
            }
            assert_eq!(keys_of(&mut a, &basepoints, of, scope), late, "{of:?}, {scope:?}");
        }
    }
}

#[test]
fn what_nobody_takes_makes_way() {
    let Pair { mut a, basepoints, .. } = Pair::new();
    let wanted = 3 * KEYS_AHEAD_MAX as u64;
    (0..wanted).for_each(|number| a.expect(KEYS, CommitmentOf::Local(number), &basepoints.remote));
    let mut pieces = 0;
    while a.can_work_ahead() {
        a.work_ahead();
        pieces += 1;
    }
    assert_eq!(pieces, KEYS_AHEAD_MAX);
    // The same once more is known already.
    a.expect(KEYS, CommitmentOf::Local(wanted - 1), &basepoints.remote);
    assert!(!a.can_work_ahead());
}

#[test]
fn a_channel_that_is_over_leaves_nothing_to_do() {
    let Pair { mut a, basepoints, .. } = Pair::new();
    a.expect(KEYS, CommitmentOf::Local(1), &basepoints.remote);
    assert!(a.can_work_ahead());
    a.forget(KEYS);
    assert!(!a.can_work_ahead());
}
