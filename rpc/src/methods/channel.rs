//! About our channels.

use leyden_core::amount::Msat;
use leyden_core::request::channel::{ChannelName, Close, FundChannel, ListPeerChannels, SetChannel};
use leyden_core::request::{FeerateChoice, Request};

use super::{Method, Outcome};
use crate::args::{Args, invalid};
use crate::param::{Param, address_expected, script};
use crate::token::Token;
use crate::view::View;

pub(super) const METHODS: &[Method] = &[
    Method {
        name: "listpeerchannels",
        usage: "[id] [short_channel_id] [channel_id]",
        summary: "Show our channels",
        run: listpeerchannels,
    },
    Method {
        name: "listclosedchannels",
        usage: "[id]",
        summary: "Show channels that are over",
        run: |args, _| Ok(Request::ListClosedChannels { id: args.get("id")? }.into()),
    },
    Method {
        name: "fundchannel",
        usage: "id amount [feerate] [announce] [minconf] [push_msat] [close_to] [request_amt] [compact_lease] \
                [utxos] [mindepth] [reserve] [channel_type]",
        summary: "Open a channel",
        run: fundchannel,
    },
    Method {
        name: "close",
        usage: "id [unilateraltimeout] [destination] [fee_negotiation_step] [wrong_funding] [force_lease_closed] \
                [feerange]",
        summary: "Close a channel, alone if the peer does not answer",
        run: close,
    },
    Method {
        name: "setchannel",
        usage: "id [feebase] [feeppm] [htlcmin] [htlcmax] [enforcedelay] [ignorefeelimits]",
        summary: "Change what a channel charges and takes",
        run: setchannel,
    },
];

fn listpeerchannels(args: &Args<'_>, _: &View) -> Outcome {
    let peer = args.get("id")?;
    let scid = args.get("short_channel_id")?.map(ChannelName::Scid);
    let id = args.get("channel_id")?.map(ChannelName::Id);
    if scid.is_some() && id.is_some() {
        return Err(invalid("channel_id: cannot be given together with short_channel_id"));
    }
    Ok(Request::ListPeerChannels(ListPeerChannels { peer, channel: scid.or(id) }).into())
}

fn fundchannel(args: &Args<'_>, view: &View) -> Outcome {
    args.refuse("request_amt")?;
    args.refuse("compact_lease")?;
    let network = view.network;
    Ok(Request::FundChannel(Box::new(FundChannel {
        peer: args.need("id")?,
        amount: args.need("amount")?,
        feerate: args.get("feerate")?,
        announce: args.or("announce", true)?,
        min_confirmations: args.or("minconf", 1)?,
        push_msat: args.or("push_msat", Msat::ZERO)?,
        close_to: args.get_as("close_to", &address_expected(network), |token| script(token, network))?,
        utxos: args.get("utxos")?,
        mindepth: args.get("mindepth")?,
        reserve_sat: args.get("reserve")?,
        channel_type: args.get("channel_type")?,
    }))
    .into())
}

fn close(args: &Args<'_>, view: &View) -> Outcome {
    // The fee is agreed on in one step; the step's size was a hint and means nothing any more.
    args.get::<String>("fee_negotiation_step")?;
    args.refuse("wrong_funding")?;
    args.get::<bool>("force_lease_closed")?;
    let network = view.network;
    let fee_range = args.get_as("feerange", "an array of two feerates, the lowest and the highest", |token| {
        let Token::Array(items) = token else { return None };
        let feerate = |i: usize| FeerateChoice::read(&Token::new(items.get(i)?)?);
        if items.len() == 2 { feerate(0).zip(feerate(1)) } else { None }
    })?;
    Ok(Request::Close(Box::new(Close {
        channel: args.need("id")?,
        unilateral_timeout_s: args.get("unilateraltimeout")?,
        destination: args.get_as("destination", &address_expected(network), |token| script(token, network))?,
        fee_range,
    }))
    .into())
}

fn setchannel(args: &Args<'_>, _: &View) -> Outcome {
    const NAME: &str = "a channel id, a short channel id, a peer id or 'all'";
    let channel = args.need_as("id", NAME, |token| match token.scalar()? {
        "all" => Some(None),
        _ => ChannelName::read(token).map(Some),
    })?;
    Ok(Request::SetChannel(SetChannel {
        channel,
        fee_base_msat: args.get("feebase")?,
        fee_proportional_millionths: args.get("feeppm")?,
        htlc_minimum_msat: args.get("htlcmin")?,
        htlc_maximum_msat: args.get("htlcmax")?,
        enforce_delay_s: args.or("enforcedelay", 600)?,
        ignore_fee_limits: args.get("ignorefeelimits")?,
    })
    .into())
}
