//! Several nodes on one line: what each took in and did, in an order that fits all clocks and all messages.

use std::collections::{BTreeMap, VecDeque};

use leyden_core::clock::Wall;
use leyden_core::command::{Command, Level};
use leyden_core::event::Event;
use leyden_core::ids::NodeId;
use leyden_core::recording::{Digester, RecordedEvent};

use super::engine::{At, Step, Watcher};
use super::text;

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The process started.
    Start,
    /// A message came.
    Received,
    /// A message left.
    Sent,
    /// Something about a connection.
    Connection,
    /// Something about the chain.
    Chain,
    /// A control client asked, or nobody waits for its answer any more.
    Request,
    /// A control client was answered.
    Reply,
    /// A transaction was published.
    Broadcast,
    /// The node told people something.
    Note(Level),
    /// Anything else.
    Other,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whose: an index into [`Timeline::nodes`].
    pub node: usize,
    /// Which process of it: when that started.
    pub run: Wall,
    /// Where in that process' run.
    pub at: At,
    /// When, by the node's own clock.
    pub wall: Wall,
    /// What kind.
    pub kind: Kind,
    /// For people.
    pub text: String,
    /// The other end of a message: an index into [`Timeline::entries`].
    pub other_end: Option<usize>,
    /// Of a message: the same at both ends.
    hash: Option<u64>,
}

/// Several nodes on one line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// Who they are.
    pub nodes: Vec<NodeId>,
    /// What happened. A message stands behind its sending; else clocks decide, and each node's own order is kept.
    pub entries: Vec<Entry>,
}

/// Collects what one run did.
#[derive(Debug)]
pub struct Collector {
    node: usize,
    run: Wall,
    wall: Wall,
    /// Notes below this are left out.
    level: Level,
    /// What was collected.
    pub entries: Vec<Entry>,
}

fn hash_of(message: &[u8]) -> u64 {
    let mut digester = Digester::default();
    digester.bytes(message);
    digester.finish()
}

impl Collector {
    /// For the run of a node that has this index.
    pub fn new(node: usize, run: Wall, level: Level) -> Collector {
        Collector { node, run, wall: run, level, entries: Vec::new() }
    }

    fn push(&mut self, at: At, kind: Kind, text: String, hash: Option<u64>) {
        let Collector { node, run, wall, .. } = *self;
        self.entries.push(Entry { node, run, at, wall, kind, text, other_end: None, hash });
    }
}

impl Watcher for Collector {
    fn step(&mut self, step: &Step<'_>) {
        self.wall = step.clock.wall;
        let kind = match step.event {
            RecordedEvent::Start => Kind::Start,
            RecordedEvent::Block { .. } | RecordedEvent::Plain(Event::Chain(_)) => Kind::Chain,
            RecordedEvent::Plain(Event::Received { .. }) => Kind::Received,
            RecordedEvent::Plain(Event::Connected { .. } | Event::Disconnected { .. } | Event::DialFailed { .. }) => {
                Kind::Connection
            }
            RecordedEvent::Plain(Event::Request { .. } | Event::RequestGone { .. }) => Kind::Request,
            // These are the loop's own business, and there are many.
            RecordedEvent::Plain(Event::Deadline | Event::Idle | Event::WriteSpace { .. }) => return,
            _ => Kind::Other,
        };
        let hash = step.event.message().map(|(_, bytes)| hash_of(bytes));
        self.push(step.at, kind, text::event(step.event), hash);
    }

    fn command(&mut self, at: At, command: &Command<'_>) {
        let mut hash = None;
        let kind = match command {
            Command::Send { message, .. } => {
                hash = Some(hash_of(&text::message_bytes(message)));
                Kind::Sent
            }
            Command::Disconnect { .. } | Command::Dial { .. } => Kind::Connection,
            Command::Broadcast { .. } => Kind::Broadcast,
            Command::Reply { .. } => Kind::Reply,
            Command::Note(note) if note.level >= self.level => Kind::Note(note.level),
            Command::Stop => Kind::Other,
            _ => return,
        };
        self.push(at, kind, text::command(command), hash);
    }
}

/// Puts the runs of several nodes on one line. `collected` holds what each run did, in its order; the runs of one node
/// stand one behind the other.
pub fn merge(nodes: Vec<NodeId>, collected: Vec<Vec<Entry>>) -> Timeline {
    let mut lines: Vec<VecDeque<Entry>> = nodes.iter().map(|_| VecDeque::new()).collect();
    for entry in collected.into_iter().flatten() {
        lines[entry.node].push_back(entry);
    }
    // How often each message is received at all: whoever receives more often than others sent has it from elsewhere.
    let mut to_be_sent: BTreeMap<u64, u64> = BTreeMap::new();
    for entry in lines.iter().flatten().filter(|entry| entry.kind == Kind::Sent) {
        *to_be_sent.entry(entry.hash.unwrap_or_default()).or_default() += 1;
    }
    let mut on_the_way: BTreeMap<u64, VecDeque<usize>> = BTreeMap::new();
    let mut entries: Vec<Entry> = Vec::new();
    // Wall clocks may disagree, so a message may wait for its sending: the sender goes first then.
    while lines.iter().any(|line| !line.is_empty()) {
        let waits = |entry: &Entry| {
            let hash = entry.hash.filter(|_| entry.kind == Kind::Received)?;
            let has_left = |at: &usize| entries[*at].node != entry.node;
            let is_there = on_the_way.get(&hash).is_some_and(|sent| sent.iter().any(has_left));
            (!is_there && to_be_sent.get(&hash).is_some_and(|left| *left > 0)).then_some(())
        };
        let heads = || lines.iter().enumerate().filter_map(|(node, line)| Some((node, line.front()?)));
        let earliest = |(node, entry): &(usize, &Entry)| (entry.wall, *node);
        let ready = heads().filter(|(_, entry)| waits(entry).is_none()).min_by_key(earliest);
        // All wait for one another: equal messages were mistaken for each other. Clocks must do.
        let (node, _) = ready.or_else(|| heads().min_by_key(earliest)).expect("some line is not empty");
        let mut entry = lines[node].pop_front().expect("it has a head");
        let index = entries.len();
        match (entry.kind, entry.hash) {
            (Kind::Sent, Some(hash)) => {
                *to_be_sent.entry(hash).or_default() -= 1;
                on_the_way.entry(hash).or_default().push_back(index);
            }
            (Kind::Received, Some(hash)) => {
                let sent = on_the_way.get_mut(&hash);
                let found = sent.and_then(|sent| {
                    let at = sent.iter().position(|at| entries[*at].node != entry.node)?;
                    sent.remove(at)
                });
                if let Some(found) = found {
                    entry.other_end = Some(found);
                    entries[found].other_end = Some(index);
                }
            }
            _ => {}
        }
        entries.push(entry);
    }
    Timeline { nodes, entries }
}
