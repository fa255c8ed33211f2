//! Random tapes of staging, releasing, splitting, merging and damaging.

use std::collections::VecDeque;

use quickcheck::{Gen, QuickCheck};

use super::*;

/// One direction: what was staged and released, and what the network holds.
#[derive(Default)]
struct Pipe {
    staged: VecDeque<Vec<u8>>,
    released: VecDeque<Vec<u8>>,
    bytes: VecDeque<u8>,
}

struct Tape {
    pool: BufferPool,
    ends: [Transport; 2],
    keys: [TestKey; 2],
    pipes: [Pipe; 2],
    serial: u32,
}

impl Tape {
    fn new() -> Tape {
        let mut pool = BufferPool::new(2);
        let keys = [TestKey::new(1), TestKey::new(2)];
        let ends =
            [Transport::initiator(&keys[1].public(), ephemeral(3), &mut pool), Transport::responder(ephemeral(4))];
        Tape { pool, ends, keys, pipes: Default::default(), serial: 0 }
    }

    /// A message that no other resembles, from end `from`.
    fn stage(&mut self, from: usize, size: u16) {
        if !self.ends[from].is_open() {
            return;
        }
        // Most messages are small, some are of the largest kind.
        let size = if size.is_multiple_of(16) { usize::from(size) } else { usize::from(size % 1500) };
        self.serial += 1;
        let message: Vec<u8> = self.serial.to_be_bytes().into_iter().cycle().take(size).collect();
        let before = self.ends[from].writable().to_vec();
        if self.ends[from].stage(Lane::Channel, &message[..], &mut self.pool).is_ok() {
            self.pipes[from].staged.push_back(message);
        }
        assert_eq!(self.ends[from].writable(), before, "staged bytes are not visible");
    }

    fn release(&mut self, from: usize) {
        self.ends[from].release();
        let Pipe { staged, released, .. } = &mut self.pipes[from];
        released.append(staged);
    }

    /// The socket of `from` takes up to `count` bytes.
    fn write(&mut self, from: usize, count: usize) {
        let writable = self.ends[from].writable();
        let count = count.min(writable.len());
        self.pipes[from].bytes.extend(&writable[..count]);
        self.ends[from].wrote(count, &mut self.pool);
    }

    /// Up to `count` bytes from `from` arrive at the other end.
    fn deliver(&mut self, from: usize, count: usize) -> Result<(), TransportError> {
        let to = 1 - from;
        let Tape { pool, ends, keys, pipes, .. } = self;
        let Pipe { bytes, released, .. } = &mut pipes[from];
        let count = count.min(bytes.len());
        let arrived: Vec<u8> = bytes.drain(..count).collect();
        let expected_peer = keys[from].public();
        ends[to].received(&arrived, &mut keys[to], pool, |_, _, incoming| match incoming {
            Incoming::Established { remote } => assert_eq!(remote, expected_peer),
            Incoming::Message(message) => {
                let sent = released.pop_front().expect("nothing arrives that was not released");
                assert!(sent == message, "messages arrive in order and whole");
            }
        })
    }

    fn play(&mut self, tape: &[(u8, u16)]) -> Result<(), TransportError> {
        for &(op, size) in tape {
            let from = usize::from(op & 1);
            match (op >> 1) % 6 {
                0 | 1 => self.stage(from, size),
                2 => self.release(from),
                3 => self.write(from, usize::from(size)),
                4 => self.deliver(from, usize::from(size % 100))?,
                _ => self.deliver(from, usize::from(size))?,
            }
        }
        Ok(())
    }

    /// Releases, writes and delivers until nothing moves.
    fn drain(&mut self) -> Result<(), TransportError> {
        for _ in 0..4 {
            for from in [0, 1] {
                self.release(from);
                self.write(from, usize::MAX);
                self.deliver(from, usize::MAX)?;
            }
        }
        Ok(())
    }
}

#[test]
fn messages_arrive_as_sent_however_the_bytes_are_cut() {
    fn prop(tape: Vec<(u8, u16)>, early: bool) -> bool {
        let mut world = Tape::new();
        if !early {
            world.drain().expect("an honest network");
        }
        world.play(&tape).expect("an honest network");
        world.drain().expect("an honest network");
        let quiet = world.pipes.iter().all(|pipe| pipe.released.is_empty() && pipe.bytes.is_empty());
        let open = world.ends.iter().all(Transport::is_open);
        quiet && open && world.pool.read_lent() == 0 && world.pool.write_lent() == 0
    }
    QuickCheck::new().rng(Gen::new(200)).tests(200).quickcheck(prop as fn(Vec<(u8, u16)>, bool) -> bool);
}

#[test]
fn a_damaged_bit_ends_the_connection_and_forges_nothing() {
    fn prop(sizes: Vec<u16>, at: usize, bit: u8, cut: usize) -> bool {
        let mut world = Tape::new();
        world.drain().expect("an honest network");
        sizes.iter().chain(&[9]).for_each(|&size| world.stage(0, size));
        world.release(0);
        world.write(0, usize::MAX);
        let bytes = &mut world.pipes[0].bytes;
        let at = at % bytes.len();
        bytes[at] ^= 1 << (bit % 8);
        // The deliveries assert that whatever arrives is what was sent.
        let first = world.deliver(0, cut % (at + 1));
        let second = world.deliver(0, usize::MAX);
        let again =
            world.ends[1].received(&[0; 100], &mut world.keys[1], &mut world.pool, |_, _, _| panic!("it is over"));
        first.is_ok() && matches!(second, Err(TransportError::Frame(_))) && again == second
    }
    QuickCheck::new().rng(Gen::new(50)).tests(300).quickcheck(prop as fn(Vec<u16>, usize, u8, usize) -> bool);
}

#[test]
fn a_damaged_bit_in_the_handshake_opens_no_connection() {
    for act in 0..3 {
        let size = if act == 2 { 66 } else { 50 };
        for bit in 0..8 * size {
            let mut world = Tape::new();
            let from = act % 2;
            for earlier in 0..act {
                world.write(earlier % 2, usize::MAX);
                world.deliver(earlier % 2, usize::MAX).expect("an honest act");
            }
            world.write(from, usize::MAX);
            assert_eq!(world.pipes[from].bytes.len(), size);
            world.pipes[from].bytes[bit / 8] ^= 1 << (bit % 8);
            let result = world.deliver(from, usize::MAX);
            assert!(matches!(result, Err(TransportError::Handshake(_))), "act {act}, bit {bit}: {result:?}");
            assert!(world.ends[1 - from].writable().is_empty(), "nothing is answered");
        }
    }
}

#[test]
fn noise_instead_of_a_peer_never_panics() {
    fn prop(noise: Vec<u8>, valid_version: bool) -> bool {
        let mut pool = BufferPool::new(1);
        let mut key = TestKey::new(2);
        let mut bob = Transport::responder(ephemeral(4));
        let mut noise: Vec<u8> = noise.into_iter().cycle().take(200).collect();
        if valid_version && noise.len() > 1 {
            (noise[0], noise[1]) = (0, 2);
        }
        let result = bob.received(&noise, &mut key, &mut pool, |_, _, _| panic!("noise is no peer"));
        result.is_err() || noise.is_empty()
    }
    QuickCheck::new().tests(300).quickcheck(prop as fn(Vec<u8>, bool) -> bool);
}
