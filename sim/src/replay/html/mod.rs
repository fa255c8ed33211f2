//! A timeline as one page for a browser: a lane for each node, time downwards, messages as arrows between the lanes.
//!
//! The page is a single file that asks no network for anything. What is in it came from peers, in part: it gets there as
//! data that the page's script puts into text nodes only, and in no other way.

mod index;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use leyden_core::clock::Wall;
use leyden_core::command::Level;
use leyden_core::ids::NodeId;
use leyden_core::wire::Message;
use serde_json::{Value, json};

use self::index::Index;
use super::text;
use super::timeline::{Entry, Kind, Timeline};

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Peers that did not record get lanes of their own up to this number, those with the most messages first.
const PEER_LANES_MAX: usize = 6;
/// Of longer values the beginning is shown; that is onions, mostly.
const VALUE_CHARS_MAX: usize = 512;

/// The whole page. The timeline's entries should come from [`Collector::whole`](super::timeline::Collector::whole).
pub fn page(timeline: &Timeline) -> String {
    let (before_style, rest) = PAGE.split_once("@STYLE@").expect("the page has a place for it");
    let (before_data, rest) = rest.split_once("@DATA@").expect("the page has a place for it");
    let (before_script, end) = rest.split_once("@SCRIPT@").expect("the page has a place for it");
    // Within a script element only `<` can end the data early or begin a comment; in JSON it stands in strings alone.
    let data = data(timeline).to_string().replace('<', "\\u003c");
    [before_style, STYLE, before_data, &data, before_script, SCRIPT, end].concat()
}

/// The columns of the diagram.
struct Lanes {
    /// Recorded nodes first, as the timeline has them.
    peers: BTreeMap<NodeId, usize>,
    /// The lane of whoever has none.
    others: Option<usize>,
    shown: Vec<Value>,
}

impl Lanes {
    fn new(timeline: &Timeline) -> Lanes {
        let lane = |name: String, id: String, recorded: bool| json!([name, id, recorded]);
        let mut shown = Vec::new();
        let mut peers = BTreeMap::new();
        for (number, node) in timeline.nodes.iter().enumerate() {
            shown.push(lane(text::letter(number), node.to_string(), true));
            peers.insert(*node, number);
        }
        let mut messages: BTreeMap<Option<NodeId>, usize> = BTreeMap::new();
        let lonely = |entry: &&Entry| matches!(entry.kind, Kind::Sent | Kind::Received) && entry.other_end.is_none();
        for entry in timeline.entries.iter().filter(lonely) {
            if entry.peer.is_none_or(|peer| !peers.contains_key(&peer)) {
                *messages.entry(entry.peer).or_default() += 1;
            }
        }
        let mut by_count: Vec<(usize, NodeId)> =
            messages.iter().filter_map(|(peer, count)| peer.map(|peer| (*count, peer))).collect();
        by_count.sort_by(|one, other| other.0.cmp(&one.0).then(one.1.cmp(&other.1)));
        for (_, peer) in by_count.iter().take(PEER_LANES_MAX) {
            peers.insert(*peer, shown.len());
            shown.push(lane(text::short(peer), peer.to_string(), false));
        }
        let others = (by_count.len() > PEER_LANES_MAX || messages.contains_key(&None)).then_some(shown.len());
        if others.is_some() {
            shown.push(lane("others".to_owned(), "peers that did not record".to_owned(), false));
        }
        Lanes { peers, others, shown }
    }

    fn of(&self, peer: Option<NodeId>) -> Option<usize> {
        peer.and_then(|peer| self.peers.get(&peer).copied()).or(self.others)
    }
}

fn data(timeline: &Timeline) -> Value {
    let (index, lanes) = (Index::new(timeline), Lanes::new(timeline));
    let entries: Vec<Value> = timeline.entries.iter().map(|entry| shown(timeline, entry, &index, &lanes)).collect();
    let walls = || timeline.entries.iter().map(|entry| entry.wall);
    let time = |wall: Option<Wall>| wall.map(text::time);
    json!({
        "lanes": lanes.shown,
        "channels": index.channels,
        "payments": index.payments.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "from": time(walls().min()),
        "to": time(walls().max()),
        "entries": entries,
    })
}

/// The names by which the page's script knows kinds.
fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Start => "start",
        Kind::Received => "received",
        Kind::Sent => "sent",
        Kind::Connection => "connection",
        Kind::Chain => "chain",
        Kind::Request => "request",
        Kind::Reply => "reply",
        Kind::Broadcast => "broadcast",
        Kind::Commit => "commit",
        Kind::Note(Level::Warn | Level::Error) => "alarm",
        Kind::Note(_) => "note",
        Kind::Other => "other",
    }
}

/// An entry as the page's script reads it: place, kind and text; then the other end, what it is about, and the message.
fn shown(timeline: &Timeline, entry: &Entry, index: &Index, lanes: &Lanes) -> Value {
    let about = index.about(entry);
    let end = entry.other_end.map(|end| &timeline.entries[end]);
    let is_message = matches!(entry.kind, Kind::Sent | Kind::Received);
    let to = end.map(|end| end.node).or_else(|| lanes.of(entry.peer).filter(|_| is_message));
    // Both ends have the same bytes: the sender's end shows them.
    let carries = is_message && (entry.kind == Kind::Sent || end.is_none());
    let message = carries.then(|| fields(&entry.message));
    json!([
        entry.node,
        kind(entry.kind),
        entry.wall.0,
        entry.at.turn,
        entry.at.step,
        entry.text,
        to,
        entry.other_end,
        about.channels,
        about.payments,
        message,
    ])
}

/// A message: its name, type and length, then its fields, name and value in turns.
fn fields(bytes: &[u8]) -> Value {
    let Ok(message) = Message::decode(bytes) else {
        return json!(["a message that cannot be read", null, bytes.len(), ["bytes", text::hex(bytes)]]);
    };
    let mut shown = Vec::new();
    message.fields(&mut |name, value| {
        shown.push(name.to_owned());
        shown.push(text::cut(&value.to_string(), VALUE_CHARS_MAX));
    });
    json!([message.name(), message.message_type(), bytes.len(), shown])
}
