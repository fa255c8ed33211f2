//! Deadlines by name: setting one again moves it, so that none fires twice.

use std::collections::{BTreeMap, BTreeSet};

use bincode::de::{BorrowDecoder, Decoder};
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bincode::{BorrowDecode, Decode, Encode};

use crate::clock::Mono;

/// At most one deadline per key.
///
/// Invariant: `queue` holds exactly the pairs of `at`, the other way round.
#[derive(Clone, Debug)]
pub struct Timers<K> {
    at: BTreeMap<K, Mono>,
    queue: BTreeSet<(Mono, K)>,
}

impl<K> Default for Timers<K> {
    fn default() -> Timers<K> {
        Timers { at: BTreeMap::new(), queue: BTreeSet::new() }
    }
}

impl<K: Ord + Encode> Encode for Timers<K> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        let Timers { at, queue: _ } = self;
        at.encode(encoder)
    }
}

impl<K: Ord + Copy + Decode<Context>, Context> Decode<Context> for Timers<K> {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Timers<K>, DecodeError> {
        let at = BTreeMap::<K, Mono>::decode(decoder)?;
        let queue = at.iter().map(|(key, at)| (*at, *key)).collect();
        Ok(Timers { at, queue })
    }
}

/// What the derive of a struct with timers asks for.
impl<'de, K: Ord + Copy + Decode<Context>, Context> BorrowDecode<'de, Context> for Timers<K> {
    fn borrow_decode<D: BorrowDecoder<'de, Context = Context>>(decoder: &mut D) -> Result<Timers<K>, DecodeError> {
        Decode::decode(decoder)
    }
}

impl<K: Ord + Copy> Timers<K> {
    /// Sets or moves the deadline of `key`.
    pub fn set(&mut self, key: K, at: Mono) {
        if let Some(old) = self.at.insert(key, at) {
            self.queue.remove(&(old, key));
        }
        self.queue.insert((at, key));
    }

    /// Forgets the deadline of `key`, if it has one.
    pub fn clear(&mut self, key: K) {
        if let Some(old) = self.at.remove(&key) {
            self.queue.remove(&(old, key));
        }
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<Mono> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Takes one deadline that has come.
    pub fn pop_due(&mut self, now: Mono) -> Option<K> {
        let &(at, key) = self.queue.first()?;
        if at > now {
            return None;
        }
        self.queue.pop_first();
        self.at.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_moves_and_fires_once() {
        let mut timers = Timers::default();
        timers.set('a', Mono(10));
        timers.set('b', Mono(20));
        timers.set('a', Mono(30));
        assert_eq!(timers.next(), Some(Mono(20)));
        assert_eq!(timers.pop_due(Mono(19)), None);
        assert_eq!(timers.pop_due(Mono(30)), Some('b'));
        assert_eq!(timers.pop_due(Mono(30)), Some('a'));
        assert_eq!(timers.pop_due(Mono(30)), None);
    }

    #[test]
    fn a_cleared_deadline_never_comes() {
        let mut timers = Timers::default();
        timers.set(1, Mono(10));
        timers.clear(1);
        timers.clear(2);
        assert_eq!(timers.next(), None);
        assert_eq!(timers.pop_due(Mono(100)), None);
    }
}
