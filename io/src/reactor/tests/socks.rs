//! Calls through a proxy: a small one stands here, which knows one onion service.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;

use super::*;

const ONION: &str = "aeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaib.onion";

/// A SOCKS 5 proxy for one call at a time. It answers with `code`, and where that is 0 it connects to `to`. What it was
/// asked for goes to the test.
fn proxy(to: u16, codes: &'static [u8]) -> (SocketAddr, mpsc::Receiver<(String, u16)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("bound");
    let (sender, asked) = mpsc::channel();
    std::thread::spawn(move || {
        for code in codes {
            let (mut caller, _) = listener.accept().expect("somebody calls");
            let mut head = [0; 3];
            caller.read_exact(&mut head).expect("a greeting");
            assert_eq!(head, [5, 1, 0]);
            caller.write_all(&[5, 0]).expect("it listens");
            let mut head = [0; 5];
            caller.read_exact(&mut head).expect("a request");
            assert_eq!(head[..4], [5, 1, 0, 3], "names are the proxy's business");
            let mut name = vec![0; usize::from(head[4]) + 2];
            caller.read_exact(&mut name).expect("a name and a port");
            let (name, port) = name.split_at(name.len() - 2);
            let name = String::from_utf8(name.to_vec()).expect("a name");
            sender.send((name, u16::from_be_bytes([port[0], port[1]]))).expect("the test waits");
            // In two pieces, as it may come over a network.
            caller.write_all(&[5, *code, 0]).expect("it listens");
            caller.write_all(&[1, 127, 0, 0, 1, 0, 9]).expect("it listens");
            if *code == 0 {
                let peer = TcpStream::connect(("127.0.0.1", to)).expect("the service is there");
                pipe(&caller, &peer);
                pipe(&peer, &caller);
            }
        }
    });
    (address, asked)
}

fn pipe(from: &TcpStream, to: &TcpStream) {
    let (mut from, mut to) = (from.try_clone().expect("a socket"), to.try_clone().expect("a socket"));
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
}

fn onion_params(id: leyden_core::ids::NodeId) -> String {
    format!(r#"["{id}","{ONION}",9735]"#)
}

#[test]
fn an_onion_service_is_reached_through_the_proxy() {
    let mut bob = Running::start("tor-b", 2);
    let (address, asked) = proxy(bob.port, &[0xf0, 0]);
    let mut alice = Running::start_through("tor-a", 1, Some(Proxy { address, for_all: false }));
    let answer = alice.client().call("connect", &onion_params(bob.id));
    assert!(answer.contains("error") && answer.contains("descriptor is not found"), "{answer}");
    assert!(matches!(alice.next(), Seen::DialFailed(_)));
    assert_eq!(asked.recv().expect("it was asked"), (ONION.to_owned(), 9_735));

    let answer = alice.client().call("connect", &onion_params(bob.id));
    assert!(answer.contains(&bob.id.to_string()) && !answer.contains("error"), "{answer}");
    assert_eq!(alice.next(), Seen::Connected { peer: bob.id, inbound: false });
    assert_eq!(bob.next(), Seen::Connected { peer: alice.id, inbound: true });
    ping(&alice, &bob);
    ping(&bob, &alice);
    alice.stop();
    bob.stop();
}

#[test]
fn all_can_be_dialled_through_the_proxy_and_names_with_them() {
    let mut bob = Running::start("proxy-b", 2);
    let (address, asked) = proxy(bob.port, &[0]);
    let mut alice = Running::start_through("proxy-a", 1, Some(Proxy { address, for_all: true }));
    let answer = alice.client().call("connect", &format!(r#"["{}","bob.example",9736]"#, bob.id));
    assert!(!answer.contains("error"), "{answer}");
    assert_eq!(asked.recv().expect("it was asked"), ("bob.example".to_owned(), 9_736));
    assert_eq!(alice.next(), Seen::Connected { peer: bob.id, inbound: false });
    assert_eq!(bob.next(), Seen::Connected { peer: alice.id, inbound: true });
    alice.stop();
    bob.stop();
}

#[test]
fn without_a_proxy_an_onion_service_is_out_of_reach() {
    let mut alice = Running::start("onion-a", 1);
    let answer = alice.client().call("connect", &onion_params(alice.id));
    assert!(answer.contains("see --proxy"), "{answer}");
    assert!(matches!(alice.next(), Seen::DialFailed(_)));
    alice.stop();

    // Nor through one that is not there.
    let address = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let mut alice = Running::start_through("gone-a", 1, Some(Proxy { address, for_all: false }));
    let answer = alice.client().call("connect", &onion_params(alice.id));
    assert!(answer.contains("the proxy cannot be reached"), "{answer}");
    assert!(matches!(alice.next(), Seen::DialFailed(_)));
    alice.stop();
}
