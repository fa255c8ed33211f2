//! What was said, counted: for expectations of stories, and to say again what a bad peer has said before.

use std::collections::{BTreeMap, BTreeSet};

use leyden_core::wire;

use crate::net::NodeIndex;

/// Messages of one connection whose order is kept: enough for how a connection begins.
const ORDER_MAX: usize = 256;
/// What a node gives as its reason when a ping was not answered.
const SILENT: &str = "no answer to a ping";

/// From whom to whom.
type Way = (NodeIndex, NodeIndex);

/// All that was said, as far as somebody may ask for it.
#[derive(Default)]
pub(super) struct Words {
    /// How often each type was said.
    said: BTreeMap<(Way, u16), u64>,
    /// The types said since the last `init`, in order.
    order: BTreeMap<Way, Vec<u16>>,
    /// What bad nodes said last, by type.
    last: BTreeMap<(Way, u16), Vec<u8>>,
    /// How many connections one node has ended with another.
    cuts: BTreeMap<Way, u64>,
    /// Who has pinged on which connection, and has heard nothing since.
    unanswered: BTreeSet<(u32, NodeIndex)>,
}

impl Words {
    /// The story begins: what was said before does not count.
    pub(super) fn begin(&mut self) {
        self.said.clear();
        self.cuts.clear();
    }

    pub(super) fn see(&mut self, link: u32, way: Way, message: &[u8], is_bad: bool) {
        let Some(&[high, low]) = message.get(..2).and_then(|bytes| bytes.first_chunk()) else { return };
        let message_type = u16::from_be_bytes([high, low]);
        *self.said.entry((way, message_type)).or_default() += 1;
        let order = self.order.entry(way).or_default();
        if message_type == wire::Init::TYPE {
            order.clear();
        }
        if order.len() < ORDER_MAX {
            order.push(message_type);
        }
        if message_type == wire::Ping::TYPE {
            self.unanswered.insert((link, way.0));
        }
        if is_bad {
            self.last.insert((way, message_type), message.to_vec());
        }
    }

    pub(super) fn heard(&mut self, link: u32, node: NodeIndex) {
        self.unanswered.remove(&(link, node));
    }

    /// A node ends a connection. An error says why it should not have.
    pub(super) fn cut(&mut self, link: u32, way: Way, reason: &str) -> Result<(), String> {
        *self.cuts.entry(way).or_default() += 1;
        let is_silent = self.unanswered.remove(&(link, way.0));
        if reason == SILENT && !is_silent {
            return Err(format!("it ends a connection for want of a pong that it had, or never asked for: {way:?}"));
        }
        Ok(())
    }

    pub(super) fn count(&self, way: Way, message_type: u16) -> u64 {
        self.said.get(&(way, message_type)).copied().unwrap_or(0)
    }

    pub(super) fn cuts(&self, way: Way) -> u64 {
        self.cuts.get(&way).copied().unwrap_or(0)
    }

    pub(super) fn order(&self, way: Way) -> &[u16] {
        self.order.get(&way).map_or(&[], Vec::as_slice)
    }

    pub(super) fn last(&self, way: Way, message_type: u16) -> Option<&Vec<u8>> {
        self.last.get(&(way, message_type))
    }
}
