//! Topologically restricted transactions (BIP 431): those of version 3.

use std::collections::BTreeSet;

use bitcoin::{Transaction, Txid};

use super::accept::Candidate;
use super::pool::Pool;
use super::refused::{Refused, TrucViolation};

const VERSION: i32 = 3;
const MAX_VSIZE: u64 = 10_000;
const MAX_CHILD_VSIZE: u64 = 1_000;
/// A parent and a child, and nobody else.
const MAX_RELATIVES: u64 = 2;

pub(super) fn is_truc(tx: &Transaction) -> bool {
    tx.version.0 == VERSION
}

fn violation(violation: TrucViolation) -> Refused {
    Refused::Truc(violation)
}

/// Parents and children are both restricted or neither.
fn check_inheritance(tx: &Transaction, parent: &Transaction, parent_txid: Txid) -> Result<(), Refused> {
    match (is_truc(tx), is_truc(parent)) {
        (true, false) => Err(violation(TrucViolation::SpendsOther(parent_txid))),
        (false, true) => Err(violation(TrucViolation::SpentByOther(parent_txid))),
        _ => Ok(()),
    }
}

/// The rules for one transaction and its relatives in the mempool. Where they are broken only because the parent has
/// another child, that child may be evicted for this one; then it is the answer.
pub(super) fn check_single(
    pool: &Pool,
    tx: &Transaction,
    vsize: u64,
    parents: &BTreeSet<Txid>,
    ancestors: &BTreeSet<Txid>,
    conflicts: &BTreeSet<Txid>,
    may_evict: bool,
) -> Result<Option<Txid>, Refused> {
    for parent in parents {
        check_inheritance(tx, &pool.entry(parent).tx, *parent)?;
    }
    if !is_truc(tx) {
        return Ok(None);
    }
    if vsize > MAX_VSIZE {
        return Err(violation(TrucViolation::TooLarge { vsize }));
    }
    let count = ancestors.len() as u64 + 1;
    if count > MAX_RELATIVES {
        return Err(violation(TrucViolation::Ancestors { count }));
    }
    let Some(parent) = ancestors.first() else {
        return Ok(None);
    };
    if vsize > MAX_CHILD_VSIZE {
        return Err(violation(TrucViolation::ChildTooLarge { vsize }));
    }
    let entry = pool.entry(parent);
    let is_replaced = entry.children.iter().any(|child| conflicts.contains(child));
    if entry.down.count < MAX_RELATIVES || is_replaced {
        return Ok(None);
    }
    // After a reorganisation there may be more relatives than there should; then nothing is evicted.
    let sibling = entry
        .children
        .first()
        .filter(|child| may_evict && entry.down.count == MAX_RELATIVES && pool.entry(child).up.count == MAX_RELATIVES);
    match sibling {
        Some(sibling) => Ok(Some(*sibling)),
        None => Err(violation(TrucViolation::Descendants { parent: *parent })),
    }
}

/// The rules for one transaction of a package, its relatives in the package and in the mempool taken together.
pub(super) fn check_in_package(pool: &Pool, candidate: &Candidate, package: &[Candidate]) -> Result<(), Refused> {
    let Candidate { ref tx, vsize, ref ancestors, .. } = *candidate;
    let sources: BTreeSet<Txid> = tx.input.iter().map(|input| input.previous_output.txid).collect();
    let parents: Vec<&Candidate> = package.iter().filter(|other| sources.contains(&other.txid)).collect();
    for parent in &parents {
        check_inheritance(tx, &parent.tx, parent.txid)?;
    }
    if !is_truc(tx) {
        return Ok(());
    }
    if vsize > MAX_VSIZE {
        return Err(violation(TrucViolation::TooLarge { vsize }));
    }
    let count = (ancestors.len() + parents.len()) as u64 + 1;
    let is_grandchild = parents.iter().any(|parent| !parent.ancestors.is_empty());
    if count > MAX_RELATIVES || is_grandchild {
        return Err(violation(TrucViolation::Ancestors { count }));
    }
    if count == 1 {
        return Ok(());
    }
    if vsize > MAX_CHILD_VSIZE {
        return Err(violation(TrucViolation::ChildTooLarge { vsize }));
    }
    let parent = parents.first().map(|parent| parent.txid).or(ancestors.first().copied());
    let parent = parent.expect("there are two relatives");
    let has_other = package.iter().any(|other| {
        other.txid != candidate.txid && other.tx.input.iter().any(|input| input.previous_output.txid == parent)
    });
    let has_known = pool.get(&parent).is_some_and(|entry| entry.down.count >= MAX_RELATIVES);
    let has_own_child =
        package.iter().any(|other| other.tx.input.iter().any(|input| input.previous_output.txid == candidate.txid));
    if has_other || has_known || has_own_child {
        return Err(violation(TrucViolation::Descendants { parent }));
    }
    Ok(())
}
