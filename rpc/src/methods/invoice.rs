//! About money that others owe us.

use leyden_core::amount::Msat;
use leyden_core::ids::ShortChannelId;
use leyden_core::request::Request;
use leyden_core::request::invoice::{
    CreateInvoice, DelInvoice, ExposePrivate, InvoiceFilter, InvoiceStatus, ListInvoices, WaitAnyInvoice, WantedProof,
};

use super::{Method, Outcome};
use crate::args::{Args, invalid};
use crate::param::{Param, page, script};
use crate::token::Token;
use crate::view::View;

pub(super) const METHODS: &[Method] = &[
    Method {
        name: "invoice",
        usage: "amount_msat label description [expiry] [fallbacks] [preimage] [exposeprivatechannels] [cltv] \
                [deschashonly]",
        summary: "Make an invoice",
        run: invoice,
    },
    Method {
        name: "listinvoices",
        usage: "[label] [invstring] [payment_hash] [offer_id] [index] [start] [limit]",
        summary: "Show invoices",
        run: listinvoices,
    },
    Method {
        name: "waitinvoice",
        usage: "label",
        summary: "Answer once an invoice is paid or expired",
        run: |args, _| Ok(Request::WaitInvoice { label: args.need("label")? }.into()),
    },
    Method {
        name: "waitanyinvoice",
        usage: "[lastpay_index] [timeout]",
        summary: "Answer once any invoice is paid after this one",
        run: waitanyinvoice,
    },
    Method {
        name: "delinvoice",
        usage: "label status [desconly]",
        summary: "Forget an invoice, or its description",
        run: delinvoice,
    },
    Method {
        name: "holdinvoice",
        usage: "amount_msat label description payment_hash [expiry] [fallbacks] [exposeprivatechannels] [cltv] \
                [deschashonly]",
        summary: "Make an invoice whose payment is held until it is settled or cancelled",
        run: holdinvoice,
    },
    Method {
        name: "settleholdinvoice",
        usage: "preimage",
        summary: "Take what is held for the invoice of this preimage",
        run: |args, _| Ok(Request::SettleHoldInvoice { preimage: args.need("preimage")? }.into()),
    },
    Method {
        name: "cancelholdinvoice",
        usage: "payment_hash",
        summary: "Give back what is held for an invoice, and take nothing more for it",
        run: |args, _| Ok(Request::CancelHoldInvoice { payment_hash: args.need("payment_hash")? }.into()),
    },
];

fn invoice(args: &Args<'_>, view: &View) -> Outcome {
    let proof = args.get("preimage")?.map_or(WantedProof::Fresh, WantedProof::Preimage);
    create(args, view, proof)
}

fn holdinvoice(args: &Args<'_>, view: &View) -> Outcome {
    create(args, view, WantedProof::Hold(args.need("payment_hash")?))
}

fn create(args: &Args<'_>, view: &View, proof: WantedProof) -> Outcome {
    let amount_msat =
        args.need_as("amount_msat", "a millisatoshi amount above zero, or 'any'", |token| match token.scalar()? {
            "any" => Some(None),
            _ => Msat::read(token).filter(|amount| *amount != Msat::ZERO).map(Some),
        })?;
    let fallbacks = args.get_as("fallbacks", "an array of Bitcoin addresses of this network", |token| {
        let Token::Array(items) = token else { return None };
        items.iter().map(|raw| script(&Token::new(raw)?, view.network)).collect()
    })?;
    const EXPOSE: &str = "true or false, a short channel id, or an array of these ids";
    let expose = args.get_as("exposeprivatechannels", EXPOSE, |token| match token {
        Token::Array(_) => Vec::read(token).map(ExposePrivate::Only),
        _ => match token.scalar()? {
            "true" => Some(ExposePrivate::All),
            "false" => Some(ExposePrivate::None),
            _ => ShortChannelId::read(token).map(|scid| ExposePrivate::Only(vec![scid])),
        },
    })?;
    Ok(Request::Invoice(Box::new(CreateInvoice {
        amount_msat,
        label: args.need("label")?,
        description: args.need("description")?,
        expiry_s: args.or("expiry", CreateInvoice::EXPIRY_S)?,
        fallbacks: fallbacks.unwrap_or_default(),
        proof,
        expose: expose.unwrap_or(ExposePrivate::Auto),
        cltv: args.get("cltv")?,
        description_hash_only: args.or("deschashonly", false)?,
    }))
    .into())
}

fn listinvoices(args: &Args<'_>, _: &View) -> Outcome {
    args.refuse("offer_id")?;
    let label = args.get("label")?.map(InvoiceFilter::Label);
    let text = args.get("invstring")?.map(InvoiceFilter::Invstring);
    let hash = args.get("payment_hash")?.map(InvoiceFilter::PaymentHash);
    let mut filters = label.into_iter().chain(text).chain(hash);
    let filter = filters.next().unwrap_or(InvoiceFilter::All);
    if filters.next().is_some() {
        return Err(invalid("Can only specify one of {label}, {invstring}, {payment_hash} or {offer_id}"));
    }
    Ok(Request::ListInvoices(ListInvoices { filter, page: page(args)? }).into())
}

fn waitanyinvoice(args: &Args<'_>, _: &View) -> Outcome {
    let last_pay_index = args.or("lastpay_index", 0)?;
    Ok(Request::WaitAnyInvoice(WaitAnyInvoice { last_pay_index, timeout_s: args.get("timeout")? }).into())
}

fn delinvoice(args: &Args<'_>, _: &View) -> Outcome {
    let status =
        args.need_as("status", "'paid', 'unpaid', 'expired' or 'cancelled'", |token| match token.scalar()? {
            "unpaid" => Some(InvoiceStatus::Unpaid),
            "paid" => Some(InvoiceStatus::Paid),
            "expired" => Some(InvoiceStatus::Expired),
            "cancelled" => Some(InvoiceStatus::Cancelled),
            _ => None,
        })?;
    let description_only = args.or("desconly", false)?;
    Ok(Request::DelInvoice(DelInvoice { label: args.need("label")?, status, description_only }).into())
}
