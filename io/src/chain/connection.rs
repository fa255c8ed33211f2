//! One connection to the backend: bytes out, responses in, never blocking.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::http::{self, HttpError, Response};

/// How much is read before the loop gets its turn again.
const READ_BYTES_PER_TURN: usize = 1 << 20;

const PIECE_BYTES: usize = 64 << 10;

/// What a look at the socket brought.
#[derive(Debug)]
pub(super) enum Progress {
    /// Nothing more for now; the socket will report when there is.
    Waiting,
    /// There may be more at once: come again without waiting for the socket.
    More,
    /// A response is complete.
    Response(Response),
}

/// Why a connection is of no use any more.
#[derive(Debug)]
pub(super) enum Broken {
    Io(io::Error),
    Closed,
    Http(HttpError),
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Broken::Io(error) => error.fmt(f),
            Broken::Closed => write!(f, "it closed the connection"),
            Broken::Http(error) => error.fmt(f),
        }
    }
}

#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    is_connected: bool,
    output: Vec<u8>,
    sent: usize,
    reader: http::Reader,
    piece: Box<[u8]>,
}

impl Connection {
    /// Begins to connect, to the first address that can be tried.
    pub(super) fn open(addresses: &[SocketAddr], registry: &Registry, token: Token) -> io::Result<Connection> {
        let mut last_error = io::Error::new(ErrorKind::NotFound, "the host has no address");
        for address in addresses {
            match TcpStream::connect(*address) {
                Ok(mut stream) => {
                    registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
                    return Ok(Connection {
                        stream,
                        is_connected: false,
                        output: Vec::new(),
                        sent: 0,
                        reader: http::Reader::default(),
                        piece: vec![0; PIECE_BYTES].into_boxed_slice(),
                    });
                }
                Err(error) => last_error = error,
            }
        }
        Err(last_error)
    }

    pub(super) fn is_connected(&self) -> bool {
        self.is_connected
    }

    pub(super) fn close(mut self, registry: &Registry) {
        // It goes with the socket anyway.
        let _ = registry.deregister(&mut self.stream);
    }

    /// Queues a request; nothing else is queued meanwhile.
    pub(super) fn send(&mut self, host: &str, authorization: &str, body: &str) {
        assert!(self.output.is_empty(), "one request at a time");
        http::write_request(&mut self.output, host, authorization, body);
    }

    /// Writes and reads what goes without waiting.
    pub(super) fn advance(&mut self) -> Result<Progress, Broken> {
        if !self.is_connected && !self.check_connected()? {
            return Ok(Progress::Waiting);
        }
        self.write()?;
        self.read()
    }

    fn check_connected(&mut self) -> Result<bool, Broken> {
        if let Some(error) = self.stream.take_error().map_err(Broken::Io)? {
            return Err(Broken::Io(error));
        }
        match self.stream.peer_addr() {
            Ok(_) => {
                // Requests are small and each one waits for its answer.
                self.stream.set_nodelay(true).map_err(Broken::Io)?;
                self.is_connected = true;
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(Broken::Io(error)),
        }
    }

    fn write(&mut self) -> Result<(), Broken> {
        while self.sent < self.output.len() {
            match self.stream.write(&self.output[self.sent..]) {
                Ok(0) => return Err(Broken::Closed),
                Ok(written) => self.sent += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Broken::Io(error)),
            }
        }
        self.output.clear();
        self.sent = 0;
        Ok(())
    }

    fn read(&mut self) -> Result<Progress, Broken> {
        let mut read = 0;
        while read < READ_BYTES_PER_TURN {
            match self.stream.read(&mut self.piece) {
                Ok(0) => return Err(Broken::Closed),
                Ok(bytes) => {
                    read += bytes;
                    self.reader.push(&self.piece[..bytes]);
                    if let Some(response) = self.reader.next_response().map_err(Broken::Http)? {
                        return Ok(Progress::Response(response));
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Progress::Waiting),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Broken::Io(error)),
            }
        }
        Ok(Progress::More)
    }
}
