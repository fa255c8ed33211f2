//! Coin choice under random coins, amounts and feerates.

use super::select::*;
use super::*;

fn candidates(seeds: &[(u32, bool)]) -> Vec<Candidate> {
    let one = |&(amount, taproot): &(u32, bool)| Candidate {
        amount: Sat(u64::from(amount % 2_000_000)),
        weight: if taproot { 230 } else { 272 },
    };
    seeds.iter().map(one).collect()
}

fn goal(amount: u32, feerate: u16) -> Goal {
    let feerate_per_kw = 253 + u32::from(feerate);
    let change = Some(fund::change_terms(feerate_per_kw, 1));
    Goal { feerate_per_kw, outputs: Sat(330 + u64::from(amount % 5_000_000)), base_weight: 38 + 176, change }
}

#[test]
fn inputs_pay_outputs_and_fee_exactly() {
    fn prop(seeds: Vec<(u32, bool)>, amount: u32, feerate: u16) -> bool {
        let (coins, goal) = (candidates(&seeds), goal(amount, feerate));
        let terms = goal.change.expect("there may be change");
        let held = |chosen: &[usize]| chosen.iter().map(|&index| coins[index].amount).sum::<Sat>();
        match select(&coins, &goal) {
            Ok(Selection { chosen, change, fee, weight }) => {
                let inputs: u64 = chosen.iter().map(|&index| coins[index].weight).sum();
                let expected = goal.base_weight + inputs + change.map_or(0, |_| terms.weight);
                let balanced = held(&chosen) == goal.outputs + fee + change.unwrap_or(Sat::ZERO);
                let exact = fee_ceil(goal.feerate_per_kw, weight);
                let cost = fee_ceil(goal.feerate_per_kw, terms.weight) + terms.minimum;
                let fair = match change {
                    // To the satoshi.
                    Some(change) => fee == exact && change >= Sat(330),
                    // Never more than change would have cost, with a satoshi for rounding.
                    None => fee >= exact && fee <= exact + cost + Sat(1),
                };
                let distinct = chosen.windows(2).all(|pair| pair[0] < pair[1]);
                balanced && fair && distinct && weight == expected
            }
            Err(Shortage { needed, available }) => {
                // All coins that are worth their input do not suffice.
                let order = usable(&coins, goal.feerate_per_kw);
                available == held(&order) && needed > available && settle(&coins, order, &goal).is_err()
            }
        }
    }
    quickcheck::QuickCheck::new()
        .rng(quickcheck::Gen::new(40))
        .tests(2_000)
        .quickcheck(prop as fn(Vec<(u32, bool)>, u32, u16) -> bool);
}

#[test]
fn coins_that_fit_need_no_change() {
    let goal = goal(1_000_000, 0);
    let coins: Vec<Candidate> = [3_000_000, 700_000, 300_700, 299_000, 50_000]
        .map(|amount| Candidate { amount: Sat(amount), weight: 230 })
        .to_vec();
    let selection = select(&coins, &goal).expect("enough");
    assert_eq!(selection.chosen, [1, 2]);
    assert_eq!(selection.change, None);
}

#[test]
fn a_wallet_of_crumbs_is_searched_in_bounded_time() {
    let coins: Vec<Candidate> = (0..5_000).map(|at| Candidate { amount: Sat(1_000 + at % 7), weight: 230 }).collect();
    let selection = select(&coins, &goal(700_000, 0)).expect("enough");
    assert!(selection.chosen.len() > 700 && selection.chosen.len() <= INPUTS_MAX);
    let shortage = select(&coins, &goal(4_000_000, 0)).expect_err("more than one transaction can carry");
    assert!(shortage.available < Sat(1_010_000));
}
