//! Numbers and strings of bytes: short when they are small, and never trusted when they are read.

use super::Malformed;
use crate::store::encode_into;

/// No value of ours that is read with bincode takes more memory: a claimed length must not.
const VALUE_SIZE_MAX: usize = 64 << 20;

/// Appends a number, seven bits to a byte.
pub(super) fn put_u64(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends bytes behind their length.
pub(super) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_u64(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Appends the bincode of a value behind its length.
pub(super) fn put_value<T: bincode::Encode>(value: &T, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
    scratch.clear();
    encode_into(value, scratch);
    put_bytes(scratch, out);
}

/// Reads what the functions above wrote.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        let (&byte, rest) = self.0.split_first().ok_or(Malformed { expected: "byte" })?;
        self.0 = rest;
        Ok(byte)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed { expected: "number of 64 bits" })
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.u64()?).map_err(|_| Malformed { expected: "number of 32 bits" })
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed { expected: "string of that length" })?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let bytes = self.take(N)?;
        Ok(bytes.try_into().expect("as many bytes as were taken"))
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let count = usize::try_from(self.u64()?).map_err(|_| Malformed { expected: "length" })?;
        self.take(count)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed { expected: "text" })
    }

    /// A value of its own length.
    pub(super) fn value<T: bincode::Decode<()>>(&mut self, expected: &'static str) -> Result<T, Malformed> {
        let bytes = self.bytes()?;
        let config = bincode::config::standard().with_limit::<VALUE_SIZE_MAX>();
        match bincode::decode_from_slice(bytes, config) {
            Ok((value, used)) if used == bytes.len() => Ok(value),
            _ => Err(Malformed { expected }),
        }
    }
}
