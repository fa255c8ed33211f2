//! Peers that do not keep the rules. Such a node is a real one, which opens channels, signs and pays; but what it says
//! passes through its habits first, and comes out otherwise.

use leyden_core::wire::{Cursor, Message, Ping};

use super::World;
use crate::draw::{Domain, Stream};
use crate::net::NodeIndex;

/// What a flood adds to each message, at most.
const FLOOD: u64 = 30;

/// A way not to keep the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// Whatever it says, it adds pings, warnings and messages that nobody knows, small and large.
    Floods,
    /// It never answers a ping.
    Deaf,
    /// It settles no HTLC: once it would remove one it says nothing more about any channel, and keeps the connection.
    Holds,
    /// One bit is wrong.
    Spoils,
    /// It says things twice.
    Stutters,
    /// It says nothing at all where it should say something.
    Swallows,
    /// What it says comes behind what it says next.
    Swaps,
    /// The end is missing.
    Shortens,
    /// Something is added at the end.
    Lengthens,
    /// The kind is right, and nothing else.
    Garbles,
    /// After a reconnection the numbers of its commitments are wrong.
    Misremembers,
}

impl Habit {
    /// All of them, and what they are called.
    pub const ALL: [(Habit, &'static str); 11] = [
        (Habit::Floods, "floods"),
        (Habit::Deaf, "deaf"),
        (Habit::Holds, "holds"),
        (Habit::Spoils, "spoils"),
        (Habit::Stutters, "stutters"),
        (Habit::Swallows, "swallows"),
        (Habit::Swaps, "swaps"),
        (Habit::Shortens, "shortens"),
        (Habit::Lengthens, "lengthens"),
        (Habit::Garbles, "garbles"),
        (Habit::Misremembers, "misremembers"),
    ];
}

/// A node's habits, and what they have to remember.
#[derive(Debug)]
pub(super) struct Character {
    habit: Habit,
    percent: u64,
    choices: Stream,
    /// Connections on which it has fallen silent.
    silent: Vec<u32>,
    /// What waits to be said behind the next message, and where.
    behind: Option<(u32, Vec<u8>)>,
}

const PONG: u16 = 19;
const INIT: u16 = 16;
const CHANNEL_REESTABLISH: u16 = 136;

/// Messages about channels that exist.
fn is_of_channel(message_type: u16) -> bool {
    (38..=136).contains(&message_type)
}

fn is_removal(message_type: u16) -> bool {
    matches!(message_type, 130 | 131 | 135)
}

impl Character {
    /// What is said instead of `message`.
    fn say(&mut self, link: u32, mut message: Vec<u8>) -> Vec<Vec<u8>> {
        let message_type = u16::from_be_bytes([message[0], message[1]]);
        // Without the first message of a connection there is nobody to do anything to.
        if message_type == INIT {
            return vec![message];
        }
        let Character { habit, percent, choices, silent, behind } = self;
        let is_struck = choices.chance(*percent);
        if *habit == Habit::Holds {
            if is_removal(message_type) && is_struck && !silent.contains(&link) {
                silent.push(link);
            }
            let is_held = silent.contains(&link) && is_of_channel(message_type);
            return if is_held { Vec::new() } else { vec![message] };
        }
        if let Some((other, waited)) = behind.take() {
            return if other == link { vec![message, waited] } else { vec![message] };
        }
        if !is_struck {
            return vec![message];
        }
        // What follows changes bytes behind the type.
        let len = message.len();
        let somewhere = |choices: &mut Stream| 2 + choices.below((len as u64 - 2).max(1)) as usize;
        match habit {
            Habit::Deaf if message_type == PONG => return Vec::new(),
            Habit::Swallows => return Vec::new(),
            Habit::Stutters => return vec![message.clone(), message],
            Habit::Swaps => {
                *behind = Some((link, message));
                return Vec::new();
            }
            Habit::Floods => {
                let mut flood = vec![message];
                flood.extend((0..choices.below(FLOOD)).map(|_| flotsam(choices)));
                return flood;
            }
            Habit::Spoils => {
                if let Some(byte) = message.get_mut(somewhere(choices)) {
                    *byte ^= 1 << choices.below(8);
                }
            }
            Habit::Shortens => message.truncate(somewhere(choices)),
            Habit::Lengthens => {
                let more = choices.between(1, 300);
                message.extend((0..more).map(|_| choices.below(256) as u8));
                message.truncate(usize::from(u16::MAX));
            }
            Habit::Garbles => message[2..].iter_mut().for_each(|byte| *byte = choices.below(256) as u8),
            Habit::Misremembers if message_type == CHANNEL_REESTABLISH => {
                // The two numbers stand behind the channel's id, eight bytes each.
                let at = 34 + 8 * choices.below(2) as usize;
                let number: &mut [u8; 8] = (&mut message[at..at + 8]).try_into().expect("eight bytes");
                let right = u64::from_be_bytes(*number);
                let wrong = match choices.below(4) {
                    0 => right.wrapping_add(1),
                    1 => right.wrapping_sub(1),
                    2 => right.wrapping_add(choices.between(2, 1_000)),
                    _ => choices.below(u64::MAX),
                };
                *number = wrong.to_be_bytes();
            }
            Habit::Deaf | Habit::Misremembers | Habit::Holds => {}
        }
        vec![message]
    }
}

/// Something that a flood carries.
fn flotsam(choices: &mut Stream) -> Vec<u8> {
    let zeros = [0; 1_000];
    match choices.below(3) {
        0 => {
            let num_pong_bytes = choices.below(65_536) as u16;
            let ping = Message::Ping(Ping { num_pong_bytes, ignored: &zeros[..choices.below(1_000) as usize] });
            let mut bytes = vec![0; ping.encoded_len()];
            ping.encode(&mut Cursor::new(&mut bytes)).expect("it has the length that it says");
            bytes
        }
        // A warning for nobody, and a message that may be ignored.
        1 => [&[0, 1][..], &[0; 32], &[0, 4], b"woe!"].concat(),
        _ => [&[0xff, 0xff][..], &vec![7; choices.below(65_000) as usize]].concat(),
    }
}

impl World {
    /// From now on a node has a habit, in so many of a hundred cases. It replaces the one that the node had.
    pub fn takes_to(&mut self, node: NodeIndex, habit: Habit, percent: u64) {
        let choices = self.draw.stream(Domain::Habits, node as u64);
        let character = Character { habit, percent, choices, silent: Vec::new(), behind: None };
        self.habits.insert(node, character);
    }

    /// What a node says when it says this.
    pub(super) fn mouth(&mut self, node: NodeIndex, link: u32, message: Vec<u8>) -> Vec<Vec<u8>> {
        match self.habits.get_mut(&node) {
            Some(character) => character.say(link, message),
            None => vec![message],
        }
    }
}
