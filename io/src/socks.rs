//! SOCKS 5 (RFC 1928), as far as a caller needs it: no authentication, one CONNECT. Tor's proxy resolves names, so that
//! nobody else learns of them.

use leyden_core::address::NetAddr;

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const CONNECT: u8 = 1;
/// Kinds of addresses.
const IPV4: u8 = 1;
const DOMAIN: u8 = 3;
const IPV6: u8 = 4;

/// What an answer is called that is not 0: RFC 1928, and from 0xf0 on what Tor adds (its proposal 304).
fn refusal(code: u8) -> String {
    let text = match code {
        1 => "general failure",
        2 => "connections like this are not allowed",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "it took too long",
        7 => "it does not support the command",
        8 => "it does not support such addresses",
        0xf0 => "the onion service's descriptor is not found",
        0xf1 => "the onion service's descriptor is invalid",
        0xf2 => "the onion service's introduction failed",
        0xf3 => "the onion service's rendezvous failed",
        0xf4 => "the onion service wants authorisation",
        0xf5 => "the onion service refuses our authorisation",
        0xf6 => "the onion address is invalid",
        0xf7 => "the onion service did not answer in time",
        _ => return format!("the proxy refuses, code {code}"),
    };
    format!("the proxy says: {text}")
}

/// How far it is.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// The proxy is to choose a way to authenticate: none.
    Greeting,
    /// It is to connect; so many bytes of its answer tell how long the answer is.
    Head,
    /// The rest of its answer is the address that it calls from, which nobody needs.
    Tail,
    /// The peer is on the line.
    Done,
}

/// A call through a proxy, before the peer is on the line.
#[derive(Debug)]
pub(crate) struct Socks {
    step: Step,
    request: Vec<u8>,
    /// What is to be written.
    out: Vec<u8>,
    /// What was read of the present answer, and how long it is.
    answer: Vec<u8>,
    wanted: usize,
}

impl Socks {
    /// A call to this address. The error says why no proxy can make it.
    pub(crate) fn new(address: &NetAddr) -> Result<Socks, String> {
        let mut request = vec![VERSION, CONNECT, 0];
        let port = match address {
            NetAddr::Ip4(ip, port) => {
                request.push(IPV4);
                request.extend(ip);
                port
            }
            NetAddr::Ip6(ip, port) => {
                request.push(IPV6);
                request.extend(ip);
                port
            }
            NetAddr::Tor3(_, port) | NetAddr::Dns(_, port) => {
                let (_, host, _) = leyden_rpc::address::parts(address);
                let len = u8::try_from(host.len()).map_err(|_| format!("{host} is too long a name"))?;
                request.extend([DOMAIN, len]);
                request.extend(host.as_bytes());
                port
            }
        };
        request.extend(port.to_be_bytes());
        let out = vec![VERSION, 1, NO_AUTHENTICATION];
        Ok(Socks { step: Step::Greeting, request, out, answer: Vec::new(), wanted: 2 })
    }

    /// What is to be written now.
    pub(crate) fn writable(&self) -> &[u8] {
        &self.out
    }

    /// So much of it is.
    pub(crate) fn wrote(&mut self, count: usize) {
        self.out.drain(..count);
    }

    /// How many bytes are to be read next: never one more, for those behind them are the peer's.
    pub(crate) fn wanted(&self) -> usize {
        self.wanted - self.answer.len()
    }

    /// Is the peer on the line?
    pub(crate) fn is_done(&self) -> bool {
        self.step == Step::Done
    }

    /// Takes in what was read. The error says why there will be no connection.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.answer.extend(bytes);
        if self.wanted() > 0 {
            return Ok(());
        }
        let answer = std::mem::take(&mut self.answer);
        match (&self.step, answer.as_slice()) {
            (Step::Greeting, [VERSION, NO_AUTHENTICATION]) => {
                self.out = std::mem::take(&mut self.request);
                (self.step, self.wanted) = (Step::Head, 5);
            }
            (Step::Greeting, [VERSION, _]) => return Err("the proxy wants to know who we are".to_owned()),
            (Step::Head, [VERSION, 0, _, kind, first]) => {
                // The address that the proxy calls from, of which one byte is here, and its port.
                let len = match *kind {
                    IPV4 => 4,
                    IPV6 => 16,
                    DOMAIN => 1 + usize::from(*first),
                    kind => return Err(format!("the proxy answers with an address of kind {kind}")),
                };
                (self.step, self.wanted) = (Step::Tail, len - 1 + 2);
            }
            (Step::Head, [VERSION, code, ..]) => return Err(refusal(*code)),
            (Step::Tail, _) => (self.step, self.wanted) = (Step::Done, 0),
            (Step::Greeting | Step::Head | Step::Done, _) => return Err("this is no SOCKS 5 proxy".to_owned()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn onion() -> NetAddr {
        NetAddr::Tor3([7; 35], 9735)
    }

    /// What the caller says to a proxy that answers like this, a byte at a time.
    fn call(address: &NetAddr, answers: &[u8]) -> (Vec<u8>, Result<bool, String>) {
        let mut socks = Socks::new(address).expect("a possible address");
        let mut said = Vec::new();
        for byte in answers {
            said.extend(socks.writable());
            socks.wrote(socks.writable().len());
            assert!(socks.wanted() > 0, "it does not read what is the peer's");
            if let Err(reason) = socks.take(&[*byte]) {
                return (said, Err(reason));
            }
        }
        (said, Ok(socks.is_done()))
    }

    #[test]
    fn an_onion_service_is_called_by_its_name() {
        let (said, result) = call(&onion(), &[5, 0, 5, 0, 0, 1, 127, 0, 0, 1, 1, 2]);
        assert_eq!(result, Ok(true));
        let (_, host, _) = leyden_rpc::address::parts(&onion());
        assert!(host.ends_with(".onion") && host.len() == 62);
        let mut wanted = vec![5, 1, 0, 5, 1, 0, 3, 62];
        wanted.extend(host.as_bytes());
        wanted.extend([0x26, 0x07]);
        assert_eq!(said, wanted);
    }

    #[test]
    fn other_addresses_are_called_as_they_are() {
        let answers = [5, 0, 5, 0, 0, 3, 2, b'a', b'b', 1, 2];
        let (said, result) = call(&NetAddr::Ip4([10, 0, 0, 1], 1), &answers);
        assert_eq!((said, result), (vec![5, 1, 0, 5, 1, 0, 1, 10, 0, 0, 1, 0, 1], Ok(true)));
        let (said, result) = call(&NetAddr::Dns("a.example".into(), 2), &answers[..10]);
        assert_eq!(said[3..8], [5, 1, 0, 3, 9]);
        assert_eq!(result, Ok(false), "a byte of the port is missing");
        let (said, result) = call(&NetAddr::Ip6([1; 16], 1), &[5, 0, 5, 0, 0, 4, 1, 1, 1, 1, 1, 1, 1, 1]);
        assert_eq!((said.len(), result), (3 + 22, Ok(false)));
    }

    #[test]
    fn a_refusal_says_why() {
        let reason = |answers: &[u8]| call(&onion(), answers).1.expect_err("a refusal");
        assert_eq!(reason(&[5, 0, 5, 0xf0, 0, 1, 0]), "the proxy says: the onion service's descriptor is not found");
        assert_eq!(reason(&[5, 0, 5, 5, 0, 1, 0]), "the proxy says: connection refused");
        assert_eq!(reason(&[5, 0, 5, 99, 0, 1, 0]), "the proxy refuses, code 99");
        assert_eq!(reason(&[5, 255]), "the proxy wants to know who we are");
        assert_eq!(reason(b"HTTP/1.1 400"), "this is no SOCKS 5 proxy");
        assert_eq!(reason(&[5, 0, 5, 0, 0, 9, 0]), "the proxy answers with an address of kind 9");
        assert!(Socks::new(&NetAddr::Dns("a".repeat(256), 1)).is_err());
    }
}
