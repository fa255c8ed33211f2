//! Why a channel or a payment came to its end: all that touched it, in order, with what the node said about it.

use std::collections::BTreeSet;

use bitcoin::{Transaction, Txid};
use leyden_core::clock::Wall;
use leyden_core::command::Command;
use leyden_core::event::{ChainEvent, Event};
use leyden_core::ids::{ChannelId, PaymentHash, RequestId, ShortChannelId, hex_array};
use leyden_core::invoice::Invoice;
use leyden_core::recording::RecordedEvent;
use leyden_core::wire::Message;

use super::engine::{At, Divergence, Replay, Step, Watcher};
use super::file::Run;
use super::text;

/// An HTLC: its channel, whether we offered it, its id.
type HtlcName = (ChannelId, bool, u64);

/// A channel or a payment, with all names that it is known to have.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// A channel's id and its temporary one.
    channels: BTreeSet<ChannelId>,
    scids: BTreeSet<ShortChannelId>,
    hashes: BTreeSet<PaymentHash>,
    htlcs: BTreeSet<HtlcName>,
    /// Transactions that spend a channel, and those that spend them.
    txids: BTreeSet<Txid>,
    requests: BTreeSet<RequestId>,
    /// As it stands in notes.
    names: BTreeSet<String>,
}

impl Subject {
    /// A channel id or a payment hash, 64 hexadecimal digits both; or a short channel id.
    pub fn parse(given: &str) -> Option<Subject> {
        let mut subject = Subject::default();
        if let Ok(bytes) = hex_array::<32>(given) {
            // What it is shows when it is met.
            subject.channels.insert(ChannelId(bytes));
            subject.hashes.insert(PaymentHash(bytes));
        } else {
            subject.scids.insert(given.parse().ok()?);
        }
        subject.names.insert(given.to_lowercase());
        Some(subject)
    }

    /// The channel that stands for a short channel id is known by its id as well.
    pub fn add_channel(&mut self, id: ChannelId) {
        self.channels.insert(id);
        self.names.insert(id.to_string());
    }

    /// The short channel ids that it was given as.
    pub fn scids(&self) -> impl Iterator<Item = ShortChannelId> + '_ {
        self.scids.iter().copied()
    }

    /// Is it about this message? Learns from it.
    fn message(&mut self, bytes: &[u8], sent: bool) -> bool {
        let Ok(message) = Message::decode(bytes) else { return false };
        let mut touched = text::channel_of(bytes).is_some_and(|id| self.channels.contains(&id));
        match &message {
            Message::FundingCreated(created) => {
                let vout = u32::from(created.funding_output_index);
                let id = ChannelId::from_funding(bitcoin::OutPoint { txid: created.funding_txid, vout });
                if touched || self.channels.contains(&id) {
                    touched = true;
                    self.add_channel(id);
                    self.add_channel(created.temporary_channel_id);
                }
            }
            Message::UpdateAddHtlc(add) if self.hashes.contains(&add.payment_hash) => {
                touched = true;
                self.htlcs.insert((add.channel_id, sent, add.id));
            }
            Message::UpdateFulfillHtlc(fulfill) => {
                touched |= self.hashes.contains(&fulfill.payment_preimage.payment_hash());
                touched |= self.htlcs.contains(&(fulfill.channel_id, !sent, fulfill.id));
            }
            Message::UpdateFailHtlc(fail) => touched |= self.htlcs.contains(&(fail.channel_id, !sent, fail.id)),
            Message::UpdateFailMalformedHtlc(fail) => {
                touched |= self.htlcs.contains(&(fail.channel_id, !sent, fail.id));
            }
            Message::ChannelUpdate(update) => touched |= self.scids.contains(&update.short_channel_id),
            Message::AnnouncementSignatures(half) if touched => {
                self.scids.insert(half.short_channel_id);
                self.names.insert(half.short_channel_id.to_string());
            }
            _ => {}
        }
        touched
    }

    fn transaction(&mut self, tx: &Transaction) -> bool {
        let txid = tx.compute_txid();
        let funds = (0..tx.output.len() as u32)
            .any(|vout| self.channels.contains(&ChannelId::from_funding(bitcoin::OutPoint { txid, vout })));
        let spends = tx.input.iter().any(|input| {
            let spent = input.previous_output;
            self.txids.contains(&spent.txid) || self.channels.contains(&ChannelId::from_funding(spent))
        });
        if spends {
            self.txids.insert(txid);
        }
        funds || spends || self.txids.contains(&txid)
    }

    /// Does a text name it, or hold an invoice with its hash?
    fn text(&self, text: &str) -> bool {
        let invoice = |word: &str| {
            word.len() > 100
                && word.starts_with("ln")
                && Invoice::parse(word).is_ok_and(|invoice| self.hashes.contains(&invoice.payment_hash))
        };
        self.names.iter().any(|name| text.contains(name))
            || text.split(|c: char| !c.is_ascii_alphanumeric()).any(invoice)
    }

    fn event(&mut self, event: &RecordedEvent<'_>) -> bool {
        if let Some((_, bytes)) = event.message() {
            return self.message(bytes, false);
        }
        match event {
            RecordedEvent::Block { matches, .. } => {
                // All of them: each may lead to the next.
                let touched: Vec<bool> = matches.iter().map(|(_, tx)| self.transaction(tx)).collect();
                touched.contains(&true)
            }
            RecordedEvent::Plain(Event::Chain(ChainEvent::Broadcast { txid, .. })) => self.txids.contains(txid),
            RecordedEvent::Plain(Event::Request { id, request }) => {
                let touched = self.text(&format!("{request:?}"));
                if touched {
                    self.requests.insert(*id);
                }
                touched
            }
            RecordedEvent::Plain(Event::RequestGone { id }) => self.requests.contains(id),
            _ => false,
        }
    }

    fn command(&mut self, command: &Command<'_>) -> bool {
        match command {
            Command::Send { message, .. } => self.message(&text::message_bytes(message), true),
            Command::Broadcast { tx, .. } => self.transaction(tx),
            Command::Reply { id, result } => self.requests.contains(id) || self.text(&format!("{result:?}")),
            Command::Note(note) => self.text(&note.text.to_string()),
            _ => false,
        }
    }
}

/// A step in which the subject was touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// Where.
    pub at: At,
    /// When.
    pub wall: Wall,
    /// What happened.
    pub event: String,
    /// What the node did about it, and all that it said meanwhile.
    pub commands: Vec<String>,
    /// How many rows it wrote.
    pub rows: usize,
}

struct Explainer<'s> {
    subject: &'s mut Subject,
    /// The step in hand, and whether it is about the subject.
    step: Option<(bool, Explained)>,
    found: Vec<Explained>,
}

impl Explainer<'_> {
    fn finish(&mut self) {
        if let Some((true, explained)) = self.step.take() {
            self.found.push(explained);
        }
    }
}

impl Watcher for Explainer<'_> {
    fn step(&mut self, step: &Step<'_>) {
        self.finish();
        let touched = self.subject.event(step.event);
        let (event, wall) = (text::event(step.event), step.clock.wall);
        self.step = Some((touched, Explained { at: step.at, wall, event, commands: Vec::new(), rows: 0 }));
    }

    fn command(&mut self, _: At, command: &Command<'_>) {
        let touches = self.subject.command(command);
        let Some((touched, explained)) = &mut self.step else { return };
        *touched |= touches;
        match command {
            Command::Put { .. } | Command::Delete { .. } => explained.rows += 1,
            // Notes say why; whatever names the subject is what was done.
            Command::Note(_) => explained.commands.push(text::command(command)),
            _ if touches => explained.commands.push(text::command(command)),
            _ => {}
        }
    }
}

/// All steps of a run that are about `subject`, up to a divergence.
///
/// It goes over the run twice: names that show later (a channel's id behind its temporary one) count from the start.
pub fn explain(run: &Run<'_>, subject: &mut Subject, until: u64) -> (Vec<Explained>, Option<Box<Divergence>>) {
    let mut end = None;
    let mut found = Vec::new();
    for _ in 0..2 {
        let mut explainer = Explainer { subject: &mut *subject, step: None, found: Vec::new() };
        let mut replay = Replay::new(run);
        end = None;
        loop {
            match replay.next_turn() {
                Ok(Some(turn)) if turn.number <= until => match replay.take(&turn, &mut explainer) {
                    Ok(Ok(())) => {}
                    Ok(Err(divergence)) => {
                        end = Some(divergence);
                        break;
                    }
                    Err(_) => replay.skip_segment(),
                },
                Ok(_) => break,
                Err(_) => {}
            }
        }
        explainer.finish();
        found = explainer.found;
    }
    (found, end)
}
