//! Paying: clients' calls and what they are answered.
//!
//! A hash that is paid is never paid again; while a payment of it is in flight no second one begins. `drive` does what
//! is between a call of `pay` and its answer, `parts` is for clients that drive their payments themselves.

mod drive;
mod parts;
mod plan;

use super::history::part_result;
use super::payments::Cue;
use super::{Io, Node, NodeTimer};
use crate::amount::Msat;
use crate::clock::Wall;
use crate::ids::{PaymentHash, Preimage, RequestId};
use crate::invoice::{Invoice, InvoiceError};
use crate::limits::HTLC_CLTV_MAX;
use crate::payment::TooMany;
use crate::payment::outgoing::{Drive, Payment, Style};
use crate::payment::rows::{PartRow, PartState, PaymentEndRow, PaymentHashRow, PaymentRow, hash_key, index_key};
use crate::request::payment::{Exclusion, FeeLimit, Paid, Pay, XPaid, XPay};
use crate::request::{Request, RequestError, Response};

/// `pay` gives forwarding nodes at most this share of the amount, in millionths, if the caller says nothing.
const FEE_SHARE_MILLIONTHS: u64 = 5_000;
/// … and in any case so much.
const FEE_EXEMPT: Msat = Msat(5_000);

/// What `pay` and `xpay` ask alike.
struct Wish {
    style: Style,
    invoice: String,
    amount: Option<Msat>,
    label: Option<String>,
    fee: FeeLimit,
    retry_for_s: u64,
    delay_max: Option<u32>,
    exclude: Vec<Exclusion>,
    description: Option<String>,
    partial: Option<Msat>,
}

impl From<Pay> for Wish {
    fn from(pay: Pay) -> Wish {
        Wish {
            style: Style::Pay,
            invoice: pay.invoice,
            amount: pay.amount_msat,
            label: pay.label,
            fee: pay.fee_limit,
            retry_for_s: pay.retry_for_s,
            delay_max: pay.max_delay_blocks,
            exclude: pay.exclude,
            description: pay.description,
            partial: pay.partial_msat,
        }
    }
}

impl From<XPay> for Wish {
    fn from(pay: XPay) -> Wish {
        Wish {
            style: Style::Xpay,
            invoice: pay.invoice,
            amount: pay.amount_msat,
            label: pay.label,
            fee: pay.max_fee_msat.map_or(FeeLimit::Default, FeeLimit::Absolute),
            retry_for_s: pay.retry_for_s,
            delay_max: pay.max_delay_blocks,
            exclude: Vec::new(),
            description: None,
            partial: pay.partial_msat,
        }
    }
}

fn fee_max(limit: FeeLimit, amount: Msat) -> Msat {
    let share = |millionths: u64| Msat((u128::from(amount.0) * u128::from(millionths) / 1_000_000) as u64);
    match limit {
        FeeLimit::Default => share(FEE_SHARE_MILLIONTHS).max(FEE_EXEMPT),
        FeeLimit::Absolute(fee) => fee,
        FeeLimit::Proportional { millionths, exempt_msat } => share(millionths.min(1_000_000)).max(exempt_msat),
    }
}

fn in_progress() -> RequestError {
    RequestError::new(RequestError::PAY_IN_PROGRESS, "Payment is in progress: wait for it with listpays or waitsendpay")
}

fn invalid_invoice(error: InvoiceError) -> RequestError {
    RequestError::invalid_params(format!("Invalid invoice: {error}"))
}

impl Node {
    /// `pay`, `xpay`, `sendpay`, `sendonion`: what comes before anything is sent.
    pub(super) fn on_pay(&mut self, io: &mut Io<'_>, request: RequestId, asked: Request) {
        let hash = match &asked {
            Request::Pay(pay) => Node::invoice_hash(&pay.invoice),
            Request::XPay(pay) => Node::invoice_hash(&pay.invoice),
            Request::SendPay(send) => Ok(send.payment_hash),
            Request::SendOnion(send) => Ok(send.payment_hash),
            _ => unreachable!("on_pay is for requests that pay"),
        };
        let hash = match hash {
            Ok(hash) => hash,
            Err(error) => return io.reply(request, Err(error)),
        };
        let driven = matches!(asked, Request::Pay(_) | Request::XPay(_));
        if driven && self.outgoing.by_hash(hash).next().is_some() {
            return io.reply(request, Err(in_progress()));
        }
        self.unless_paid(io, request, hash, asked);
    }

    fn invoice_hash(text: &str) -> Result<PaymentHash, RequestError> {
        // Whether it is signed is asked when it is paid: once.
        Invoice::payment_hash_of(text).map_err(invalid_invoice)
    }

    fn parse_invoice(&self, text: &str) -> Result<Invoice, RequestError> {
        let invoice = Invoice::parse(text).map_err(invalid_invoice)?;
        if invoice.currency != self.config.network {
            let text = format!(
                "Invalid invoice: it is for the network {}, this node is on {}",
                invoice.currency.name(),
                self.config.network.name()
            );
            return Err(RequestError::invalid_params(text));
        }
        Ok(invoice)
    }

    /// The hash was paid before: tell how, and pay nothing.
    #[expect(clippy::too_many_arguments, reason = "the parts of one stored payment")]
    pub(super) fn answer_paid_before(
        &mut self,
        io: &mut Io<'_>,
        request: RequestId,
        asked: &Request,
        _index: u64,
        payment: &PaymentRow,
        end: &PaymentEndRow,
        parts: std::collections::BTreeMap<u64, PartRow>,
    ) {
        let Some(preimage) = end.preimage.map(Preimage) else { return };
        let result = match asked {
            Request::Pay(_) => Ok(Response::Paid(Paid {
                preimage,
                payment_hash: payment.payment_hash,
                destination: payment.destination,
                created_at: Wall(payment.created_at_s * 1000),
                parts: end.parts,
                amount_msat: end.amount_received,
                amount_sent_msat: end.amount_sent,
                partial_completion: false,
            })),
            Request::XPay(_) => Ok(Response::XPaid(XPaid {
                preimage,
                failed_parts: 0,
                successful_parts: end.parts,
                amount_msat: end.amount_received,
                amount_sent_msat: end.amount_sent,
            })),
            _ => {
                let complete = |part: &&PartRow| matches!(part.state, PartState::Complete { .. });
                match parts.iter().find(|(_, part)| complete(part)) {
                    Some((number, part)) => part_result(*number, part, payment),
                    None => Err(RequestError::new(RequestError::PAY_RHASH_ALREADY_USED, "This hash was paid already")),
                }
            }
        };
        io.reply(request, result);
    }

    /// The hash was not paid before.
    pub(super) fn pay_unpaid(&mut self, io: &mut Io<'_>, request: RequestId, hash: PaymentHash, asked: Request) {
        let result = match asked {
            Request::Pay(pay) => self.begin_pay(io, request, hash, (*pay).into()),
            Request::XPay(pay) => self.begin_pay(io, request, hash, (*pay).into()),
            Request::SendPay(send) => self.begin_sendpay(io, request, *send),
            Request::SendOnion(send) => self.begin_sendonion(io, request, *send),
            _ => unreachable!("on_pay is for requests that pay"),
        };
        if let Err(error) = result {
            io.reply(request, Err(error));
        }
    }

    fn begin_payment(
        &mut self,
        io: &mut Io<'_>,
        row: PaymentRow,
        drive: Option<Box<Drive>>,
    ) -> Result<u64, RequestError> {
        let hash = row.payment_hash;
        let stored = row.clone();
        let group = row.group;
        let index = self
            .outgoing
            .begin(row, drive)
            .map_err(|TooMany| RequestError::generic("too many payments are in flight: wait until some have ended"))?;
        io.put(index_key(index), &stored);
        io.put(hash_key(hash, index), &PaymentHashRow(group));
        Ok(index)
    }

    fn begin_pay(
        &mut self,
        io: &mut Io<'_>,
        request: RequestId,
        hash: PaymentHash,
        wish: Wish,
    ) -> Result<(), RequestError> {
        if self.outgoing.by_hash(hash).next().is_some() {
            return Err(in_progress());
        }
        let invoice = self.parse_invoice(&wish.invoice)?;
        if invoice.payee == self.id {
            return Err(RequestError::new(RequestError::PAY_ROUTE_NOT_FOUND, "The invoice is our own"));
        }
        let expires_at_s = invoice.timestamp_s.saturating_add(invoice.expiry_s);
        let valid_for_s = expires_at_s.saturating_sub(io.clock.wall.unix_s());
        if valid_for_s == 0 {
            return Err(RequestError::new(RequestError::PAY_INVOICE_EXPIRED, "Invoice expired"));
        }
        let total = match (invoice.amount, wish.amount) {
            (Some(amount), None) => amount,
            (None, Some(amount)) if amount > Msat::ZERO => amount,
            (None, _) => {
                return Err(RequestError::invalid_params("amount_msat is needed: the invoice leaves it open"));
            }
            (Some(amount), Some(given)) if given == amount => amount,
            (Some(_), Some(_)) => {
                return Err(RequestError::invalid_params("amount_msat is not needed: the invoice names its amount"));
            }
        };
        let amount = wish.partial.unwrap_or(total);
        if amount == Msat::ZERO || amount > total {
            return Err(RequestError::invalid_params("partial_msat must be above zero and at most the amount"));
        }
        let drive = Drive {
            reply: request,
            style: wish.style,
            destination: invoice.payee,
            amount,
            total,
            fee_max: fee_max(wish.fee, amount),
            delay_max: wish.delay_max.unwrap_or(HTLC_CLTV_MAX).min(HTLC_CLTV_MAX),
            final_cltv_delta: invoice.min_final_cltv_expiry_delta,
            payment_secret: invoice.payment_secret,
            metadata: invoice.metadata.clone(),
            hints: invoice.route_hints.clone(),
            multi_part: invoice.features.says(crate::wire::Feature::BasicMpp),
            retry_until: io.clock.mono.plus_ms(wish.retry_for_s.min(valid_for_s).saturating_mul(1000)),
            expires_at_s,
            avoid: Vec::new(),
            avoid_hints: wish
                .exclude
                .iter()
                .filter_map(|exclusion| match exclusion {
                    Exclusion::Channel(channel) => Some(channel.short_channel_id),
                    Exclusion::Node(_) => None,
                })
                .collect(),
            avoid_nodes: wish
                .exclude
                .iter()
                .filter_map(|exclusion| match exclusion {
                    Exclusion::Node(node) => Some(*node),
                    Exclusion::Channel(_) => None,
                })
                .collect(),
            attempts: 0,
            last_hops: Vec::new(),
            failed_parts: 0,
            last_failure: None,
        };
        let retry_until = drive.retry_until;
        let row = PaymentRow {
            payment_hash: hash,
            group: self.next_group(),
            destination: Some(invoice.payee),
            amount: Some(amount),
            created_at_s: io.clock.wall.unix_s(),
            label: wish.label,
            bolt11: Some(wish.invoice),
            description: wish.description,
        };
        let index = self.begin_payment(io, row, Some(Box::new(drive)))?;
        self.timers.set(NodeTimer::Retry { payment: index }, retry_until);
        self.advance_payment(io, index, Cue::Again);
        Ok(())
    }

    fn next_group(&self) -> u64 {
        self.outgoing.next_index() + 1
    }
}

fn success(payment: &Payment, drive: &Drive, preimage: Preimage) -> Response {
    match drive.style {
        Style::Pay => Response::Paid(Paid {
            preimage,
            payment_hash: payment.row.payment_hash,
            destination: payment.row.destination,
            created_at: Wall(payment.row.created_at_s * 1000),
            parts: payment.parts.len() as u32,
            amount_msat: payment.received,
            amount_sent_msat: payment.sent,
            partial_completion: false,
        }),
        Style::Xpay => Response::XPaid(XPaid {
            preimage,
            failed_parts: drive.failed_parts,
            successful_parts: payment.succeeded,
            amount_msat: payment.received,
            amount_sent_msat: payment.sent,
        }),
    }
}
