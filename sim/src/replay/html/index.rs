//! Which channels and payments each entry of a timeline is about.

use std::collections::{BTreeMap, BTreeSet};

use leyden_core::clock::Wall;
use leyden_core::ids::{ChannelId, PaymentHash, RequestId, hex_array};
use leyden_core::invoice::Invoice;
use leyden_core::wire::Message;

use crate::replay::text::channel_of;
use crate::replay::timeline::{Entry, Kind, Timeline};

/// What an entry is about: indices into the lists of [`Index`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct About {
    pub(super) channels: BTreeSet<usize>,
    pub(super) payments: BTreeSet<usize>,
}

/// An HTLC as one node sees it: the node, the channel, whether the node offered it, its id.
type HtlcName = (usize, ChannelId, bool, u64);

/// All channels and payments that the entries name.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Each with its names: the id, then temporary and short ones.
    pub(super) channels: Vec<Vec<String>>,
    pub(super) payments: Vec<PaymentHash>,
    by_id: BTreeMap<ChannelId, usize>,
    by_hash: BTreeMap<PaymentHash, usize>,
    /// Words that stand for a channel: its ids, short ids, the funding transaction.
    words: BTreeMap<String, usize>,
    htlcs: BTreeMap<HtlcName, PaymentHash>,
    requests: BTreeMap<(usize, Wall, RequestId), About>,
}

impl Index {
    /// Reads all entries.
    pub(super) fn new(timeline: &Timeline) -> Index {
        let mut index = Index::default();
        for entry in &timeline.entries {
            if let Ok(message) = Message::decode(&entry.message) {
                index.learn(entry, &message);
            }
        }
        // A channel that never got another id keeps the temporary one.
        for entry in &timeline.entries {
            if let Some(id) = channel_of(&entry.message) {
                index.channel(id);
            }
        }
        for entry in timeline.entries.iter().filter(|entry| entry.request.is_some()) {
            for hash in invoices(&entry.text) {
                index.payment(hash);
            }
        }
        for entry in &timeline.entries {
            if let Some(id) = entry.request {
                let about = index.told(entry);
                let known = index.requests.entry((entry.node, entry.run, id)).or_default();
                known.channels.extend(about.channels);
                known.payments.extend(about.payments);
            }
        }
        index
    }

    fn channel(&mut self, id: ChannelId) -> usize {
        let next = self.channels.len();
        let index = *self.by_id.entry(id).or_insert(next);
        if index == next {
            self.channels.push(Vec::new());
            self.name(index, id.to_string());
        }
        index
    }

    fn name(&mut self, channel: usize, name: String) {
        if self.words.insert(name.clone(), channel) != Some(channel) {
            self.channels[channel].push(name);
        }
    }

    fn payment(&mut self, hash: PaymentHash) -> usize {
        let next = self.payments.len();
        let index = *self.by_hash.entry(hash).or_insert(next);
        if index == next {
            self.payments.push(hash);
        }
        index
    }

    fn learn(&mut self, entry: &Entry, message: &Message<'_>) {
        match message {
            Message::FundingCreated(created) => {
                let vout = u32::from(created.funding_output_index);
                let id = ChannelId::from_funding(bitcoin::OutPoint { txid: created.funding_txid, vout });
                let index = self.channel(id);
                self.by_id.insert(created.temporary_channel_id, index);
                self.name(index, created.temporary_channel_id.to_string());
                self.words.insert(created.funding_txid.to_string(), index);
            }
            Message::ChannelReady(ready) => {
                if let Some(alias) = ready.short_channel_id {
                    let index = self.channel(ready.channel_id);
                    self.name(index, alias.to_string());
                }
            }
            Message::AnnouncementSignatures(half) => {
                let index = self.channel(half.channel_id);
                self.name(index, half.short_channel_id.to_string());
            }
            Message::UpdateAddHtlc(add) => {
                self.payment(add.payment_hash);
                let offered = entry.kind == Kind::Sent;
                self.htlcs.insert((entry.node, add.channel_id, offered, add.id), add.payment_hash);
            }
            _ => {}
        }
    }

    /// What an entry is about, with what its request or its answer is about.
    pub(super) fn about(&self, entry: &Entry) -> About {
        let request = entry.request.and_then(|id| self.requests.get(&(entry.node, entry.run, id)));
        request.cloned().unwrap_or_else(|| self.told(entry))
    }

    /// What an entry alone says that it is about.
    fn told(&self, entry: &Entry) -> About {
        let mut about = About::default();
        about.channels.extend(channel_of(&entry.message).and_then(|id| self.by_id.get(&id)));
        // HTLCs are removed by the side that did not offer them.
        let removed = |channel, id| self.htlcs.get(&(entry.node, channel, entry.kind != Kind::Sent, id)).copied();
        let hash = match Message::decode(&entry.message) {
            Ok(Message::UpdateAddHtlc(add)) => Some(add.payment_hash),
            Ok(Message::UpdateFulfillHtlc(fulfill)) => Some(fulfill.payment_preimage.payment_hash()),
            Ok(Message::UpdateFailHtlc(fail)) => removed(fail.channel_id, fail.id),
            Ok(Message::UpdateFailMalformedHtlc(fail)) => removed(fail.channel_id, fail.id),
            Ok(Message::ChannelUpdate(update)) => {
                about.channels.extend(self.words.get(&update.short_channel_id.to_string()));
                None
            }
            _ => None,
        };
        about.payments.extend(hash.and_then(|hash| self.by_hash.get(&hash)));
        for word in words(&entry.text) {
            about.channels.extend(self.words.get(word));
            about.payments.extend(hex_array(word).ok().and_then(|bytes| self.by_hash.get(&PaymentHash(bytes))));
        }
        if entry.request.is_some() {
            about.payments.extend(invoices(&entry.text).filter_map(|hash| self.by_hash.get(&hash)));
        }
        about
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| word.len() >= 5)
}

/// The hashes of the invoices in a text.
fn invoices(text: &str) -> impl Iterator<Item = PaymentHash> {
    let likely = words(text).filter(|word| word.len() > 100 && word.starts_with("ln"));
    likely.filter_map(|word| Invoice::parse(word).ok()).map(|invoice| invoice.payment_hash)
}
