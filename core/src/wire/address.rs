//! Address descriptors (BOLT 7, the `node_announcement` message): where a node can be reached, also in `init`.

use super::codec::{Cursor, Eof, Field, Full, Reader};
use crate::address::NetAddr;

const IP4: u8 = 1;
const IP6: u8 = 2;
/// Deprecated: the network that it named is gone.
const TOR2: u8 = 3;
const TOR3: u8 = 4;
const DNS: u8 = 5;

/// One descriptor, in the read buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Descriptor<'a> {
    /// An IPv4 address and port.
    Ip4(&'a [u8; 4], u16),
    /// An IPv6 address and port.
    Ip6(&'a [u8; 16], u16),
    /// A Tor v3 address (public key, checksum, version) and port.
    Tor3(&'a [u8; 35], u16),
    /// A host name and port; whether the name is one, [`Descriptor::dialable`] knows.
    Dns(&'a [u8], u16),
    /// One of the types that are not used any more.
    Obsolete,
}

impl<'a> Descriptor<'a> {
    /// `None` for a type that is not known: nothing tells where it ends.
    fn read(reader: &mut Reader<'a>) -> Result<Option<Descriptor<'a>>, Eof> {
        Ok(Some(match reader.read::<u8>()? {
            IP4 => Descriptor::Ip4(reader.array()?, reader.read()?),
            IP6 => Descriptor::Ip6(reader.array()?, reader.read()?),
            TOR2 => {
                reader.take(12)?;
                Descriptor::Obsolete
            }
            TOR3 => Descriptor::Tor3(reader.array()?, reader.read()?),
            DNS => {
                let len: u8 = reader.read()?;
                Descriptor::Dns(reader.take(usize::from(len))?, reader.read()?)
            }
            _ => return Ok(None),
        }))
    }

    /// The address, if anybody can be reached there. BOLT 7: port 0 is ignored, Tor v2 too; a host name is ASCII.
    pub fn dialable(&self) -> Option<NetAddr> {
        let (address, port) = match *self {
            Descriptor::Ip4(ip, port) => (NetAddr::Ip4(*ip, port), port),
            Descriptor::Ip6(ip, port) => (NetAddr::Ip6(*ip, port), port),
            Descriptor::Tor3(key, port) => (NetAddr::Tor3(*key, port), port),
            Descriptor::Dns(name, port) => {
                let plain = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_');
                let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty());
                (NetAddr::Dns(name.filter(|name| name.as_bytes().iter().all(plain))?.to_owned(), port), port)
            }
            Descriptor::Obsolete => return None,
        };
        (port != 0).then_some(address)
    }
}

/// The `addresses` of a `node_announcement`, one after the other: until the first of a type that is not known, or the
/// first that is cut short.
#[derive(Clone, Debug)]
pub struct Addresses<'a> {
    reader: Reader<'a>,
}

impl<'a> Addresses<'a> {
    /// Reads `addresses`.
    pub fn new(bytes: &'a [u8]) -> Addresses<'a> {
        Addresses { reader: Reader::new(bytes) }
    }
}

impl<'a> Iterator for Addresses<'a> {
    type Item = Result<Descriptor<'a>, Eof>;
    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let next = Descriptor::read(&mut self.reader).transpose();
        if !matches!(next, Some(Ok(_))) {
            self.reader = Reader::new(&[]);
        }
        next
    }
}

/// What BOLT 7 has to say to a `node_announcement` for its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressFault {
    /// The last descriptor is cut short: a warning, and the connection may be closed.
    Truncated,
    /// More than one host name: not to be passed on.
    SecondHostName,
}

/// Checks all descriptors of a `node_announcement`.
pub fn check(addresses: &[u8]) -> Result<(), AddressFault> {
    let mut names = 0;
    for descriptor in Addresses::new(addresses) {
        names += u32::from(matches!(descriptor.map_err(|Eof| AddressFault::Truncated)?, Descriptor::Dns(..)));
    }
    if names > 1 { Err(AddressFault::SecondHostName) } else { Ok(()) }
}

/// The one descriptor that fills `bytes`, as in `init`'s `remote_addr`.
pub fn read_one(bytes: &[u8]) -> Option<NetAddr> {
    let mut all = Addresses::new(bytes);
    let first = all.next()?.ok()?;
    all.reader.is_empty().then(|| first.dialable()).flatten()
}

/// Writes a descriptor. A host name of more than 255 bytes has none.
pub fn write(address: &NetAddr, out: &mut Cursor<'_>) -> Result<(), Full> {
    let port = match address {
        NetAddr::Ip4(ip, port) => {
            IP4.write(out)?;
            ip.write(out)?;
            port
        }
        NetAddr::Ip6(ip, port) => {
            IP6.write(out)?;
            ip.write(out)?;
            port
        }
        NetAddr::Tor3(key, port) => {
            TOR3.write(out)?;
            key.write(out)?;
            port
        }
        NetAddr::Dns(name, port) => {
            DNS.write(out)?;
            u8::try_from(name.len()).map_err(|_| Full)?.write(out)?;
            out.put(name.as_bytes())?;
            port
        }
    };
    port.write(out)
}

/// Appends the descriptors of `addresses` as a `node_announcement` wants them: in ascending order of their types, none
/// with port 0, and at most one host name.
pub fn write_all(addresses: &[NetAddr], out: &mut Vec<u8>) {
    let kind = |address: &NetAddr| match address {
        NetAddr::Ip4(_, port) => (IP4, *port),
        NetAddr::Ip6(_, port) => (IP6, *port),
        NetAddr::Tor3(_, port) => (TOR3, *port),
        NetAddr::Dns(_, port) => (DNS, *port),
    };
    for wanted in [IP4, IP6, TOR3, DNS] {
        let at_most = if wanted == DNS { 1 } else { usize::MAX };
        let of_kind = addresses.iter().filter(|address| matches!(kind(address), (k, 1..) if k == wanted));
        for address in of_kind.take(at_most) {
            let mut bytes = [0; DESCRIPTOR_SIZE_MAX];
            let mut cursor = Cursor::new(&mut bytes);
            if write(address, &mut cursor).is_ok() {
                let len = cursor.position();
                out.extend_from_slice(&bytes[..len]);
            }
        }
    }
}

/// Bytes of the longest descriptor: a host name of 255 bytes.
pub const DESCRIPTOR_SIZE_MAX: usize = 1 + 1 + 255 + 2;
