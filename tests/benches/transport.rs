//! What a message costs both ends of a transport together: encode, seal, cut, open.
//!
//! Prints `name value unit`, one a line.

use std::hint::black_box;
use std::time::Instant;

use leyden_core::transport::{BufferPool, Incoming, Lane, StaticKey, Transport};
use leyden_tests::transport::{Key, ephemeral, key};

struct Ends {
    pool: BufferPool,
    alice: Transport,
    bob: Transport,
    alice_key: Key,
    bob_key: Key,
}

fn carry(from: &mut Transport, to: &mut Transport, key: &mut Key, pool: &mut BufferPool) -> usize {
    let mut input = to.begin_read(pool);
    let count = input.append(from.writable());
    from.wrote(count, pool);
    let mut messages = 0;
    while let Some(incoming) = to.next(&mut input, key, pool).expect("an honest peer") {
        if let Incoming::Message(message) = black_box(incoming) {
            messages += usize::from(!message.is_empty());
        }
    }
    to.end_read(input, pool);
    messages
}

impl Ends {
    fn connect() -> Ends {
        let mut pool = BufferPool::new(4);
        let (alice_key, bob_key) = (key(1), key(2));
        let alice = Transport::initiator(&bob_key.public(), ephemeral(3), &mut pool);
        let bob = Transport::responder(ephemeral(4));
        let mut ends = Ends { pool, alice, bob, alice_key, bob_key };
        ends.there();
        ends.back();
        ends.there();
        assert!(ends.alice.is_open() && ends.bob.is_open());
        ends
    }

    fn there(&mut self) -> usize {
        carry(&mut self.alice, &mut self.bob, &mut self.bob_key, &mut self.pool)
    }

    fn back(&mut self) -> usize {
        carry(&mut self.bob, &mut self.alice, &mut self.alice_key, &mut self.pool)
    }
}

/// Prints what one of `per_run` takes in the best of several runs: what the code costs, not what else the machine does.
fn measure(name: &str, per_run: u32, mut run: impl FnMut()) {
    let once = |run: &mut dyn FnMut()| {
        let start = Instant::now();
        run();
        start.elapsed() / per_run
    };
    let best = (0..20).map(|_| once(&mut run)).min().expect("several runs").as_nanos();
    println!("{name} {}.{:03} us", best / 1000, best % 1000);
}

fn main() {
    for size in [20, 1_300, 65_535] {
        let mut ends = Ends::connect();
        let message = vec![7; size];
        measure(&format!("transport_message_{size}"), 5_000, || {
            for _ in 0..5_000 {
                ends.alice.stage(Lane::Channel, black_box(&message[..]), &mut ends.pool).expect("room");
                ends.alice.release();
                assert_eq!(ends.there(), 1);
            }
        });
    }
    measure("transport_handshake", 100, || {
        for _ in 0..100 {
            black_box(Ends::connect());
        }
    });
}
