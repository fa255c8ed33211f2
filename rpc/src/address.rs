//! Addresses of nodes as people write them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use leyden_core::address::NetAddr;

const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// Letters in front of `.onion`: 35 bytes in base 32.
const ONION_LEN: usize = 56;

/// An address from a host and a port. `None` if the host is none: empty, or an impossible `.onion` name.
pub fn parse_host(host: &str, port: u16) -> Option<NetAddr> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    match bare.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => return Some(NetAddr::Ip4(ip.octets(), port)),
        Ok(IpAddr::V6(ip)) => return Some(NetAddr::Ip6(ip.octets(), port)),
        Err(_) => {}
    }
    let host = host.to_ascii_lowercase();
    if let Some(name) = host.strip_suffix(".onion") {
        return onion_bytes(name).map(|bytes| NetAddr::Tor3(bytes, port));
    }
    let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_');
    let named = !host.is_empty() && host.len() <= 255 && host.bytes().all(plain);
    named.then_some(NetAddr::Dns(host, port))
}

/// `HOST`, `HOST:PORT` or `[V6]:PORT`.
pub fn parse_address(text: &str, default_port: u16) -> Option<NetAddr> {
    if text.parse::<Ipv6Addr>().is_ok() {
        return parse_host(text, default_port);
    }
    match text.rsplit_once(':') {
        Some((host, port)) if !(text.starts_with('[') && text.ends_with(']')) => parse_host(host, port.parse().ok()?),
        _ => parse_host(text, default_port),
    }
}

fn onion_bytes(name: &str) -> Option<[u8; 35]> {
    if name.len() != ONION_LEN {
        return None;
    }
    let mut bytes = [0; 35];
    for (letters, five) in name.as_bytes().chunks_exact(8).zip(bytes.chunks_exact_mut(5)) {
        let mut bits = 0u64;
        for letter in letters {
            bits = bits << 5 | BASE32.iter().position(|known| known == letter)? as u64;
        }
        five.copy_from_slice(&bits.to_be_bytes()[3..]);
    }
    Some(bytes)
}

fn onion_name(bytes: &[u8; 35]) -> String {
    let mut name = String::with_capacity(ONION_LEN + 6);
    for five in bytes.chunks_exact(5) {
        let bits = five.iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        name.extend((0..8).rev().map(|i| char::from(BASE32[(bits >> (5 * i) & 31) as usize])));
    }
    name + ".onion"
}

/// Kind (as Core Lightning calls it), host and port.
pub fn parts(address: &NetAddr) -> (&'static str, String, u16) {
    match address {
        NetAddr::Ip4(ip, port) => ("ipv4", Ipv4Addr::from(*ip).to_string(), *port),
        NetAddr::Ip6(ip, port) => ("ipv6", Ipv6Addr::from(*ip).to_string(), *port),
        NetAddr::Tor3(bytes, port) => ("torv3", onion_name(bytes), *port),
        NetAddr::Dns(name, port) => ("dns", name.clone(), *port),
    }
}

/// `HOST:PORT`, an IPv6 host in brackets.
pub fn display(address: &NetAddr) -> String {
    match parts(address) {
        ("ipv6", host, port) => format!("[{host}]:{port}"),
        (_, host, port) => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        let onion = format!("{}.onion:9735", "abcdefg2".repeat(7));
        for text in ["127.0.0.1:9735", "[2001:db8::1]:10009", "node.example.org:9735", &onion] {
            let address = parse_address(text, 1).unwrap_or_else(|| panic!("{text} is an address"));
            assert_eq!(display(&address), text);
        }
        assert_eq!(parse_address("::1", 7), Some(NetAddr::Ip6(Ipv6Addr::LOCALHOST.octets(), 7)));
        assert_eq!(parse_address("[::1]", 7), parse_address("::1", 7));
        assert_eq!(parse_address("localhost", 7), Some(NetAddr::Dns("localhost".into(), 7)));
        for wrong in ["", ":9735", "short.onion", "host:port", "white space", "h:70000"] {
            assert_eq!(parse_address(wrong, 1), None, "{wrong}");
        }
    }
}
