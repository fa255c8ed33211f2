//! Several nodes on one line: what each took in and did, in an order that fits all clocks and all messages.

use std::collections::BTreeMap;

use leyden_core::clock::Wall;
use leyden_core::command::{Command, Level};
use leyden_core::event::Event;
use leyden_core::ids::{ConnId, NodeId, RequestId};
use leyden_core::recording::{Digester, RecordedEvent};
use leyden_core::store::Table;

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
    /// What the turn has changed is on disk; only then leaves what it has to say.
    Commit,
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
    /// Who is at the other end of its connection, if it is about one and the recording has its beginning.
    pub peer: Option<NodeId>,
    /// The request that it is, or that it answers.
    pub request: Option<RequestId>,
    /// All bytes of a message, if they are collected.
    pub message: Vec<u8>,
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
    peers: BTreeMap<ConnId, NodeId>,
    /// Collects commits and bytes of messages as well?
    whole: bool,
    turn: TurnSoFar,
    /// What was collected.
    pub entries: Vec<Entry>,
}

/// The turn that is being replayed: what it says leaves behind its commit.
#[derive(Debug, Default)]
struct TurnSoFar {
    at: At,
    rows: BTreeMap<Table, usize>,
    leaving: Vec<Entry>,
}

fn hash_of(message: &[u8]) -> u64 {
    let mut digester = Digester::default();
    digester.bytes(message);
    digester.finish()
}

/// Answers can list everything that a node has; the beginning of one tells what it is about.
const REPLY_CHARS_MAX: usize = 1_500;

impl Collector {
    /// For the run of a node that has this index.
    pub fn new(node: usize, run: Wall, level: Level) -> Collector {
        let (peers, turn) = Default::default();
        Collector { node, run, wall: run, level, peers, whole: false, turn, entries: Vec::new() }
    }

    /// The same with the bytes of messages, and with commits: what leaves stands behind the commit of its turn. The end is
    /// [`Collector::finish`].
    pub fn whole(node: usize, run: Wall, level: Level) -> Collector {
        Collector { whole: true, ..Collector::new(node, run, level) }
    }

    /// Everything.
    pub fn finish(mut self) -> Vec<Entry> {
        self.end_turn();
        self.entries
    }

    fn entry(&self, at: At, kind: Kind, text: String) -> Entry {
        let Collector { node, run, wall, .. } = *self;
        let (other_end, peer, request, message, hash) = Default::default();
        Entry { node, run, at, wall, kind, text, other_end, peer, request, message, hash }
    }

    fn end_turn(&mut self) {
        let rows: Vec<String> = self.turn.rows.iter().map(|(table, count)| format!("{table:?} {count}")).collect();
        if !rows.is_empty() {
            self.entries.push(self.entry(self.turn.at, Kind::Commit, format!("commit: {}", rows.join(", "))));
            self.turn.rows.clear();
        }
        self.entries.append(&mut self.turn.leaving);
    }

    fn kept(&self, message: &[u8]) -> Vec<u8> {
        if self.whole { message.to_vec() } else { Vec::new() }
    }
}

impl Watcher for Collector {
    fn step(&mut self, step: &Step<'_>) {
        if step.at.turn != self.turn.at.turn {
            self.end_turn();
        }
        self.turn.at = step.at;
        self.wall = step.clock.wall;
        let (mut conn, mut request) = (None, None);
        let kind = match step.event {
            RecordedEvent::Start => Kind::Start,
            RecordedEvent::Block { .. } | RecordedEvent::Plain(Event::Chain(_)) => Kind::Chain,
            RecordedEvent::Plain(Event::Received { conn: from, .. }) => {
                conn = Some(*from);
                Kind::Received
            }
            RecordedEvent::Plain(Event::Connected { conn: new, peer, .. }) => {
                self.peers.insert(*new, *peer);
                conn = Some(*new);
                Kind::Connection
            }
            RecordedEvent::Plain(Event::Disconnected { conn: old, .. }) => {
                conn = Some(*old);
                Kind::Connection
            }
            RecordedEvent::Plain(Event::DialFailed { .. }) => Kind::Connection,
            RecordedEvent::Plain(Event::Request { id, .. } | Event::RequestGone { id }) => {
                request = Some(*id);
                Kind::Request
            }
            // These are the loop's own business, and there are many.
            RecordedEvent::Plain(Event::Deadline | Event::Idle | Event::WriteSpace { .. }) => return,
            _ => Kind::Other,
        };
        let mut entry = self.entry(step.at, kind, text::event(step.event));
        entry.peer = conn.and_then(|conn| self.peers.get(&conn).copied());
        entry.request = request;
        if let Some((_, bytes)) = step.event.message() {
            entry.hash = Some(hash_of(bytes));
            entry.message = self.kept(bytes);
        }
        self.entries.push(entry);
    }

    fn command(&mut self, at: At, command: &Command<'_>) {
        let mut entry = self.entry(at, Kind::Other, String::new());
        entry.kind = match command {
            Command::Send { conn, message } => {
                let bytes = text::message_bytes(message);
                entry.hash = Some(hash_of(&bytes));
                entry.message = self.kept(&bytes);
                entry.peer = self.peers.get(conn).copied();
                Kind::Sent
            }
            Command::Disconnect { conn, .. } => {
                entry.peer = self.peers.get(conn).copied();
                Kind::Connection
            }
            Command::Dial { peer, .. } => {
                entry.peer = Some(*peer);
                Kind::Connection
            }
            Command::Broadcast { .. } => Kind::Broadcast,
            Command::Reply { id, .. } => {
                entry.request = Some(*id);
                Kind::Reply
            }
            Command::Note(note) if note.level >= self.level => Kind::Note(note.level),
            Command::Put { table, .. } | Command::Delete { table, .. } if self.whole => {
                *self.turn.rows.entry(*table).or_default() += 1;
                return;
            }
            Command::Stop => Kind::Other,
            _ => return,
        };
        entry.text = match command {
            Command::Reply { id, result: Ok(response) } if self.whole => {
                format!("reply to request {id}: {}", text::cut(&format!("{response:?}"), REPLY_CHARS_MAX))
            }
            _ => text::command(command),
        };
        // People are told at once; all else waits for the commit.
        if self.whole && !matches!(entry.kind, Kind::Note(_)) {
            self.turn.leaving.push(entry);
        } else {
            self.entries.push(entry);
        }
    }
}

/// An entry before the merge: its node, and its place among that node's.
type Place = (usize, usize);

/// Finds the sending of each message that was received: the pairs, by the receiving end.
///
/// Messages that can come from one sending only leave no choice, and show how far the clocks of two nodes are apart.
/// Equal messages (pings, and what is repeated after a reconnect) are told apart by time: none comes before it was sent.
/// An end may be missing, where a process died before it had written its recording.
fn pair(lines: &[Vec<Entry>]) -> BTreeMap<Place, Place> {
    /// Clocks are read once per turn, and rounded.
    const ROUNDING_MS: i64 = 2;
    let mut ends: BTreeMap<u64, (Vec<Place>, Vec<Place>)> = BTreeMap::new();
    for (node, line) in lines.iter().enumerate() {
        for (at, entry) in line.iter().enumerate() {
            if let Some(hash) = entry.hash {
                let (sent, received) = ends.entry(hash).or_default();
                if entry.kind == Kind::Sent { sent } else { received }.push((node, at));
            }
        }
    }
    let wall = |(node, at): Place| lines[node][at].wall.0 as i64;
    let mut pairs = BTreeMap::new();
    let mut delays: BTreeMap<(usize, usize), i64> = BTreeMap::new();
    for (sent, received) in ends.values_mut() {
        // Nobody receives what it sent itself.
        let no_choice = |to: &Place| {
            let mut from = sent.iter().filter(|from| from.0 != to.0);
            let only = from.next().filter(|_| from.next().is_none());
            only.copied().filter(|_| received.iter().filter(|other| other.0 == to.0).count() == 1)
        };
        let certain: Vec<(Place, Place)> = received.iter().filter_map(|to| Some((*to, no_choice(to)?))).collect();
        for (to, from) in certain {
            if sent.contains(&from) {
                let delay = wall(to) - wall(from);
                let least = delays.entry((from.0, to.0)).or_insert(delay);
                *least = delay.min(*least);
                pairs.insert(to, from);
                sent.retain(|other| *other != from);
                received.retain(|other| *other != to);
            }
        }
    }
    for (mut sent, mut received) in ends.into_values() {
        sent.sort_by_key(|place| wall(*place));
        received.sort_by_key(|place| wall(*place));
        // The latest first, each with the latest sending that it can come from: what lost its other end stays alone.
        for to in received.into_iter().rev() {
            let could_be = |from: &Place| {
                let delay = delays.get(&(from.0, to.0)).copied().unwrap_or(0);
                from.0 != to.0 && wall(*from) + delay <= wall(to) + ROUNDING_MS
            };
            if let Some(at) = sent.iter().rposition(could_be) {
                pairs.insert(to, sent.remove(at));
            }
        }
    }
    pairs
}

/// Puts the runs of several nodes on one line. `collected` holds what each run did, in its order; the runs of one node
/// stand one behind the other.
pub fn merge(nodes: Vec<NodeId>, collected: Vec<Vec<Entry>>) -> Timeline {
    let mut lines: Vec<Vec<Entry>> = nodes.iter().map(|_| Vec::new()).collect();
    for entry in collected.into_iter().flatten() {
        lines[entry.node].push(entry);
    }
    let pairs = pair(&lines);
    let mut heads = vec![0; lines.len()];
    let mut placed: BTreeMap<Place, usize> = BTreeMap::new();
    let mut entries: Vec<Entry> = Vec::with_capacity(lines.iter().map(Vec::len).sum());
    loop {
        let mut best: Option<(bool, Wall, Place)> = None;
        for (node, at) in heads.iter().enumerate().filter(|(node, at)| **at < lines[*node].len()) {
            let waits = pairs.get(&(node, *at)).is_some_and(|sent| !placed.contains_key(sent));
            let candidate = (waits, lines[node][*at].wall, (node, *at));
            // If all wait, equal messages were mistaken for each other, and clocks must do.
            best = Some(best.map_or(candidate, |best| best.min(candidate)));
        }
        let Some((_, _, (node, at))) = best else { break };
        heads[node] += 1;
        let index = entries.len();
        // The bytes may be many, and are needed here alone.
        let message = std::mem::take(&mut lines[node][at].message);
        let mut entry = Entry { message, ..lines[node][at].clone() };
        if let Some(sent) = pairs.get(&(node, at)).and_then(|sent| placed.get(sent)) {
            entry.other_end = Some(*sent);
            entries[*sent].other_end = Some(index);
        }
        if entry.kind == Kind::Sent {
            placed.insert((node, at), index);
        }
        entries.push(entry);
    }
    Timeline { nodes, entries }
}
