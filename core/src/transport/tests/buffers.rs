//! Watermarks, lanes and boxes.

use super::*;
use crate::limits::{FRAME_SIZE_MAX, MESSAGE_SIZE_MAX, WRITE_BUFFER_SIZE};
use crate::transport::write_buffer::{CHANNEL_ROOM_MIN, GOSSIP_BACKLOG_MAX};

fn stage(transport: &mut Transport, lane: Lane, size: usize, pool: &mut BufferPool) -> Result<usize, Full> {
    transport.stage(lane, &vec![7; size][..], pool)
}

#[test]
fn nothing_leaves_before_it_is_released() {
    let mut pool = BufferPool::new(2);
    let (mut alice, mut bob) = pair(&mut pool);
    stage(&mut alice, Lane::Channel, 100, &mut pool).expect("room");
    assert!(alice.writable().is_empty());
    alice.release();
    stage(&mut alice, Lane::Channel, 200, &mut pool).expect("room");
    assert_eq!(alice.writable().len(), 100 + 34);
    assert_eq!(carry(&mut alice, &mut bob, &mut TestKey::new(2), &mut pool), [vec![7; 100]]);
    assert!(alice.writable().is_empty());
    alice.release();
    assert_eq!(carry(&mut alice, &mut bob, &mut TestKey::new(2), &mut pool), [vec![7; 200]]);
}

#[test]
fn idle_peers_hold_no_box() {
    let mut pool = BufferPool::new(2);
    let (mut alice, mut bob) = pair(&mut pool);
    assert_eq!((pool.read_lent(), pool.write_lent()), (0, 0));
    stage(&mut alice, Lane::Channel, 100, &mut pool).expect("room");
    assert_eq!(pool.write_lent(), 1);
    alice.release();
    let bytes = alice.writable().to_vec();
    alice.wrote(100, &mut pool);
    assert_eq!(pool.write_lent(), 1);
    alice.wrote(34, &mut pool);
    assert_eq!(pool.write_lent(), 0);

    // Half a frame keeps a read box, a whole one doesn't.
    let mut key = TestKey::new(2);
    bob.received(&bytes[..100], &mut key, &mut pool, |_, _, _| panic!("half a frame")).expect("an honest peer");
    assert_eq!(pool.read_lent(), 1);
    bob.received(&bytes[100..], &mut key, &mut pool, |_, _, _| ()).expect("an honest peer");
    assert_eq!(pool.read_lent(), 0);
    assert!(std::mem::size_of::<Transport>() <= 512);

    stage(&mut alice, Lane::Channel, 1, &mut pool).expect("room");
    bob.received(&[0; 3], &mut key, &mut pool, |_, _, _| ()).expect("no whole header yet");
    alice.close(&mut pool);
    bob.close(&mut pool);
    assert_eq!((pool.read_lent(), pool.write_lent()), (0, 0));
}

#[test]
fn the_pool_keeps_no_more_spares_than_asked() {
    let mut pool = BufferPool::new(1);
    let (mut alice, mut bob) = pair(&mut pool);
    stage(&mut alice, Lane::Channel, 1, &mut pool).expect("room");
    stage(&mut bob, Lane::Channel, 1, &mut pool).expect("room");
    alice.close(&mut pool);
    bob.close(&mut pool);
    assert_eq!(pool.spare_bytes(), WRITE_BUFFER_SIZE + read_buffer::READ_BUFFER_SIZE);
}

#[test]
fn a_message_of_every_legal_size_passes_and_no_longer_one() {
    let mut pool = BufferPool::new(2);
    let (mut alice, mut bob) = pair(&mut pool);
    assert_eq!(stage(&mut alice, Lane::Channel, MESSAGE_SIZE_MAX + 1, &mut pool), Err(Full));
    assert_eq!(pool.write_lent(), 0, "a refused message keeps no box");
    for size in [0, 1, 2, 4096, MESSAGE_SIZE_MAX - 1, MESSAGE_SIZE_MAX] {
        stage(&mut alice, Lane::Channel, size, &mut pool).expect("room");
        alice.release();
        assert_eq!(carry(&mut alice, &mut bob, &mut TestKey::new(2), &mut pool), [vec![7; size]]);
    }
}

#[test]
fn messages_and_closures_write_themselves() {
    let mut pool = BufferPool::new(2);
    let (mut alice, mut bob) = pair(&mut pool);
    let message = crate::wire::Message::Unknown { message_type: 40_001, payload: &[1, 2, 3] };
    assert_eq!(alice.stage(Lane::Channel, &message, &mut pool), Ok(34 + 5));
    let closure = |out: &mut [u8]| [5, 6].as_slice().encode_into(out);
    assert_eq!(alice.stage(Lane::Channel, &closure, &mut pool), Ok(34 + 2));
    alice.release();
    let arrived = carry(&mut alice, &mut bob, &mut TestKey::new(2), &mut pool);
    assert_eq!(arrived, [vec![0x9c, 0x41, 1, 2, 3], vec![5, 6]]);
}

#[test]
fn a_full_buffer_refuses_and_stays_in_step() {
    let mut pool = BufferPool::new(2);
    let (mut alice, mut bob) = pair(&mut pool);
    let mut count = 0;
    while stage(&mut alice, Lane::Channel, MESSAGE_SIZE_MAX, &mut pool).is_ok() {
        count += 1;
    }
    assert_eq!(count, WRITE_BUFFER_SIZE / FRAME_SIZE_MAX);
    // A smaller message still fits, since the refused one used up no nonce; once the peer took a frame, so does it.
    stage(&mut alice, Lane::Channel, 1000, &mut pool).expect("room");
    alice.release();
    let head = alice.writable()[..FRAME_SIZE_MAX].to_vec();
    alice.wrote(FRAME_SIZE_MAX, &mut pool);
    stage(&mut alice, Lane::Channel, MESSAGE_SIZE_MAX, &mut pool).expect("room");
    alice.release();
    let mut key = TestKey::new(2);
    let mut sizes = Vec::new();
    let tail = alice.writable().to_vec();
    for bytes in [head, tail] {
        bob.received(&bytes, &mut key, &mut pool, |_, _, incoming| match incoming {
            Incoming::Message(message) => sizes.push(message.len()),
            Incoming::Established { .. } => panic!("it was before"),
        })
        .expect("an honest peer");
    }
    let mut expected = vec![MESSAGE_SIZE_MAX; count];
    expected.extend([1000, MESSAGE_SIZE_MAX]);
    assert_eq!(sizes, expected);
}

#[test]
fn gossip_waits_for_channel_messages() {
    let mut pool = BufferPool::new(2);
    let (mut alice, _bob) = pair(&mut pool);
    assert_eq!(alice.gossip_credit(), GOSSIP_BACKLOG_MAX);
    stage(&mut alice, Lane::Gossip, 400, &mut pool).expect("nothing waits");
    stage(&mut alice, Lane::Channel, 100, &mut pool).expect("room");
    assert_eq!(alice.gossip_credit(), 0);
    assert_eq!(stage(&mut alice, Lane::Gossip, 400, &mut pool), Err(Full));
    alice.release();
    alice.wrote(alice.writable().len() - 1, &mut pool);
    assert_eq!(stage(&mut alice, Lane::Gossip, 400, &mut pool), Err(Full), "its last byte waits");
    alice.wrote(1, &mut pool);
    stage(&mut alice, Lane::Gossip, 400, &mut pool).expect("nothing waits");
}

#[test]
fn gossip_never_takes_the_room_of_channel_messages() {
    let mut pool = BufferPool::new(2);
    let (mut alice, _bob) = pair(&mut pool);
    // The worst case: one byte of credit left, then the longest message.
    stage(&mut alice, Lane::Gossip, GOSSIP_BACKLOG_MAX - 1 - 34, &mut pool).expect("credit");
    assert_eq!(alice.gossip_credit(), 1);
    stage(&mut alice, Lane::Gossip, MESSAGE_SIZE_MAX, &mut pool).expect("credit");
    assert_eq!(stage(&mut alice, Lane::Gossip, 1, &mut pool), Err(Full));
    assert!(alice.free() >= CHANNEL_ROOM_MIN);
    for _ in 0..CHANNEL_ROOM_MIN / FRAME_SIZE_MAX {
        stage(&mut alice, Lane::Channel, MESSAGE_SIZE_MAX, &mut pool).expect("the room of channel messages");
    }
}

#[test]
#[should_panic(expected = "only once the peer is established")]
fn nothing_is_staged_before_the_handshake_is_done() {
    let mut pool = BufferPool::new(1);
    let mut bob = Transport::responder(ephemeral(4));
    let _ = stage(&mut bob, Lane::Channel, 1, &mut pool);
}
