//! What a story expects, held against the world.

use leyden_core::request::channel::{ChannelState, PeerChannel};
use leyden_core::request::invoice::{InvoiceFilter, InvoiceStatus, ListInvoices};
use leyden_core::request::payment::{PayStatus, WaitSendPay};
use leyden_core::request::{ErrorData, Request, Response};

use super::Expectation;
use super::run::Telling;
use super::setup::{channels_of, in_channels};
use crate::net::NodeIndex;

/// BOLT 4, failure messages: `incorrect_or_unknown_payment_details`.
const UNKNOWN_DETAILS: u16 = 0x4000 | 15;

impl Telling<'_> {
    pub(super) fn expect(&mut self, expectation: &Expectation) {
        let (holds, found) = match expectation {
            Expectation::Paid(name) => self.has_status(name, PayStatus::Complete),
            Expectation::Failed(name) => self.has_status(name, PayStatus::Failed),
            Expectation::Refused(name) => self.was_refused(name),
            Expectation::Pending(name) => self.has_status(name, PayStatus::Pending),
            Expectation::Status(name, wanted) => {
                let found = self.invoice_status(name);
                (found == Some(*wanted), format!("it is {found:?}"))
            }
            Expectation::Usable(a, b, count) => {
                let channels = self.channels_with(*a, *b);
                let usable =
                    channels.iter().filter(|channel| channel.state == ChannelState::Normal && channel.reestablished);
                let found = usable.count();
                (found == *count, format!("{found} are usable"))
            }
            Expectation::Connected(a, b, wanted) => {
                let peer = self.world.id(*b);
                let found = match self.ask(*a, Request::ListPeers { id: Some(peer) }) {
                    Some(Response::Peers(peers)) => peers.iter().any(|peer| peer.link.is_some()),
                    _ => false,
                };
                (found == *wanted, format!("connected: {found}"))
            }
            Expectation::Says(node, text) => {
                let begin = format!(" {node} ");
                let said = self.world.log.iter().any(|line| line.contains(&begin) && line.contains(text.as_str()));
                (said, "it was not said".to_owned())
            }
            Expectation::Connections(a, b, count) => {
                let found = self.world.connections(*a, *b);
                (found == *count, format!("there are {found}"))
            }
            Expectation::Channels(a, b, state, count) => {
                let channels = self.channels_with(*a, *b);
                let found = channels.iter().filter(|channel| channel.state == *state).count();
                let states: Vec<_> = channels.iter().map(|channel| channel.state).collect();
                (found == *count, format!("they are {states:?}"))
            }
            Expectation::Holds(a, b, count) => {
                let found: usize = self.channels_with(*a, *b).iter().map(|channel| channel.htlcs.len()).sum();
                (found == *count, format!("they hold {found}"))
            }
            Expectation::ChannelFeerate(a, b, feerate) => {
                let found: Vec<u32> = self.channels_with(*a, *b).iter().map(|channel| channel.feerate_per_kw).collect();
                (found.iter().all(|found| found == feerate), format!("they have {found:?}"))
            }
            Expectation::Said(from, to, message_type, count) => {
                let found = self.world.checks().said(*from, *to, *message_type);
                (count.holds(found), format!("it was said {found} times"))
            }
            Expectation::Order(from, to, first, second) => {
                let order = self.world.checks().order(*from, *to);
                let at = |wanted| order.iter().position(|message_type| *message_type == wanted);
                let found = (at(*first), at(*second));
                (found.0.zip(found.1).is_some_and(|(first, second)| first < second), format!("places {found:?}"))
            }
            Expectation::Cuts(a, b, count) => {
                let found = self.world.checks().cuts(*a, *b);
                (count.holds(found), format!("it did so {found} times"))
            }
            Expectation::Dials(a, b, count) => {
                let before = self.dials.get(&(*a, *b)).copied().unwrap_or_default();
                let found = self.world.dials(*a, *b) - before;
                (count.holds(found), format!("it did so {found} times"))
            }
            Expectation::Warned(node, wanted) => {
                let warning = match self.ask(*node, Request::Getinfo) {
                    Some(Response::NodeInfo(info)) => info.warning_backend_sync.or(info.warning_node_sync),
                    _ => None,
                };
                (warning.is_some() == *wanted, format!("it warns: {warning:?}"))
            }
            Expectation::InStep(node) => {
                let (tip, newest) = (self.world.node(*node).tip(), self.world.chain.tip());
                (tip == Some(newest), format!("it stands at {tip:?}, the chain at {newest:?}"))
            }
            Expectation::Gains(node, msat) => {
                let now = in_channels(&mut self.world, *node) as i64;
                let gained = now - self.before[*node] as i64;
                (gained == *msat, format!("it gained {gained} msat"))
            }
        };
        if !holds {
            let text = format!("expected {expectation:?}, but {found}");
            self.world.violate("expectation", 0, text);
        }
    }

    fn invoice_status(&mut self, name: &str) -> Option<InvoiceStatus> {
        let (_, to, _, invoice) = self.invoices.iter().find(|(known, ..)| known == name).cloned()?;
        let list = ListInvoices { filter: InvoiceFilter::PaymentHash(invoice.payment_hash), page: Default::default() };
        match self.ask(to, Request::ListInvoices(list)) {
            Some(Response::Invoices(invoices)) => invoices.first().map(|invoice| invoice.status),
            _ => None,
        }
    }

    /// What a node says of its channels with another; nothing while it is off.
    fn channels_with(&mut self, a: NodeIndex, b: NodeIndex) -> Vec<PeerChannel> {
        if self.world.is_off(a) {
            return Vec::new();
        }
        let peer = self.world.id(b);
        channels_of(&mut self.world, a).into_iter().filter(|channel| channel.peer_id == peer).collect()
    }

    fn has_status(&mut self, name: &str, wanted: PayStatus) -> (bool, String) {
        let Some(index) = self.payments.iter().position(|payment| payment.name == *name) else {
            return (false, "no such payment was begun".to_owned());
        };
        let status = self.status(index);
        (status == Some(wanted), format!("it is {status:?}"))
    }

    /// Was it the payee who refused it, as one that does not know the hash (BOLT 4)?
    fn was_refused(&mut self, name: &str) -> (bool, String) {
        let Some(payment) = self.payments.iter().find(|payment| payment.name == *name).cloned() else {
            return (false, "no such payment was begun".to_owned());
        };
        if self.world.is_off(payment.from) {
            return (false, "its payer is off".to_owned());
        }
        let wait = WaitSendPay { payment_hash: payment.hash, timeout_s: Some(1), part_id: None, group_id: None };
        let reply = self.world.call(payment.from, Request::WaitSendPay(wait));
        let is_so = match &reply {
            Err(error) => match &error.data {
                Some(ErrorData::Payment(failure)) => {
                    let payee = self.world.id(payment.to);
                    failure.failure_code == Some(UNKNOWN_DETAILS) && failure.erring_node == Some(payee)
                }
                _ => false,
            },
            Ok(_) => false,
        };
        (is_so, format!("its payer says {reply:?}"))
    }
}
