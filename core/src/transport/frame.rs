//! Cuts the received bytes into frames and opens them where they lie.

use std::fmt;

use super::cipher::{BadTag, HEADER_SIZE, RecvCipher, TAG_SIZE};
use super::read_buffer::ReadBuffer;

/// A frame that does not authenticate: the stream is of no use from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The sealed length.
    BadHeaderTag,
    /// The message behind an authentic length.
    BadBodyTag {
        /// The message's length.
        size: usize,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::BadHeaderTag => write!(f, "the length of a message does not authenticate"),
            FrameError::BadBodyTag { size } => write!(f, "a message of {size} bytes does not authenticate"),
        }
    }
}

impl std::error::Error for FrameError {}

/// Where in the stream we are.
#[derive(Clone, Copy, Debug)]
enum Expect {
    Header,
    Body {
        size: usize,
    },
    /// Nothing after a forged frame is believed, even if it should authenticate.
    Nothing(FrameError),
}

/// The reading half of a connection after the handshake.
#[derive(Debug)]
pub struct FrameReader {
    cipher: RecvCipher,
    expect: Expect,
}

impl FrameReader {
    /// Reads what `cipher` opens.
    pub fn new(cipher: RecvCipher) -> FrameReader {
        FrameReader { cipher, expect: Expect::Header }
    }

    /// The next whole message, or `None` until more bytes come. The message borrows from `input` alone.
    ///
    /// BOLT 8, receiving and decrypting messages: a bad tag ends the connection, so an error is returned forever.
    pub fn next_message<'b>(&mut self, input: &'b mut ReadBuffer) -> Result<Option<&'b [u8]>, FrameError> {
        let size = match self.expect {
            Expect::Nothing(error) => return Err(error),
            Expect::Body { size } => size,
            Expect::Header => {
                let Some(header) = input.consume_array::<HEADER_SIZE>() else { return Ok(None) };
                let opened = self.cipher.open_header(header);
                let size = opened.map_err(|BadTag| self.fail(FrameError::BadHeaderTag))?;
                self.expect = Expect::Body { size };
                size
            }
        };
        let Some(body) = input.consume(size + TAG_SIZE) else { return Ok(None) };
        self.cipher.open_body(body).map_err(|BadTag| self.fail(FrameError::BadBodyTag { size }))?;
        self.expect = Expect::Header;
        Ok(Some(&body[..size]))
    }

    fn fail(&mut self, error: FrameError) -> FrameError {
        self.expect = Expect::Nothing(error);
        error
    }
}

#[cfg(test)]
impl FrameReader {
    /// The cipher, to compare its key with the test vectors.
    pub(super) fn cipher(&self) -> &RecvCipher {
        &self.cipher
    }
}
