//! The transport allocates nothing for a message: not to send it, not to receive it, not to rotate keys.

use leyden_core::transport::{BufferPool, Incoming, Lane, StaticKey, Transport};
use leyden_tests::alloc::{Counting, allocations};
use leyden_tests::transport::{Key, ephemeral, key};

#[global_allocator]
static COUNTING: Counting = Counting;

/// Moves what `from` may send to `to`, `chunk` bytes at a time: how many messages arrived.
fn carry(from: &mut Transport, to: &mut Transport, chunk: usize, key: &mut Key, pool: &mut BufferPool) -> usize {
    let mut count = 0;
    while !from.writable().is_empty() {
        let bytes = from.writable();
        let size = bytes.len().min(chunk);
        to.received(&bytes[..size], key, pool, |_, _, incoming| {
            if let Incoming::Message(message) = incoming {
                assert!(message.iter().all(|&byte| byte == 7));
                count += 1;
            }
        })
        .expect("an honest peer");
        from.wrote(size, pool);
    }
    count
}

#[test]
fn no_message_allocates_in_either_direction() {
    let (mut alice_key, mut bob_key) = (key(1), key(2));
    let mut pool = BufferPool::new(4);
    let mut alice = Transport::initiator(&bob_key.public(), ephemeral(3), &mut pool);
    let mut bob = Transport::responder(ephemeral(4));
    carry(&mut alice, &mut bob, 1000, &mut bob_key, &mut pool);
    carry(&mut bob, &mut alice, 1000, &mut alice_key, &mut pool);
    carry(&mut alice, &mut bob, 1000, &mut bob_key, &mut pool);
    assert!(alice.is_open() && bob.is_open());

    let before = allocations();
    assert!(before > 0, "the counter works");
    let message = [7; 65_535];
    let mut arrived = 0;
    // Over 500 messages each way pass every rotation; the odd chunks leave frames half read and half written.
    for round in 0..600 {
        let size = [20, 1_300, 2, 65_535, 452][round % 5];
        let chunk = [1_448, 17, 100_000, 65_000][round % 4];
        alice.stage(Lane::Channel, &message[..size], &mut pool).expect("room");
        alice.stage(Lane::Channel, &message[..20], &mut pool).expect("room");
        bob.stage(Lane::Gossip, &message[..size.min(1_000)], &mut pool).expect("credit");
        alice.release();
        bob.release();
        arrived += carry(&mut alice, &mut bob, chunk, &mut bob_key, &mut pool);
        arrived += carry(&mut bob, &mut alice, chunk, &mut alice_key, &mut pool);
    }
    assert_eq!(allocations() - before, 0);
    assert_eq!(arrived, 3 * 600);
    assert_eq!((pool.read_lent(), pool.write_lent()), (0, 0));
}
