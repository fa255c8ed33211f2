//! Which coins pay: pure arithmetic. First a search for coins that fit so well that no change is needed, then the
//! largest first, with change.

use crate::amount::Sat;

/// No transaction of ours has more inputs: 1,000 of P2WPKH weigh 272,000, well below the relay limit of 400,000.
pub const INPUTS_MAX: usize = 1_000;
/// How long the search without change may take.
const SEARCH_STEPS_MAX: usize = 20_000;

/// A coin that may be spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What it holds.
    pub amount: Sat,
    /// Weight of an input that spends it, witness included.
    pub weight: u64,
}

/// What change costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeTerms {
    /// Weight of the output.
    pub weight: u64,
    /// Below this it is not worth its while.
    pub minimum: Sat,
}

/// What the coins must pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Goal {
    /// Satoshi per 1,000 weight units.
    pub feerate_per_kw: u32,
    /// The sum of the outputs.
    pub outputs: Sat,
    /// Weight of everything but inputs and change; the count of inputs taken as one byte.
    pub base_weight: u64,
    /// `None`: whatever is too much is not given back.
    pub change: Option<ChangeTerms>,
}

/// Coins that pay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Their indexes among the candidates, ascending.
    pub chosen: Vec<usize>,
    /// What comes back.
    pub change: Option<Sat>,
    /// What the transaction pays.
    pub fee: Sat,
    /// What it weighs.
    pub weight: u64,
}

/// The coins do not pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// Outputs and fee.
    pub needed: Sat,
    /// What all usable coins hold.
    pub available: Sat,
}

/// The fee at a feerate, rounded up: never below the rate.
pub fn fee_ceil(feerate_per_kw: u32, weight: u64) -> Sat {
    Sat(u64::from(feerate_per_kw).saturating_mul(weight).div_ceil(1000))
}

/// Weight of all inputs, with what a longer count of them adds.
fn inputs_weight(candidates: &[Candidate], chosen: &[usize]) -> u64 {
    let longer_count = if chosen.len() < 253 { 0 } else { 8 };
    chosen.iter().map(|&index| candidates[index].weight).sum::<u64>() + longer_count
}

/// What comes of spending exactly these.
pub fn settle(candidates: &[Candidate], mut chosen: Vec<usize>, goal: &Goal) -> Result<Selection, Shortage> {
    chosen.sort_unstable();
    let held: Sat = chosen.iter().map(|&index| candidates[index].amount).sum();
    let weight = goal.base_weight + inputs_weight(candidates, &chosen);
    let needed = goal.outputs + fee_ceil(goal.feerate_per_kw, weight);
    let Some(excess) = held.checked_sub(needed) else { return Err(Shortage { needed, available: held }) };
    if let Some(terms) = goal.change {
        let with_change = weight + terms.weight;
        let fee = fee_ceil(goal.feerate_per_kw, with_change);
        let change = held.saturating_sub(goal.outputs + fee);
        if change >= terms.minimum {
            return Ok(Selection { chosen, change: Some(change), fee, weight: with_change });
        }
    }
    let fee = if goal.change.is_some() { held - goal.outputs } else { needed - goal.outputs };
    debug_assert!(goal.change.is_none() || fee.0 >= excess.0);
    Ok(Selection { chosen, change: None, fee, weight })
}

/// What a coin adds after what its own input costs, in thousandths of a satoshi.
fn effective(candidate: &Candidate, feerate_per_kw: u32) -> i128 {
    i128::from(candidate.amount.0) * 1000 - i128::from(feerate_per_kw) * i128::from(candidate.weight)
}

/// The coins that are worth their own input, the most valuable first, at most [`INPUTS_MAX`].
pub fn usable(candidates: &[Candidate], feerate_per_kw: u32) -> Vec<usize> {
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.retain(|&index| effective(&candidates[index], feerate_per_kw) > 0);
    order.sort_by_key(|&index| std::cmp::Reverse(effective(&candidates[index], feerate_per_kw)));
    order.truncate(INPUTS_MAX);
    order
}

/// Chooses coins.
pub fn select(candidates: &[Candidate], goal: &Goal) -> Result<Selection, Shortage> {
    let order = usable(candidates, goal.feerate_per_kw);
    if let Some(selection) = without_change(candidates, &order, goal) {
        return Ok(selection);
    }
    let available: Sat = order.iter().map(|&index| candidates[index].amount).sum();
    let mut chosen = Vec::new();
    let mut held = Sat::ZERO;
    let mut needed = goal.outputs + fee_ceil(goal.feerate_per_kw, goal.base_weight);
    for &index in &order {
        chosen.push(index);
        held += candidates[index].amount;
        // Cheap, and never too strict: the fee only grows.
        if held < needed {
            continue;
        }
        match settle(candidates, chosen.clone(), goal) {
            Ok(selection) => return Ok(selection),
            Err(shortage) => needed = shortage.needed,
        }
    }
    let weight = goal.base_weight + inputs_weight(candidates, &chosen);
    Err(Shortage { needed: goal.outputs + fee_ceil(goal.feerate_per_kw, weight), available })
}

/// Branch and bound: coins whose sum is at most as far above the goal as change would cost. `order` descends.
fn without_change(candidates: &[Candidate], order: &[usize], goal: &Goal) -> Option<Selection> {
    let terms = goal.change?;
    let rate = i128::from(goal.feerate_per_kw);
    let low = i128::from(goal.outputs.0) * 1000 + rate * i128::from(goal.base_weight);
    let high = low + rate * i128::from(terms.weight) + i128::from(terms.minimum.0) * 1000;
    let values: Vec<i128> = order.iter().map(|&index| effective(&candidates[index], goal.feerate_per_kw)).collect();
    // after[i]: what is left to add from position i on.
    let mut after = vec![0; values.len() + 1];
    for position in (0..values.len()).rev() {
        after[position] = after[position + 1] + values[position];
    }
    let (mut taken, mut sum, mut position) = (Vec::<usize>::new(), 0_i128, 0);
    let mut best: Option<(i128, Vec<usize>)> = None;
    for _ in 0..SEARCH_STEPS_MAX {
        let hit = sum >= low && sum < high;
        if hit && best.as_ref().is_none_or(|(excess, _)| sum - low < *excess) {
            best = Some((sum - low, taken.clone()));
        }
        if !hit && sum < low && sum + after[position] >= low {
            taken.push(position);
            sum += values[position];
            position += 1;
            continue;
        }
        let Some(last) = taken.pop() else { break };
        sum -= values[last];
        position = last + 1;
    }
    let chosen = best?.1.into_iter().map(|position| order[position]).collect();
    // Rounding and a longer count of inputs can still spoil it.
    settle(candidates, chosen, goal).ok().filter(|selection| selection.change.is_none())
}
