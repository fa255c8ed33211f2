//! What clients ask about invoices.

use secp256k1::Message as Digest;

use crate::amount::Msat;
use crate::channel::Phase;
use crate::ids::{PaymentHash, PaymentSecret, Preimage, RequestId};
use crate::invoice::{Description, Fallback, Invoice, RouteHintHop};
use crate::invoices::{self, InvoiceRow, Proof, StoredInvoice};
use crate::limits::FULFILLED_DEADLINE_BLOCKS;
use crate::node::history::{InvoiceThen, no_invoice};
use crate::node::{Io, Node};
use crate::onion::Failure;
use crate::request::invoice::{
    CreateInvoice, DelInvoice, ExposePrivate, InvoiceCreated, InvoiceStatus, InvoiceWarning, WaitAnyInvoice,
    WantedProof,
};
use crate::request::{ErrorData, RequestError, Response};
use crate::wire::features::Context;

/// BOLT 11 `c` of our invoices: BOLT 2's 18 blocks, and some for the way.
const FINAL_CLTV_DELTA: u32 = 24;
/// The same of hold invoices: about a day to think it over.
const HOLD_CLTV_DELTA: u32 = 144 + FULFILLED_DEADLINE_BLOCKS;
/// Hints in one invoice: more would not fit into a code that can be scanned.
const ROUTE_HINTS_MAX: usize = 3;

impl Node {
    pub(super) fn on_create_invoice(
        &mut self,
        io: &mut Io<'_>,
        create: CreateInvoice,
    ) -> Result<Response, RequestError> {
        let (proof, payment_hash) = match create.proof {
            WantedProof::Fresh => {
                let preimage = Preimage(io.signer.draw());
                (Proof::Ours(preimage.0), preimage.payment_hash())
            }
            WantedProof::Preimage(preimage) => (Proof::Ours(preimage.0), preimage.payment_hash()),
            WantedProof::Hold(payment_hash) => (Proof::Hold(None), payment_hash),
        };
        let cltv = create.cltv.unwrap_or(if proof.is_hold() { HOLD_CLTV_DELTA } else { FINAL_CLTV_DELTA });
        if proof.is_hold() && cltv < FINAL_CLTV_DELTA {
            let text = format!(
                "cltv: what is held goes back {FULFILLED_DEADLINE_BLOCKS} blocks before its end: at least \
                 {FINAL_CLTV_DELTA} are needed"
            );
            return Err(RequestError::invalid_params(text));
        }
        self.invoices.check_new(&create.label, payment_hash)?;
        if create.amount_msat == Some(Msat::ZERO) {
            return Err(RequestError::invalid_params("amount_msat must be above zero, or \"any\""));
        }
        let payment_secret = PaymentSecret(io.signer.draw());
        let description = match create.description_hash_only {
            false => Description::Text(create.description.clone()),
            true => {
                use bitcoin::hashes::{Hash, sha256};
                Description::Hash(sha256::Hash::hash(create.description.as_bytes()).to_byte_array())
            }
        };
        let (hints, mut warnings) = self.route_hints(&create.expose, create.amount_msat);
        let mut invoice = Invoice::new(
            self.config.network,
            io.clock.wall.unix_s(),
            payment_hash,
            payment_secret,
            description,
            self.id,
        );
        invoice.amount = create.amount_msat;
        invoice.expiry_s = create.expiry_s;
        invoice.min_final_cltv_expiry_delta = cltv;
        invoice.route_hints = hints;
        invoice.features = self.features.only(Context::Invoice);
        for script in &create.fallbacks {
            let fallback = Fallback::from_script(script).ok_or_else(|| {
                RequestError::invalid_params("fallbacks: an address of a kind that invoices cannot hold")
            })?;
            invoice.fallbacks.push(fallback);
        }
        let to_sign = invoice.prepare().map_err(|error| RequestError::invalid_params(error.to_string()))?;
        let (compact, recovery_id) = io.signer.sign_recoverable(&Digest::from_digest(to_sign.digest()));
        let bolt11 = to_sign.finish(&compact, recovery_id);
        let expires_at_s = invoice.expires_at_s();
        self.invoices.see(io.clock);
        let row = InvoiceRow {
            label: create.label,
            description: Some(create.description),
            payment_hash,
            payment_secret,
            proof,
            amount: create.amount_msat,
            expires_at_s,
            min_final_cltv_expiry_delta: invoice.min_final_cltv_expiry_delta,
            bolt11: bolt11.clone(),
        };
        let index = self.invoices.create(io.out, row);
        warnings.dedup();
        Ok(Response::InvoiceCreated(Box::new(InvoiceCreated {
            bolt11,
            payment_hash,
            payment_secret,
            expires_at_s,
            created_index: index + 1,
            warnings,
        })))
    }

    /// Ways to us through peers that nobody can know of otherwise: without a map of the network, each channel is such.
    fn route_hints(
        &self,
        expose: &ExposePrivate,
        amount: Option<Msat>,
    ) -> (Vec<Vec<RouteHintHop>>, Vec<InvoiceWarning>) {
        let mut usable: Vec<(Msat, RouteHintHop)> = Vec::new();
        let mut offline = Msat::ZERO;
        let mut total = Msat::ZERO;
        for channel in self.channels.values().filter(|channel| *channel.phase() == Phase::Open) {
            let receivable = channel.receivable_msat(&self.channel_config);
            if !channel.is_up() {
                offline = offline.saturating_add(receivable);
                continue;
            }
            total = total.saturating_add(receivable);
            let (Some(scid), Some(peer)) = (channel.scid_in_hints(), channel.peer_policy()) else { continue };
            let wanted = match expose {
                ExposePrivate::Auto | ExposePrivate::All => true,
                ExposePrivate::None => false,
                ExposePrivate::Only(scids) => {
                    let names = [channel.scid(), channel.row().alias.local, channel.row().alias.remote];
                    names.iter().flatten().any(|name| scids.contains(name))
                }
            };
            if wanted {
                usable.push((
                    receivable,
                    RouteHintHop {
                        node_id: channel.peer(),
                        short_channel_id: scid,
                        fee_base_msat: peer.policy.fee_base_msat,
                        fee_proportional_millionths: peer.policy.fee_proportional_millionths,
                        cltv_expiry_delta: peer.policy.cltv_expiry_delta,
                    },
                ));
            }
        }
        usable.sort_by_key(|(receivable, _)| std::cmp::Reverse(*receivable));
        let mut warnings = Vec::new();
        if let Some(amount) = amount {
            let largest = usable.first().map_or(Msat::ZERO, |(receivable, _)| *receivable);
            if total < amount && total.saturating_add(offline) >= amount {
                warnings.push(InvoiceWarning::Offline);
            } else if total < amount {
                warnings.push(InvoiceWarning::Capacity);
            } else if largest < amount {
                warnings.push(InvoiceWarning::MultiPart);
            }
        }
        (usable.into_iter().take(ROUTE_HINTS_MAX).map(|(_, hop)| vec![hop]).collect(), warnings)
    }

    pub(super) fn on_wait_invoice(&mut self, io: &mut Io<'_>, request: RequestId, label: &str) {
        let Some(index) = self.invoices.index_of_label(label) else { return io.reply(request, Err(no_invoice())) };
        if !self.invoices.is_open(index) {
            return self.ask_invoice(io, request, index, InvoiceThen::Show);
        }
        if let Err(error) = self.invoices.wait_one(request, index) {
            io.reply(request, Err(error));
        }
    }

    pub(super) fn on_wait_any_invoice(&mut self, io: &mut Io<'_>, request: RequestId, wait: &WaitAnyInvoice) {
        if wait.last_pay_index < self.invoices.last_pay_index() {
            return self.ask_paid_invoice(io, request, wait.last_pay_index);
        }
        let until = wait.timeout_s.map(|timeout_s| io.clock.mono.plus_ms(timeout_s.saturating_mul(1000)));
        if let Err(error) = self.invoices.wait_any(request, until) {
            io.reply(request, Err(error));
        }
    }

    /// An invoice was read back from its rows.
    pub(in crate::node) fn on_invoice_read(
        &mut self,
        io: &mut Io<'_>,
        request: RequestId,
        index: u64,
        mut stored: StoredInvoice,
        then: InvoiceThen,
    ) {
        let info = stored.info(index, io.clock.wall);
        let result = match then {
            InvoiceThen::Settle | InvoiceThen::Cancel => self.answer_held_before(&stored, info, &then),
            InvoiceThen::Show if matches!(info.status, InvoiceStatus::Expired | InvoiceStatus::Cancelled) => {
                let text = match info.status {
                    InvoiceStatus::Cancelled => "Invoice was cancelled",
                    _ => "Invoice expired",
                };
                let data = ErrorData::Invoice(Box::new(info));
                Err(RequestError::new(RequestError::INVOICE_EXPIRED_DURING_WAIT, text).with_data(data))
            }
            InvoiceThen::Show => Ok(Response::Invoice(Box::new(info))),
            InvoiceThen::Delete(DelInvoice { status, .. }) if status != info.status => {
                let text = format!("Invoice status is {:?} not {status:?}", info.status).to_lowercase();
                let data = ErrorData::InvoiceStatus { current: info.status, expected: status };
                Err(RequestError::new(RequestError::INVOICE_STATUS_UNEXPECTED, text).with_data(data))
            }
            InvoiceThen::Delete(DelInvoice { description_only: true, .. }) => {
                stored.row.description = None;
                io.put(invoices::index_key(index), &stored.row);
                self.invoices.replace(index, &stored.row);
                Ok(Response::Invoice(Box::new(stored.info(index, io.clock.wall))))
            }
            InvoiceThen::Delete(_) => {
                for (waiter, result) in self.invoices.forget(io.out, index, &stored) {
                    io.reply(waiter, result);
                }
                self.fail_held(io, stored.row.payment_hash);
                Ok(Response::Invoice(Box::new(info)))
            }
        };
        io.reply(request, result);
    }

    pub(in crate::node) fn on_invoice_deadline(&mut self, io: &mut Io<'_>) {
        let (expired, replies) = self.invoices.on_deadline(io.clock);
        for payment_hash in expired {
            self.fail_held(io, payment_hash);
        }
        for (request, result) in replies {
            io.reply(request, result);
        }
    }

    /// Parts that are held for an invoice that is no more go back.
    fn fail_held(&mut self, io: &mut Io<'_>, payment_hash: PaymentHash) {
        let parts = self.incoming.take(payment_hash);
        self.fail_parts(io, &parts, |node, part| Failure::IncorrectOrUnknownPaymentDetails {
            htlc_msat: part.amount,
            height: node.chain.height(),
        });
    }
}
