//! About the node itself.

use leyden_core::request::node::{FeerateStyle, Subsystem, Wait, WaitBlockHeight};
use leyden_core::request::{ListIndex, Request};

use super::{Method, Outcome};
use crate::args::Args;
use crate::view::View;

pub(super) const METHODS: &[Method] = &[
    Method { name: "getinfo", usage: "", summary: "Show who this node is and how it is", run: getinfo },
    Method { name: "stop", usage: "", summary: "End the node", run: stop },
    Method { name: "feerates", usage: "style", summary: "Show what transactions cost now", run: feerates },
    Method {
        name: "waitblockheight",
        usage: "blockheight [timeout]",
        summary: "Answer once the chain is this high",
        run: waitblockheight,
    },
    Method {
        name: "wait",
        usage: "subsystem indexname nextvalue",
        summary: "Answer once a list (invoices, sendpays, forwards) has come so far by creation or change",
        run: wait,
    },
    Method { name: "signmessage", usage: "message", summary: "Sign a text with the node's key", run: signmessage },
];

fn getinfo(_: &Args<'_>, _: &View) -> Outcome {
    Ok(Request::Getinfo.into())
}

fn stop(_: &Args<'_>, _: &View) -> Outcome {
    Ok(Request::Stop.into())
}

fn feerates(args: &Args<'_>, _: &View) -> Outcome {
    let style = args.need_as("style", "'perkb' or 'perkw'", |token| match token.scalar()? {
        "perkb" => Some(FeerateStyle::PerKb),
        "perkw" => Some(FeerateStyle::PerKw),
        _ => None,
    })?;
    Ok(Request::Feerates(style).into())
}

fn waitblockheight(args: &Args<'_>, _: &View) -> Outcome {
    let wait = WaitBlockHeight { height: args.need("blockheight")?, timeout_s: args.or("timeout", 60)? };
    Ok(Request::WaitBlockHeight(wait).into())
}

fn wait(args: &Args<'_>, _: &View) -> Outcome {
    let subsystem =
        args.need_as("subsystem", "'invoices', 'sendpays' or 'forwards'", |token| match token.scalar()? {
            "invoices" => Some(Subsystem::Invoices),
            "sendpays" => Some(Subsystem::SendPays),
            "forwards" => Some(Subsystem::Forwards),
            _ => None,
        })?;
    // What was deleted has no number here.
    let index = args.need_as("indexname", "'created' or 'updated'", |token| match token.scalar()? {
        "created" => Some(ListIndex::Created),
        "updated" => Some(ListIndex::Updated),
        _ => None,
    })?;
    Ok(Request::Wait(Wait { subsystem, index, next: args.need("nextvalue")? }).into())
}

fn signmessage(args: &Args<'_>, _: &View) -> Outcome {
    // Core Lightning's bound: what is signed shall be something that a person wrote.
    let message = args.need_as("message", "a string of at most 65535 bytes", |token| {
        token.scalar().filter(|text| text.len() <= 65_535).map(str::to_owned)
    })?;
    Ok(Request::SignMessage { message }.into())
}
