//! HTTP/1.1, as much of it as bitcoind speaks: bytes in, responses out.

use std::fmt;

/// The longest head of a response.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// More headers than this are no bitcoind's.
const HEADERS_MAX: usize = 32;

/// The longest body: a block of 4 MB in hexadecimal digits takes 8 MB; this is five times as much.
pub const BODY_BYTES_MAX: usize = 40 << 20;

/// Buffers beyond this are given back once a large body has gone.
const BUFFER_BYTES_KEPT: usize = 256 << 10;

/// A complete response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
    /// The server closes the connection behind it.
    pub is_last: bool,
}

/// Why the bytes are no response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpError {
    /// The head does not parse.
    Head(httparse::Error),
    /// The head is too long.
    HeadTooLong,
    /// The length of the body is missing or no number.
    Length,
    /// The body is too long.
    BodyTooLong {
        /// Its length, as far as it is known.
        bytes: u64,
        /// The most that is taken.
        max: usize,
    },
    /// A chunk's frame does not parse.
    Chunk,
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HttpError::Head(error) => write!(f, "no HTTP response: {error}"),
            HttpError::HeadTooLong => write!(f, "the response's head is longer than {HEAD_BYTES_MAX} bytes"),
            HttpError::Length => write!(f, "the response does not tell how long it is"),
            HttpError::BodyTooLong { bytes, max } => write!(f, "a body of {bytes} bytes is longer than {max}"),
            HttpError::Chunk => write!(f, "the response's chunks are malformed"),
        }
    }
}

impl std::error::Error for HttpError {}

/// Where the reader is within a response.
#[derive(Clone, Copy, Debug)]
enum At {
    Head,
    /// So many bytes of the body are to come.
    Body {
        left: usize,
    },
    ChunkSize,
    Chunk {
        left: usize,
    },
    /// The line end behind a chunk.
    ChunkEnd,
    /// Lines behind the last chunk, up to an empty one.
    Trailer,
    Done,
}

/// Puts responses together from whatever pieces the socket yields.
#[derive(Debug)]
pub struct Reader {
    /// Bytes not yet taken into a body.
    input: Vec<u8>,
    at: At,
    status: u16,
    is_last: bool,
    body: Vec<u8>,
}

impl Default for Reader {
    fn default() -> Reader {
        Reader { input: Vec::new(), at: At::Head, status: 0, is_last: false, body: Vec::new() }
    }
}

impl Reader {
    /// Takes bytes in.
    pub fn push(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// Whether part of a response is here.
    pub fn is_amid(&self) -> bool {
        !matches!(self.at, At::Head) || !self.input.is_empty()
    }

    /// Takes the next complete response out, if there is one. After an error the connection is of no use any more.
    pub fn next_response(&mut self) -> Result<Option<Response>, HttpError> {
        let mut used = 0;
        let progress = loop {
            match self.advance(used) {
                Ok(Some(more)) => used += more,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
            if matches!(self.at, At::Done) {
                break Ok(());
            }
        };
        // Moved once per call rather than per step: a body arrives in many pieces.
        self.input.drain(..used);
        if self.input.is_empty() && self.input.capacity() > BUFFER_BYTES_KEPT {
            self.input = Vec::new();
        }
        progress?;
        if !matches!(self.at, At::Done) {
            return Ok(None);
        }
        self.at = At::Head;
        Ok(Some(Response { status: self.status, body: std::mem::take(&mut self.body), is_last: self.is_last }))
    }

    /// One step on; tells how many bytes it used, or that it needs more.
    fn advance(&mut self, used: usize) -> Result<Option<usize>, HttpError> {
        let input = &self.input[used..];
        match self.at {
            At::Head => self.head(used),
            At::Body { left } | At::Chunk { left } => {
                let taken = left.min(input.len());
                self.body.extend_from_slice(&input[..taken]);
                let is_chunk = matches!(self.at, At::Chunk { .. });
                self.at = match (left - taken, is_chunk) {
                    (0, true) => At::ChunkEnd,
                    (0, false) => At::Done,
                    (left, true) => At::Chunk { left },
                    (left, false) => At::Body { left },
                };
                let is_stuck = taken == 0 && left > 0;
                Ok((!is_stuck).then_some(taken))
            }
            At::ChunkSize => match httparse::parse_chunk_size(input).map_err(|_| HttpError::Chunk)? {
                httparse::Status::Partial if input.len() > HEAD_BYTES_MAX => Err(HttpError::Chunk),
                httparse::Status::Partial => Ok(None),
                httparse::Status::Complete((taken, 0)) => {
                    self.at = At::Trailer;
                    Ok(Some(taken))
                }
                httparse::Status::Complete((taken, size)) => {
                    let bytes = size.saturating_add(self.body.len() as u64);
                    check_length(bytes)?;
                    self.at = At::Chunk { left: usize::try_from(size).map_err(|_| HttpError::Chunk)? };
                    Ok(Some(taken))
                }
            },
            At::ChunkEnd => match input {
                [b'\r', b'\n', ..] => {
                    self.at = At::ChunkSize;
                    Ok(Some(2))
                }
                [] | [b'\r'] => Ok(None),
                _ => Err(HttpError::Chunk),
            },
            At::Trailer => match input.windows(2).position(|pair| pair == b"\r\n") {
                None if input.len() > HEAD_BYTES_MAX => Err(HttpError::HeadTooLong),
                None => Ok(None),
                Some(0) => {
                    self.at = At::Done;
                    Ok(Some(2))
                }
                Some(end) => Ok(Some(end + 2)),
            },
            At::Done => Ok(None),
        }
    }

    fn head(&mut self, used: usize) -> Result<Option<usize>, HttpError> {
        let input = &self.input[used..];
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut parsed = httparse::Response::new(&mut headers);
        let taken = match parsed.parse(input).map_err(HttpError::Head)? {
            httparse::Status::Complete(taken) => taken,
            httparse::Status::Partial if input.len() > HEAD_BYTES_MAX => return Err(HttpError::HeadTooLong),
            httparse::Status::Partial => return Ok(None),
        };
        self.status = parsed.code.unwrap_or(0);
        // HTTP/1.0 closes unless told otherwise.
        self.is_last = parsed.version == Some(0);
        let mut length = None;
        let mut is_chunked = false;
        for header in parsed.headers.iter() {
            let value = std::str::from_utf8(header.value).unwrap_or("").trim();
            if header.name.eq_ignore_ascii_case("content-length") {
                length = Some(value.parse::<u64>().map_err(|_| HttpError::Length)?);
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                is_chunked = value.eq_ignore_ascii_case("chunked");
            } else if header.name.eq_ignore_ascii_case("connection") {
                self.is_last = value.eq_ignore_ascii_case("close");
            }
        }
        self.body.clear();
        self.at = match (is_chunked, length) {
            (true, _) => At::ChunkSize,
            (false, Some(length)) => {
                check_length(length)?;
                // Room grows with the bytes that come, not with the length that is claimed.
                At::Body { left: usize::try_from(length).map_err(|_| HttpError::Length)? }
            }
            (false, None) => return Err(HttpError::Length),
        };
        Ok(Some(taken))
    }
}

fn check_length(bytes: u64) -> Result<(), HttpError> {
    match bytes > BODY_BYTES_MAX as u64 {
        true => Err(HttpError::BodyTooLong { bytes, max: BODY_BYTES_MAX }),
        false => Ok(()),
    }
}

/// Appends a POST request to `out`.
pub fn write_request(out: &mut Vec<u8>, host: &str, authorization: &str, body: &str) {
    out.extend_from_slice(b"POST / HTTP/1.1\r\nHost: ");
    out.extend_from_slice(host.as_bytes());
    out.extend_from_slice(b"\r\nAuthorization: ");
    out.extend_from_slice(authorization.as_bytes());
    out.extend_from_slice(b"\r\nContent-Type: application/json\r\nContent-Length: ");
    out.extend_from_slice(body.len().to_string().as_bytes());
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(body.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_in_pieces(bytes: &[u8], piece: usize) -> Result<Vec<Response>, HttpError> {
        let mut reader = Reader::default();
        let mut responses = Vec::new();
        for bytes in bytes.chunks(piece) {
            reader.push(bytes);
            while let Some(response) = reader.next_response()? {
                responses.push(response);
            }
        }
        assert!(!reader.is_amid());
        Ok(responses)
    }

    #[test]
    fn responses_come_out_whole_however_the_bytes_come_in() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{\"result\":1}\
            HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n\
            HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"res\r\n7;x=y\r\nult\":2}\r\n0\r\nX: y\r\n\r\n\
            HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n\r\n{}";
        let response = |status, body: &[u8], is_last| Response { status, body: body.to_vec(), is_last };
        let expected = [
            response(200, b"{\"result\":1}", false),
            response(401, b"", true),
            response(200, b"{\"result\":2}", false),
            response(500, b"{}", false),
        ];
        for piece in 1..bytes.len() + 1 {
            assert_eq!(read_in_pieces(bytes, piece).as_deref(), Ok(&expected[..]), "in pieces of {piece}");
        }
    }

    #[test]
    fn a_claimed_length_takes_no_memory_and_a_long_one_is_refused() {
        let mut reader = Reader::default();
        reader.push(b"HTTP/1.1 200 OK\r\nContent-Length: 40000000\r\n\r\n");
        assert_eq!(reader.next_response(), Ok(None));
        assert!(reader.body.capacity() == 0 && reader.is_amid());

        let too_long = |bytes: &[u8]| read_in_pieces(bytes, 7).unwrap_err();
        let max = BODY_BYTES_MAX;
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n";
        assert_eq!(too_long(bytes), HttpError::BodyTooLong { bytes: 99_999_999_999, max });
        let bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nfffffffff\r\n";
        assert_eq!(too_long(bytes), HttpError::BodyTooLong { bytes: 0xf_ffff_ffff + 2, max });
        assert_eq!(too_long(&[b"HTTP/1.1 200 OK\r\nX: ", &[b'x'; 20_000][..]].concat()), HttpError::HeadTooLong);
    }

    #[test]
    fn what_is_no_response_is_an_error() {
        let error = |bytes: &[u8]| read_in_pieces(bytes, 1000).unwrap_err();
        assert!(matches!(error(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), HttpError::Head(_)));
        assert_eq!(error(b"HTTP/1.1 200 OK\r\n\r\n"), HttpError::Length);
        assert_eq!(error(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"), HttpError::Length);
        let chunked = |rest: &[u8]| error(&[b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", rest].concat());
        assert_eq!(chunked(b"zz\r\n"), HttpError::Chunk);
        assert_eq!(chunked(b"2\r\nabcd\r\n"), HttpError::Chunk);
    }
}
