//! About a chain that the process itself hosts: `leydend playground`, `leydend --chain embedded`.

use leyden_core::request::Request;
use leyden_core::request::dev::{DevFaucet, DevGenerate};

use super::{Method, Outcome};
use crate::args::{Args, invalid};
use crate::param::{address_expected, script};
use crate::view::View;

pub(super) const METHODS: &[Method] = &[
    Method {
        name: "dev-generate",
        usage: "[blocks] [address]",
        summary: "Mine blocks, one unless told otherwise (embedded chain only)",
        run: generate,
    },
    Method {
        name: "dev-faucet",
        usage: "satoshi [address]",
        summary: "Make coins and mine them, for the node's own wallet unless told otherwise (embedded chain only)",
        run: faucet,
    },
];

/// Blocks at once: more would keep all nodes of the process busy for a while.
const BLOCKS_MAX: u32 = 1_000;

fn destination(args: &Args<'_>, view: &View) -> Result<Option<bitcoin::ScriptBuf>, jsonrpc_core::Error> {
    args.get_as("address", &address_expected(view.network), |token| script(token, view.network))
}

fn generate(args: &Args<'_>, view: &View) -> Outcome {
    let blocks = args.or("blocks", 1)?;
    if !(1..=BLOCKS_MAX).contains(&blocks) {
        return Err(invalid(format!("blocks: should be 1 to {BLOCKS_MAX}, not {blocks}")));
    }
    Ok(Request::DevGenerate(DevGenerate { blocks, destination: destination(args, view)? }).into())
}

fn faucet(args: &Args<'_>, view: &View) -> Outcome {
    Ok(Request::DevFaucet(DevFaucet { amount: args.need("satoshi")?, destination: destination(args, view)? }).into())
}
