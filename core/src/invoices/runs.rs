//! A set of numbers that are given out one after another, of which few are taken back: it holds the runs between those.

use std::collections::BTreeMap;

/// The set. No two runs touch.
#[derive(Clone, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(super) struct Runs {
    /// The last number of each run, by its first.
    last: BTreeMap<u64, u64>,
}

impl Runs {
    /// The run that a number is in, or the one before it.
    fn at(&self, number: u64) -> Option<(u64, u64)> {
        self.last.range(..=number).next_back().map(|(first, last)| (*first, *last))
    }

    pub(super) fn insert(&mut self, number: u64) {
        let before = self.at(number);
        if before.is_some_and(|(_, last)| number <= last) {
            return;
        }
        let first = match before {
            Some((first, last)) if last + 1 == number => first,
            _ => number,
        };
        let last = number.checked_add(1).and_then(|next| self.last.remove(&next)).unwrap_or(number);
        self.last.insert(first, last);
    }

    pub(super) fn remove(&mut self, number: u64) {
        let Some((first, last)) = self.at(number).filter(|(_, last)| number <= *last) else { return };
        self.last.remove(&first);
        if first < number {
            self.last.insert(first, number - 1);
        }
        if number < last {
            self.last.insert(number + 1, last);
        }
    }

    pub(super) fn last(&self) -> Option<u64> {
        self.last.last_key_value().map(|(_, last)| *last)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use quickcheck::QuickCheck;

    use super::*;

    #[test]
    fn runs_are_a_set() {
        fn property(numbers: Vec<u8>, gone: Vec<u8>) -> bool {
            let (mut runs, mut set) = (Runs::default(), BTreeSet::new());
            let all =
                numbers.iter().map(|number| (number % 32, true)).chain(gone.iter().map(|number| (number % 32, false)));
            for (number, given) in all.chain(numbers.iter().take(5).map(|number| (number % 32, true))) {
                let number = u64::from(number);
                if given {
                    runs.insert(number);
                    set.insert(number);
                } else {
                    runs.remove(number);
                    set.remove(&number);
                }
                let flat: Vec<u64> = runs.last.iter().flat_map(|(first, last)| *first..=*last).collect();
                let touch = runs.last.values().any(|last| runs.last.contains_key(&(last + 1)));
                if touch || !flat.iter().eq(set.iter()) || runs.last() != set.last().copied() {
                    return false;
                }
            }
            true
        }
        QuickCheck::new().tests(1_000).quickcheck(property as fn(Vec<u8>, Vec<u8>) -> bool);
    }

    #[test]
    fn numbers_in_a_row_are_one_run() {
        let mut runs = Runs::default();
        (1..1_000).rev().for_each(|number| runs.insert(number));
        assert_eq!(runs.last.len(), 1);
        runs.insert(u64::MAX);
        assert_eq!((runs.last(), runs.last.len()), (Some(u64::MAX), 2));
    }
}
