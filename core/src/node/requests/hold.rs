//! Hold invoices: whatever pays one waits, in rows, until the client who knows the preimage settles or cancels it, or
//! until so few blocks are left that a claim could not be carried through.
//!
//! Money first: the preimage leaves only where every part of the payment can still be claimed. Else nothing happens, or
//! everything goes back.

use super::super::{Io, Node};
use crate::amount::Msat;
use crate::channel::Phase;
use crate::command::Level;
use crate::ids::{BlockHeight, ChannelKey, PaymentHash, Preimage, RequestId};
use crate::invoices::StoredInvoice;
use crate::mutation::{Mutation, is_active};
use crate::node::history::{InvoiceThen, no_invoice};
use crate::onion::Failure;
use crate::payment::incoming::{HeldPart, settle_before};
use crate::request::invoice::{InvoiceInfo, InvoiceStatus};
use crate::request::{ErrorData, RequestError, Response};

fn unexpected(current: InvoiceStatus, text: String) -> RequestError {
    let data = ErrorData::InvoiceStatus { current, expected: InvoiceStatus::Accepted };
    RequestError::new(RequestError::INVOICE_STATUS_UNEXPECTED, text).with_data(data)
}

fn no_hold_invoice() -> RequestError {
    RequestError::generic("This is no hold invoice")
}

impl Node {
    /// A whole payment of a hold invoice is here.
    pub(in crate::node) fn accept(
        &mut self,
        io: &mut Io<'_>,
        payment_hash: PaymentHash,
        parts: Vec<HeldPart>,
        received: Msat,
    ) {
        let before = settle_before(&parts).unwrap_or_default();
        io.note(
            Level::Info,
            "payment",
            format_args!("{received} in {} parts for {payment_hash} are held until block {before}", parts.len()),
        );
        self.invoices.accept(io.out, io.clock, payment_hash, parts.clone());
        self.incoming.accept(payment_hash, parts);
    }

    /// May what is held be claimed now? The reason if not.
    fn may_settle(&self, parts: &[HeldPart]) -> Result<(), String> {
        if is_active(Mutation::LateSettle) {
            return Ok(());
        }
        // A height that is not the newest could hide that it is too late.
        if !self.chain.synced {
            return Err("the newest blocks are not taken in yet: try again when they are".to_owned());
        }
        let (height, before) = (self.chain.height(), settle_before(parts).unwrap_or_default());
        if before <= height {
            return Err(format!("too late at block {height}: it goes back from block {before} on"));
        }
        match parts.iter().find(|part| !self.is_off_chain(part.channel)) {
            Some(part) => Err(format!("channel {} of a part is on chain: the payment goes back", part.channel)),
            None => Ok(()),
        }
    }

    fn is_off_chain(&self, key: ChannelKey) -> bool {
        let channel = self.channels.get(&key);
        channel.is_some_and(|channel| !matches!(channel.phase(), Phase::OnChain { .. } | Phase::Closed))
    }

    pub(super) fn on_settle_hold_invoice(&mut self, io: &mut Io<'_>, request: RequestId, preimage: Preimage) {
        let payment_hash = preimage.payment_hash();
        let Some(index) = self.invoices.index_of_hash(payment_hash) else {
            return io.reply(request, Err(no_invoice()));
        };
        let Some(stored) = self.invoices.stored(index) else {
            return self.ask_invoice(io, request, index, InvoiceThen::Settle);
        };
        let result = self.settle_open(io, index, &stored, preimage);
        if let Err(error) = &result {
            io.note(Level::Warn, "payment", format_args!("{payment_hash} is not settled: {}", error.message));
        }
        io.reply(request, result);
    }

    /// The invoice, the removal of every part and the preimage are written in one turn: claimed are all parts or none.
    fn settle_open(
        &mut self,
        io: &mut Io<'_>,
        index: u64,
        stored: &StoredInvoice,
        preimage: Preimage,
    ) -> Result<Response, RequestError> {
        let payment_hash = preimage.payment_hash();
        if !stored.row.proof.is_hold() {
            return Err(no_hold_invoice());
        }
        let status = stored.info(index, io.clock.wall).status;
        let parts = match self.incoming.accepted(payment_hash) {
            Some(parts) => parts.to_vec(),
            None => return Err(unexpected(status, "No whole payment is held for this invoice".to_owned())),
        };
        self.may_settle(&parts).map_err(|reason| unexpected(status, format!("Not settled, {reason}")))?;
        let (paid, replies) = self.invoices.settle(io.out, io.clock, preimage);
        self.incoming.take(payment_hash);
        self.fulfil_parts(io, &parts, preimage);
        io.note(Level::Info, "payment", format_args!("{payment_hash} is settled"));
        for (waiter, result) in replies {
            io.reply(waiter, result);
        }
        Ok(Response::Invoice(Box::new(paid.info(index, io.clock.wall))))
    }

    pub(super) fn on_cancel_hold_invoice(&mut self, io: &mut Io<'_>, request: RequestId, payment_hash: PaymentHash) {
        let Some(index) = self.invoices.index_of_hash(payment_hash) else {
            return io.reply(request, Err(no_invoice()));
        };
        let Some(row) = self.invoices.open_at(index) else {
            return self.ask_invoice(io, request, index, InvoiceThen::Cancel);
        };
        if !row.proof.is_hold() {
            return io.reply(request, Err(no_hold_invoice()));
        }
        let stored = self.cancel(io, payment_hash, "asked for by the operator");
        io.reply(request, Ok(Response::Invoice(Box::new(stored.info(index, io.clock.wall)))));
    }

    /// A client wants to settle or cancel an invoice that is not open: asking twice does no harm.
    pub(super) fn answer_held_before(
        &self,
        stored: &StoredInvoice,
        info: InvoiceInfo,
        then: &InvoiceThen,
    ) -> Result<Response, RequestError> {
        if !stored.row.proof.is_hold() {
            return Err(no_hold_invoice());
        }
        let is_so = match then {
            InvoiceThen::Settle => info.status == InvoiceStatus::Paid,
            _ => matches!(info.status, InvoiceStatus::Cancelled | InvoiceStatus::Expired),
        };
        if is_so {
            return Ok(Response::Invoice(Box::new(info)));
        }
        Err(unexpected(info.status, format!("Invoice is {:?} already", info.status).to_lowercase()))
    }

    /// Gives back what is held for a hold invoice, and takes nothing more for it.
    fn cancel(&mut self, io: &mut Io<'_>, payment_hash: PaymentHash, reason: &str) -> StoredInvoice {
        let parts = self.incoming.take(payment_hash);
        io.note(
            Level::Info,
            "payment",
            format_args!("{payment_hash} is cancelled, {} parts go back: {reason}", parts.len()),
        );
        let (stored, replies) = self.invoices.cancel(io.out, io.clock, payment_hash);
        self.fail_parts(io, &parts, |node, part| Failure::IncorrectOrUnknownPaymentDetails {
            htlc_msat: part.amount,
            height: node.chain.height(),
        });
        for (waiter, result) in replies {
            io.reply(waiter, result);
        }
        stored
    }

    /// A block has come: what a client has held for too long goes back while that can be done without the chain.
    pub(in crate::node) fn give_back_overdue(&mut self, io: &mut Io<'_>, height: BlockHeight) {
        if is_active(Mutation::HeldTooLong) {
            return;
        }
        for payment_hash in self.incoming.overdue(height) {
            self.cancel(io, payment_hash, "nobody has settled it in time");
        }
    }

    /// A channel goes on chain, where HTLCs of others are not claimed: what is held with a part on it goes back whole.
    pub(in crate::node) fn give_back_with(&mut self, io: &mut Io<'_>, key: ChannelKey) {
        if is_active(Mutation::HeldTooLong) {
            return;
        }
        for payment_hash in self.incoming.accepted_on(key) {
            self.cancel(io, payment_hash, "a channel of it goes on chain");
        }
        // An incomplete payment must not become complete with a part that nobody would claim.
        let parts = self.incoming.take_with(key);
        self.fail_late_parts(io, &parts);
    }
}
