//! About money that we owe others, and that passes through.

use jsonrpc_core::Error;
use leyden_core::amount::Msat;
use leyden_core::ids::{NodeId, PaymentHash, hex_array};
use leyden_core::request::payment::{
    CreateOnion, Exclusion, FeeLimit, FirstHop, ForwardStatus, ListForwards, ListPays, OnionHop, Pay, PayStatus,
    RouteHop, SendOnion, SendPay, WaitSendPay, XPay,
};
use leyden_core::request::{Request, ScidDir};

use super::{Method, Outcome};
use crate::args::{Args, invalid, wrong};
use crate::param::{Param, decimal, page};
use crate::token::Token;
use crate::view::View;

pub(super) const METHODS: &[Method] = &[
    Method {
        name: "pay",
        usage: "bolt11 [amount_msat] [label] [riskfactor] [maxfeepercent] [retry_for] [maxdelay] [exemptfee] \
                [localinvreqid] [exclude] [maxfee] [description] [partial_msat]",
        summary: "Pay an invoice",
        run: pay,
    },
    Method {
        name: "xpay",
        usage: "invstring [amount_msat] [maxfee] [layers] [retry_for] [partial_msat] [maxdelay] [payer_note] [label]",
        summary: "Pay an invoice",
        run: xpay,
    },
    Method {
        name: "listpays",
        usage: "[bolt11] [payment_hash] [status] [index] [start] [limit]",
        summary: "Show payments",
        run: |args, _| Ok(Request::ListPays(list_pays(args)?).into()),
    },
    Method {
        name: "listsendpays",
        usage: "[bolt11] [payment_hash] [status] [index] [start] [limit]",
        summary: "Show the parts of payments",
        run: |args, _| Ok(Request::ListSendPays(list_pays(args)?).into()),
    },
    Method {
        name: "sendpay",
        usage: "route payment_hash [label] [amount_msat] [bolt11] [payment_secret] [partid] [localinvreqid] [groupid] \
                [payment_metadata] [description]",
        summary: "Send a part of a payment over a given route",
        run: sendpay,
    },
    Method {
        name: "waitsendpay",
        usage: "payment_hash [timeout] [partid] [groupid]",
        summary: "Answer once a part of a payment has ended",
        run: waitsendpay,
    },
    Method {
        name: "createonion",
        usage: "hops assocdata [session_key] [onion_size]",
        summary: "Build an onion",
        run: createonion,
    },
    Method {
        name: "sendonion",
        usage: "onion first_hop payment_hash [label] [shared_secrets] [partid] [bolt11] [amount_msat] [destination] \
                [localinvreqid] [groupid] [description]",
        summary: "Send a given onion",
        run: sendonion,
    },
    Method {
        name: "listforwards",
        usage: "[status] [in_channel] [out_channel] [index] [start] [limit]",
        summary: "Show what we forwarded",
        run: listforwards,
    },
];

fn pay(args: &Args<'_>, _: &View) -> Outcome {
    args.refuse("localinvreqid")?;
    // Routes are weighed by what is known of their channels; there is no single factor for risk.
    args.get_as("riskfactor", "a number", |token| decimal(token.scalar()?, 9))?;
    let percent = args.get_as("maxfeepercent", "a percentage", |token| {
        // Four decimal places of a percent are millionths.
        decimal(token.scalar()?, 4)
    })?;
    let exempt: Option<Msat> = args.get("exemptfee")?;
    let fee_limit = match args.get("maxfee")? {
        Some(_) if percent.is_some() || exempt.is_some() => {
            return Err(invalid("maxfee: cannot be given together with maxfeepercent or exemptfee"));
        }
        Some(limit) => FeeLimit::Absolute(limit),
        None if percent.is_none() && exempt.is_none() => FeeLimit::Default,
        // Core Lightning's defaults: half a percent, five satoshi.
        None => {
            FeeLimit::Proportional { millionths: percent.unwrap_or(5_000), exempt_msat: exempt.unwrap_or(Msat(5_000)) }
        }
    };
    const EXCLUDE: &str = "an array of node ids and of short channel ids with direction";
    let exclude = args.get_as("exclude", EXCLUDE, |token| {
        let Token::Array(items) = token else { return None };
        let read = |token: Token<'_>| {
            let channel = || ScidDir::read(&token).map(Exclusion::Channel);
            NodeId::read(&token).map(Exclusion::Node).or_else(channel)
        };
        items.iter().map(|raw| Token::new(raw).and_then(read)).collect()
    })?;
    Ok(Request::Pay(Box::new(Pay {
        invoice: args.need("bolt11")?,
        amount_msat: args.get("amount_msat")?,
        label: args.get("label")?,
        fee_limit,
        retry_for_s: args.or("retry_for", Pay::RETRY_FOR_S)?,
        max_delay_blocks: args.get("maxdelay")?,
        exclude: exclude.unwrap_or_default(),
        description: args.get("description")?,
        partial_msat: args.get("partial_msat")?,
    }))
    .into())
}

fn xpay(args: &Args<'_>, _: &View) -> Outcome {
    args.refuse("layers")?;
    args.refuse("payer_note")?;
    Ok(Request::XPay(Box::new(XPay {
        invoice: args.need("invstring")?,
        amount_msat: args.get("amount_msat")?,
        max_fee_msat: args.get("maxfee")?,
        retry_for_s: args.or("retry_for", Pay::RETRY_FOR_S)?,
        partial_msat: args.get("partial_msat")?,
        max_delay_blocks: args.get("maxdelay")?,
        label: args.get("label")?,
    }))
    .into())
}

fn list_pays(args: &Args<'_>) -> Result<ListPays, Error> {
    let status = args.get_as("status", "'pending', 'complete' or 'failed'", |token| match token.scalar()? {
        "pending" => Some(PayStatus::Pending),
        "complete" => Some(PayStatus::Complete),
        "failed" => Some(PayStatus::Failed),
        _ => None,
    })?;
    let (invoice, payment_hash): (Option<String>, Option<PaymentHash>) =
        (args.get("bolt11")?, args.get("payment_hash")?);
    if invoice.is_some() && payment_hash.is_some() {
        return Err(invalid("Can only specify one of {bolt11} or {payment_hash}"));
    }
    Ok(ListPays { invoice, payment_hash, status, page: page(args)? })
}

/// The members of an object inside a parameter.
struct Members<'a, 'b> {
    /// How to call the object to the client.
    whole: &'b str,
    given: Vec<(String, Token<'a>)>,
}

impl<'a, 'b> Members<'a, 'b> {
    fn new(whole: &'b str, token: &Token<'a>) -> Result<Members<'a, 'b>, Error> {
        let Token::Object(members) = token else { return Err(wrong(whole, "an object", token)) };
        let given = members.iter().filter_map(|(name, raw)| Some((name.clone(), Token::new(raw)?))).collect();
        Ok(Members { whole, given })
    }

    fn get<T: Param>(&self, name: &str) -> Result<Option<T>, Error> {
        let Some((_, token)) = self.given.iter().find(|(known, _)| known == name) else { return Ok(None) };
        T::read(token).map(Some).ok_or_else(|| wrong(&format!("{}: {name}", self.whole), T::EXPECTED, token))
    }

    fn need<T: Param>(&self, name: &str) -> Result<T, Error> {
        self.get(name)?.ok_or_else(|| invalid(format!("{}: missing {name}", self.whole)))
    }
}

/// The items of an array of objects.
fn objects<T>(
    args: &Args<'_>,
    name: &'static str,
    read: impl Fn(&Members<'_, '_>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let items = args.need_as(name, "a non-empty array of objects", |token| match token {
        Token::Array(items) if !items.is_empty() => Some(items.clone()),
        _ => None,
    })?;
    let item = |(i, raw): (usize, _)| {
        let whole = format!("{name}[{i}]");
        let token = Token::new(raw).ok_or_else(|| invalid(format!("{whole}: should be an object")))?;
        read(&Members::new(&whole, &token)?)
    };
    items.into_iter().enumerate().map(item).collect()
}

fn sendpay(args: &Args<'_>, _: &View) -> Outcome {
    args.refuse("localinvreqid")?;
    let route = objects(args, "route", |hop| {
        if hop.get::<String>("style")?.is_some_and(|style| style != "tlv") {
            return Err(invalid(format!("{}: style: only 'tlv' is spoken by nodes of today", hop.whole)));
        }
        Ok(RouteHop {
            node: hop.need("id")?,
            channel: hop.need("channel")?,
            amount_msat: hop.need("amount_msat")?,
            delay: hop.need("delay")?,
        })
    })?;
    Ok(Request::SendPay(Box::new(SendPay {
        route,
        payment_hash: args.need("payment_hash")?,
        label: args.get("label")?,
        total_msat: args.get("amount_msat")?,
        bolt11: args.get("bolt11")?,
        payment_secret: args.get("payment_secret")?,
        part_id: args.or("partid", 0)?,
        group_id: args.get("groupid")?,
        payment_metadata: args.get("payment_metadata")?,
        description: args.get("description")?,
    }))
    .into())
}

fn waitsendpay(args: &Args<'_>, _: &View) -> Outcome {
    Ok(Request::WaitSendPay(WaitSendPay {
        payment_hash: args.need("payment_hash")?,
        timeout_s: args.get("timeout")?,
        part_id: args.get("partid")?,
        group_id: args.get("groupid")?,
    })
    .into())
}

fn createonion(args: &Args<'_>, _: &View) -> Outcome {
    let hops = objects(args, "hops", |hop| Ok(OnionHop { node: hop.need("pubkey")?, payload: hop.need("payload")? }))?;
    const KEY: &str = "a 32 byte hex value";
    Ok(Request::CreateOnion(CreateOnion {
        hops,
        associated_data: args.need("assocdata")?,
        session_key: args.get_as("session_key", KEY, |token| hex_array(token.scalar()?).ok())?,
        onion_size: args.or("onion_size", 1_300)?,
    })
    .into())
}

fn sendonion(args: &Args<'_>, _: &View) -> Outcome {
    args.refuse("localinvreqid")?;
    let first = args.need_as("first_hop", "an object", |token| Some(token.clone()))?;
    let first = Members::new("first_hop", &first)?;
    let first_hop = FirstHop {
        node: first.get("id")?,
        channel: first.get("channel")?,
        amount_msat: first.need("amount_msat")?,
        delay: first.need("delay")?,
    };
    if first_hop.node.is_none() && first_hop.channel.is_none() {
        return Err(invalid("first_hop: needs an id, a channel, or both"));
    }
    let shared_secrets = args.get_as("shared_secrets", "an array of 32 byte hex values", |token| {
        let Token::Array(items) = token else { return None };
        items.iter().map(|raw| hex_array(Token::new(raw)?.scalar()?).ok()).collect()
    })?;
    Ok(Request::SendOnion(Box::new(SendOnion {
        onion: args.need("onion")?,
        first_hop,
        payment_hash: args.need("payment_hash")?,
        label: args.get("label")?,
        shared_secrets,
        part_id: args.or("partid", 0)?,
        bolt11: args.get("bolt11")?,
        amount_msat: args.get("amount_msat")?,
        destination: args.get("destination")?,
        group_id: args.get("groupid")?,
        description: args.get("description")?,
    }))
    .into())
}

fn listforwards(args: &Args<'_>, _: &View) -> Outcome {
    const STATUS: &str = "'offered', 'settled', 'failed' or 'local_failed'";
    let status = args.get_as("status", STATUS, |token| match token.scalar()? {
        "offered" => Some(ForwardStatus::Offered),
        "settled" => Some(ForwardStatus::Settled),
        "failed" => Some(ForwardStatus::Failed),
        "local_failed" => Some(ForwardStatus::LocalFailed),
        _ => None,
    })?;
    Ok(Request::ListForwards(ListForwards {
        status,
        in_channel: args.get("in_channel")?,
        out_channel: args.get("out_channel")?,
        page: page(args)?,
    })
    .into())
}
