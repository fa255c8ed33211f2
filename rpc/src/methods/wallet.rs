//! About money on chain.

use leyden_core::request::Request;
use leyden_core::request::wallet::{
    AddressKind, FundPsbt, ReserveInputs, SendPsbt, SignPsbt, UnreserveInputs, Withdraw,
};

use super::{Method, Outcome};
use crate::args::{Args, invalid};
use crate::param::{address_expected, script};
use crate::token::Token;
use crate::view::View;

pub(super) const METHODS: &[Method] = &[
    Method { name: "newaddr", usage: "[addresstype]", summary: "Make an address of the wallet", run: newaddr },
    Method {
        name: "listfunds",
        usage: "[spent]",
        summary: "Show what we own, on chain and in channels",
        run: listfunds,
    },
    Method {
        name: "withdraw",
        usage: "destination satoshi [feerate] [minconf] [utxos]",
        summary: "Pay to an address",
        run: withdraw,
    },
    Method {
        name: "listtransactions",
        usage: "",
        summary: "Show the wallet's transactions",
        run: |_, _| Ok(Request::ListTransactions.into()),
    },
    Method {
        name: "reserveinputs",
        usage: "psbt [exclusive] [reserve]",
        summary: "Keep the inputs of a PSBT for its maker",
        run: reserveinputs,
    },
    Method { name: "unreserveinputs", usage: "psbt [reserve]", summary: "Release kept inputs", run: unreserveinputs },
    Method {
        name: "fundpsbt",
        usage: "satoshi feerate startweight [minconf] [reserve] [locktime] [min_witness_weight] [excess_as_change] \
                [nonwrapped] [opening_anchor_channel]",
        summary: "Choose inputs that are worth an amount",
        run: fundpsbt,
    },
    Method { name: "signpsbt", usage: "psbt [signonly]", summary: "Sign the wallet's inputs of a PSBT", run: signpsbt },
    Method { name: "sendpsbt", usage: "psbt [reserve]", summary: "Finish a PSBT and broadcast it", run: sendpsbt },
];

/// For how many blocks inputs are kept when nobody says how long: twelve hours, as in Core Lightning.
const RESERVE_BLOCKS: u32 = 72;

fn newaddr(args: &Args<'_>, _: &View) -> Outcome {
    let kind = args.get_as("addresstype", "'p2tr', 'bech32' or 'all'", |token| match token.scalar()? {
        "p2tr" => Some(AddressKind::P2tr),
        "bech32" => Some(AddressKind::P2wpkh),
        "all" => Some(AddressKind::All),
        _ => None,
    })?;
    Ok(Request::NewAddr(kind.unwrap_or(AddressKind::P2tr)).into())
}

fn listfunds(args: &Args<'_>, _: &View) -> Outcome {
    Ok(Request::ListFunds { spent: args.or("spent", false)? }.into())
}

fn withdraw(args: &Args<'_>, view: &View) -> Outcome {
    let network = view.network;
    Ok(Request::Withdraw(Box::new(Withdraw {
        destination: args.need_as("destination", &address_expected(network), |token| script(token, network))?,
        amount: args.need("satoshi")?,
        feerate: args.get("feerate")?,
        min_confirmations: args.or("minconf", 1)?,
        utxos: args.get("utxos")?,
    }))
    .into())
}

fn reserveinputs(args: &Args<'_>, _: &View) -> Outcome {
    Ok(Request::ReserveInputs(ReserveInputs {
        psbt: args.need("psbt")?,
        exclusive: args.or("exclusive", true)?,
        blocks: args.or("reserve", RESERVE_BLOCKS)?,
    })
    .into())
}

fn unreserveinputs(args: &Args<'_>, _: &View) -> Outcome {
    let blocks = args.or("reserve", RESERVE_BLOCKS)?;
    Ok(Request::UnreserveInputs(UnreserveInputs { psbt: args.need("psbt")?, blocks }).into())
}

/// A number of blocks; earlier versions of Core Lightning took `true` and `false`.
fn reserve(args: &Args<'_>) -> Result<u32, jsonrpc_core::Error> {
    let read = |token: &Token<'_>| match token.scalar()? {
        "true" => Some(RESERVE_BLOCKS),
        "false" => Some(0),
        text => text.parse().ok(),
    };
    Ok(args.get_as("reserve", "a number of blocks", read)?.unwrap_or(RESERVE_BLOCKS))
}

fn fundpsbt(args: &Args<'_>, _: &View) -> Outcome {
    // The wallet has no wrapped outputs, so that asking for others only changes nothing.
    args.get::<bool>("nonwrapped")?;
    Ok(Request::FundPsbt(FundPsbt {
        amount: args.need("satoshi")?,
        feerate: args.need("feerate")?,
        start_weight: args.need("startweight")?,
        min_confirmations: args.or("minconf", 1)?,
        reserve_blocks: reserve(args)?,
        locktime: args.get("locktime")?,
        min_witness_weight: args.or("min_witness_weight", 0)?,
        excess_as_change: args.or("excess_as_change", false)?,
        opening_anchor_channel: args.or("opening_anchor_channel", false)?,
    })
    .into())
}

fn signpsbt(args: &Args<'_>, _: &View) -> Outcome {
    let sign_only: Option<Vec<u32>> = args.get("signonly")?;
    if sign_only.as_ref().is_some_and(Vec::is_empty) {
        return Err(invalid("signonly: names no input; leave it out to sign all that are ours"));
    }
    Ok(Request::SignPsbt(SignPsbt { psbt: args.need("psbt")?, sign_only }).into())
}

fn sendpsbt(args: &Args<'_>, _: &View) -> Outcome {
    Ok(Request::SendPsbt(SendPsbt { psbt: args.need("psbt")?, reserve_blocks: reserve(args)? }).into())
}
