//! Keyed randomness: every choice that nothing else fixes is a function of (seed, domain, who, how often).
//!
//! A generator that is read in sequence would reshuffle everything behind the first difference; with keys, taking one
//! fault out of a story leaves all other choices as they were. That is what makes a story shrink.

/// What a choice is about. Choices of different domains never influence each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// How much longer than usual a message takes.
    Jitter = 1,
    /// Into how many pieces bytes arrive.
    Pieces = 2,
    /// The secrets of handshakes.
    Ephemeral = 3,
    /// Which options a run has.
    Swarm = 4,
    /// Who is connected to whom.
    Topology = 5,
    /// Who pays whom, when and how much.
    Traffic = 6,
    /// What goes wrong.
    Faults = 7,
    /// What bad peers do.
    Habits = 8,
}

/// The source of all choices of a world.
#[derive(Clone, Copy, Debug)]
pub struct Draw {
    seed: u64,
}

/// One round of a mixing function without structure that anybody could meet (splitmix64's finaliser).
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Draw {
    /// From a seed.
    pub fn new(seed: u64) -> Draw {
        Draw { seed }
    }

    /// The `count`th choice of `who` in a domain: any 64 bits.
    pub fn bits(&self, domain: Domain, who: u64, count: u64) -> u64 {
        let golden = 0x9e37_79b9_7f4a_7c15_u64;
        let mut state = mix(self.seed.wrapping_add(golden));
        for part in [domain as u64, who, count] {
            state = mix(state ^ part.wrapping_mul(golden).wrapping_add(golden));
        }
        state
    }

    /// The same, below a bound that is not 0.
    pub fn below(&self, domain: Domain, who: u64, count: u64, bound: u64) -> u64 {
        assert!(bound > 0, "nothing is below 0");
        ((u128::from(self.bits(domain, who, count)) * u128::from(bound)) >> 64) as u64
    }

    /// Thirty-two bytes.
    pub fn bytes(&self, domain: Domain, who: u64, count: u64) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (part, chunk) in (0..).zip(bytes.chunks_exact_mut(8)) {
            chunk.copy_from_slice(&self.bits(domain, who, count.wrapping_mul(4).wrapping_add(part)).to_be_bytes());
        }
        bytes
    }

    /// The choices of one domain and one chooser, in sequence.
    pub fn stream(&self, domain: Domain, who: u64) -> Stream {
        Stream { draw: *self, domain, who, count: 0 }
    }
}

/// Choices in sequence, for whoever makes a plan before anything happens.
#[derive(Clone, Debug)]
pub struct Stream {
    draw: Draw,
    domain: Domain,
    who: u64,
    count: u64,
}

impl Stream {
    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.count += 1;
        self.draw.bits(self.domain, self.who, self.count)
    }

    /// The next number below a bound that is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.count += 1;
        self.draw.below(self.domain, self.who, self.count, bound)
    }

    /// From `low` up to and with `high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True in `percent` of all cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_do_not_depend_on_each_other() {
        let draw = Draw::new(7);
        assert_eq!(draw.bits(Domain::Jitter, 1, 2), Draw::new(7).bits(Domain::Jitter, 1, 2));
        let all = [
            draw.bits(Domain::Jitter, 1, 2),
            draw.bits(Domain::Jitter, 2, 1),
            draw.bits(Domain::Pieces, 1, 2),
            Draw::new(8).bits(Domain::Jitter, 1, 2),
        ];
        for (index, bits) in all.iter().enumerate() {
            assert!(!all[..index].contains(bits));
        }
    }

    #[test]
    fn choices_are_spread_evenly() {
        let mut stream = Draw::new(1).stream(Domain::Traffic, 0);
        let mut counts = [0u32; 10];
        for _ in 0..10_000 {
            counts[stream.below(10) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (900..1_100).contains(count)), "{counts:?}");
    }
}
