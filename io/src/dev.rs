//! Blocks and coins for the asking, where the process hosts the chain (`dev-generate`, `dev-faucet`).
//!
//! The machine is not asked to make them: it only lends its wallet's address before, and says when it has taken them in
//! after. So whoever has got the answer can spend the coin.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

use bitcoin::ScriptBuf;
use leyden_core::amount::Sat;
use leyden_core::clock::Wall;
use leyden_core::ids::{BlockHeight, RequestId};
use leyden_core::request::dev::{DevFaucet, DevGenerate, DevGenerated, DevGift};
use leyden_core::request::node::WaitBlockHeight;
use leyden_core::request::wallet::AddressKind;
use leyden_core::request::{Request, RequestError, Response};

use crate::chain::SharedChain;
use crate::control::Control;
use crate::notice::Notice;

/// How long the node may take to take in what was made.
const TAKE_IN_S: u64 = 60;

type Answer = Result<Response, RequestError>;

/// A request that is under way in the machine.
enum Pending {
    /// The wallet is asked for an address, for so much.
    Address(Sat),
    /// The node has yet to take in what was made; then this is the answer.
    TakeIn(Response),
}

/// Something to do behind the commit.
enum Order {
    Generate(DevGenerate),
    Give { script: ScriptBuf, amount: Sat },
}

/// All such requests.
#[derive(Default)]
pub(crate) struct Dev {
    pending: BTreeMap<RequestId, Pending>,
    orders: Vec<(RequestId, Order)>,
}

impl Dev {
    /// Takes a request if it is one of these: what the machine shall be asked in its place, or all there is.
    pub(crate) fn take(&mut self, id: RequestId, request: Request, is_hosted: bool) -> Option<Request> {
        match request {
            Request::DevGenerate(generate) if is_hosted => {
                self.orders.push((id, Order::Generate(generate)));
                None
            }
            Request::DevFaucet(DevFaucet { amount, destination: Some(script) }) if is_hosted => {
                self.orders.push((id, Order::Give { script, amount }));
                None
            }
            Request::DevFaucet(DevFaucet { amount, destination: None }) if is_hosted => {
                self.pending.insert(id, Pending::Address(amount));
                Some(Request::NewAddr(AddressKind::P2tr))
            }
            // Without such a chain the machine refuses them.
            request => Some(request),
        }
    }

    /// The machine has answered: what the client gets, if anything yet.
    pub(crate) fn replied<'a>(&mut self, id: RequestId, answer: &'a Answer) -> Option<Cow<'a, Answer>> {
        match (self.pending.remove(&id), answer) {
            (Some(Pending::Address(amount)), Ok(Response::Addresses(addresses))) => {
                let script = addresses.p2tr.clone().expect("the wallet gives the kind that it is asked for");
                self.orders.push((id, Order::Give { script, amount }));
                None
            }
            (Some(Pending::TakeIn(response)), Ok(_)) => Some(Cow::Owned(Ok(response))),
            (_, answer) => Some(Cow::Borrowed(answer)),
        }
    }

    /// Nobody waits for this answer any more.
    pub(crate) fn gone(&mut self, id: RequestId) {
        self.pending.remove(&id);
    }

    /// Is there something to do behind the commit?
    pub(crate) fn has_orders(&self) -> bool {
        !self.orders.is_empty()
    }

    /// Does it.
    pub(crate) fn act(
        &mut self,
        chain: &SharedChain,
        wall: Wall,
        control: &mut Control,
        notices: &mut VecDeque<Notice>,
    ) {
        for (id, order) in self.orders.drain(..) {
            match make(chain, order, wall) {
                Ok((height, response)) => {
                    self.pending.insert(id, Pending::TakeIn(response));
                    let wait = WaitBlockHeight { height, timeout_s: TAKE_IN_S };
                    notices.push_back(Notice::Ask { id, request: Request::WaitBlockHeight(wait) });
                }
                Err(error) => control.reply(id, &Err(error)),
            }
        }
    }
}

fn make(chain: &SharedChain, order: Order, wall: Wall) -> Result<(BlockHeight, Response), RequestError> {
    let refused = |error: crate::chain::embedded::MakeError| RequestError::generic(error.to_string());
    match order {
        Order::Generate(DevGenerate { blocks, destination }) => {
            let made = chain.generate(blocks, destination, wall).map_err(refused)?;
            let height = made.last().expect("at least one block was asked for").height;
            let blocks = made.iter().map(|tip| tip.hash).collect();
            Ok((height, Response::DevGenerated(DevGenerated { height, blocks })))
        }
        Order::Give { script, amount } => {
            let (outpoint, height) = chain.give(script.clone(), amount, wall).map_err(refused)?;
            Ok((height, Response::DevGift(Box::new(DevGift { outpoint, amount, script, height }))))
        }
    }
}
