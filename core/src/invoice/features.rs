//! The features of an invoice (BOLT 9, context 9).

/// A set of feature bits: big-endian bytes without leading zeros, as BOLT 1 sends features, too.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Features(Vec<u8>);

impl Features {
    /// From big-endian bytes.
    pub fn from_bytes(bytes: &[u8]) -> Features {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        Features(bytes[zeros..].to_vec())
    }

    /// From bit numbers.
    pub fn from_bits(bits: &[u16]) -> Features {
        let len = bits.iter().map(|bit| usize::from(*bit) / 8 + 1).max().unwrap_or(0);
        let mut bytes = vec![0; len];
        for bit in bits {
            bytes[len - 1 - usize::from(*bit) / 8] |= 1 << (bit % 8);
        }
        Features(bytes)
    }

    /// Big-endian bytes without leading zeros.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// How many bits it takes to write them.
    pub fn bit_len(&self) -> usize {
        self.0.first().map_or(0, |first| self.0.len() * 8 - first.leading_zeros() as usize)
    }

    /// Whether a bit is set.
    pub fn has(&self, bit: u16) -> bool {
        let byte = self.0.len().checked_sub(1 + usize::from(bit) / 8).map_or(0, |index| self.0[index]);
        byte >> (bit % 8) & 1 == 1
    }

    /// Whether a feature is there, compulsory or optional: either bit of the pair.
    pub fn supports(&self, bit: u16) -> bool {
        self.has(bit & !1) || self.has(bit | 1)
    }

    /// The bits that are set, ascending.
    pub fn bits(&self) -> impl Iterator<Item = u16> {
        (0..self.bit_len()).map(|bit| bit as u16).filter(|bit| self.has(*bit))
    }

    /// The first compulsory feature that is not among the known ones (either bit of a pair): BOLT 11 forbids to pay then.
    pub fn unknown_required(&self, known: &[u16]) -> Option<u16> {
        self.bits().find(|bit| bit % 2 == 0 && !known.iter().any(|known| known & !1 == *bit))
    }
}
