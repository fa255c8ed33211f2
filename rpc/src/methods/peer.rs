//! About connections.

use leyden_core::ids::NodeId;
use leyden_core::request::Request;
use leyden_core::request::peer::{Connect, Disconnect, Ping};

use super::{Method, Outcome};
use crate::address::{parse_address, parse_host};
use crate::args::{Args, invalid};
use crate::token::Token;
use crate::view::View;

pub(super) const METHODS: &[Method] = &[
    Method { name: "connect", usage: "id [host] [port]", summary: "Connect to a node", run: connect },
    Method { name: "disconnect", usage: "id [force]", summary: "End the connection with a peer", run: disconnect },
    Method { name: "listpeers", usage: "[id] [level]", summary: "Show the peers", run: listpeers },
    Method { name: "ping", usage: "id [len] [pongbytes]", summary: "Ask a peer for a sign of life", run: ping },
];

fn connect(args: &Args<'_>, view: &View) -> Outcome {
    let default_port = view.network.default_port();
    const ID: &str = "a node id, or ID@HOST or ID@HOST:PORT";
    let (peer, address) = args.need_as("id", ID, |token| {
        let (id, place) = token.scalar()?.split_once('@').map_or((token.scalar()?, None), |(id, at)| (id, Some(at)));
        let peer = <NodeId as crate::param::Param>::read(&Token::Bare(id))?;
        let address = match place {
            Some(place) => Some(parse_address(place, default_port)?),
            None => None,
        };
        Some((peer, address))
    })?;
    let port = args.get::<u16>("port")?;
    let host = args.get_as("host", "a host name or address", |token| {
        // A host may bring its own port, unless one is given apart.
        let host = token.scalar()?;
        port.map_or_else(|| parse_address(host, default_port), |port| parse_host(host, port))
    })?;
    if address.is_some() && (host.is_some() || port.is_some()) {
        return Err(invalid("host: cannot be given both here and in the id as ID@HOST"));
    }
    if port.is_some() && host.is_none() {
        return Err(invalid("port: needs a host as well"));
    }
    Ok(Request::Connect(Connect { peer, address: address.or(host) }).into())
}

fn disconnect(args: &Args<'_>, _: &View) -> Outcome {
    Ok(Request::Disconnect(Disconnect { peer: args.need("id")?, force: args.or("force", false)? }).into())
}

fn listpeers(args: &Args<'_>, _: &View) -> Outcome {
    // The level chose which log lines to show; no client relies on them.
    args.get::<String>("level")?;
    Ok(Request::ListPeers { id: args.get("id")? }.into())
}

fn ping(args: &Args<'_>, _: &View) -> Outcome {
    let pong_bytes = args.or("pongbytes", 128)?;
    Ok(Request::Ping(Ping { peer: args.need("id")?, len: args.or("len", 128)?, pong_bytes }).into())
}
