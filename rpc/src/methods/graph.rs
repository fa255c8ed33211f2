//! About the network's map.

use leyden_core::request::Request;
use leyden_core::request::graph::ListChannels;

use super::{Method, Outcome};
use crate::args::{Args, invalid};
use crate::view::View;

pub(super) const METHODS: &[Method] = &[
    Method {
        name: "listnodes",
        usage: "[id]",
        summary: "Show nodes of the network",
        run: |args, _| Ok(Request::ListNodes { id: args.get("id")? }.into()),
    },
    Method {
        name: "listchannels",
        usage: "[short_channel_id] [source] [destination]",
        summary: "Show channels of the network",
        run: listchannels,
    },
];

fn listchannels(args: &Args<'_>, _: &View) -> Outcome {
    let scid = args.get("short_channel_id")?.map(ListChannels::Channel);
    let source = args.get("source")?.map(ListChannels::Source);
    let destination = args.get("destination")?.map(ListChannels::Destination);
    let mut filters = scid.into_iter().chain(source).chain(destination);
    let filter = filters.next().unwrap_or(ListChannels::All);
    if filters.next().is_some() {
        return Err(invalid("Can only specify one of {short_channel_id}, {source} or {destination}"));
    }
    Ok(Request::ListChannels(filter).into())
}
