//! Clients that wait to hear how the backend takes their transaction.
//!
//! A transaction counts from the moment it is made: it is in rows, and offered again with every block until the backend
//! has taken or refused it. So a client that has waited in vain is told so, and not that nothing will be paid.

use bitcoin::{OutPoint, Transaction, Txid};

use super::{Io, Node, NodeTimer};
use crate::chain::Backend;
use crate::event::BroadcastOutcome;
use crate::ids::{ChannelKey, RequestId};
use crate::limits::WAITERS_MAX;
use crate::request::channel::ChannelFunded;
use crate::request::wallet::{SendPsbt, Withdraw};
use crate::request::{RequestError, Response};

/// For so long a client waits for the backend.
const VERDICT_WAIT_MS: u64 = 60_000;

/// One that waits.
#[derive(bincode::Encode, bincode::Decode)]
pub(crate) struct Waiter {
    request: RequestId,
    /// The answer if all is well.
    response: Response,
    /// What was reserved for it, and for how many blocks.
    #[bincode(with_serde)]
    reserved: Option<(Vec<OutPoint>, u32)>,
}

impl Node {
    pub(super) fn on_withdraw(&mut self, io: &mut Io<'_>, request: RequestId, withdraw: &Withdraw) {
        if let Err(error) = self.may_wait_for_verdict() {
            return io.reply(request, Err(error));
        }
        let feerate = self.feerate(withdraw.feerate);
        let reserve = self.emergency_reserve();
        match self.wallet.withdraw(withdraw, feerate, reserve, io.signer, &mut self.rng, io.out) {
            Ok(withdrawn) => {
                let txid = withdrawn.tx.compute_txid();
                let response = Response::Withdrawn(Box::new(withdrawn));
                self.wait_for_verdict(io, txid, Waiter { request, response, reserved: None });
            }
            Err(error) => io.reply(request, Err(error.into())),
        }
    }

    pub(super) fn on_send_psbt(&mut self, io: &mut Io<'_>, request: RequestId, send: &SendPsbt) {
        if let Err(error) = self.may_wait_for_verdict() {
            return io.reply(request, Err(error));
        }
        match self.wallet.send_psbt(send, io.out) {
            Ok(sent) => {
                let txid = sent.tx.compute_txid();
                let reserved = Some((inputs(&sent.tx), send.reserve_blocks));
                let response = Response::PsbtSent(Box::new(sent));
                self.wait_for_verdict(io, txid, Waiter { request, response, reserved });
            }
            Err(error) => io.reply(request, Err(error.into())),
        }
    }

    /// Nothing is made while the backend is known to be away: the client can try again, and knows where it stands.
    pub(super) fn may_wait_for_verdict(&self) -> Result<(), RequestError> {
        if let Backend::Down { reason } = &self.chain.backend {
            return Err(RequestError::generic(format!("Nothing was sent: bitcoind: {reason}")));
        }
        if self.verdict_waiters.values().map(Vec::len).sum::<usize>() >= WAITERS_MAX {
            return Err(RequestError::generic("Nothing was sent: too many clients are waiting for bitcoind"));
        }
        Ok(())
    }

    fn wait_for_verdict(&mut self, io: &Io<'_>, txid: Txid, waiter: Waiter) {
        let until = io.clock.mono.plus_ms(VERDICT_WAIT_MS);
        self.timers.set(NodeTimer::Verdict { request: waiter.request }, until);
        self.verdict_waiters.entry(txid).or_default().push(waiter);
    }

    /// The funding of a channel is on its way to the backend for the first time.
    pub(super) fn wait_for_funding(
        &mut self,
        io: &Io<'_>,
        channel: ChannelKey,
        request: RequestId,
        funded: ChannelFunded,
    ) {
        let txid = funded.tx.compute_txid();
        self.fresh_fundings.insert(txid, channel);
        let response = Response::ChannelFunded(Box::new(funded));
        self.wait_for_verdict(io, txid, Waiter { request, response, reserved: None });
    }

    /// What the verdict means for a channel that the transaction funds. Is it forgotten?
    ///
    /// Only the very first attempt tells: its signatures were with nobody but us and the backend, and a backend that
    /// refuses a transaction passes it to nobody. If an attempt before had gone well, or might have, a refusal says
    /// nothing about what other nodes hold, and a channel that is forgotten while its funding confirms is lost money.
    fn on_funding_verdict(&mut self, io: &mut Io<'_>, txid: Txid, outcome: &BroadcastOutcome) -> bool {
        let Some(channel) = self.fresh_fundings.remove(&txid) else { return false };
        match outcome {
            BroadcastOutcome::Rejected { reason, .. } => {
                self.abandon_unfunded(io, channel, &format!("bitcoind refuses its funding: {reason}"))
            }
            BroadcastOutcome::Accepted | BroadcastOutcome::Unreachable => false,
        }
    }

    /// The backend has spoken, or could not be asked, which is no verdict.
    pub(super) fn on_verdict(&mut self, io: &mut Io<'_>, txid: Txid, outcome: &BroadcastOutcome) {
        let is_forgotten = self.on_funding_verdict(io, txid, outcome);
        if *outcome == BroadcastOutcome::Unreachable {
            return;
        }
        for Waiter { request, response, reserved } in self.verdict_waiters.remove(&txid).unwrap_or_default() {
            self.timers.clear(NodeTimer::Verdict { request });
            let result = match outcome {
                BroadcastOutcome::Rejected { reason, .. } => {
                    if let Some((inputs, blocks)) = reserved {
                        self.wallet.release(&inputs, blocks, io.out);
                    }
                    Err(match response {
                        Response::ChannelFunded(_) => funding_refused(txid, reason, is_forgotten),
                        _ => {
                            let text = format!("Error broadcasting transaction: {reason}. Unsent tx discarded");
                            RequestError::generic(text)
                        }
                    })
                }
                _ => Ok(response),
            };
            io.reply(request, result);
        }
    }

    pub(super) fn on_verdict_late(&mut self, io: &mut Io<'_>, request: RequestId) {
        let Some((txid, waiter)) = self.forget_verdict_waiter(request) else { return };
        let error = match waiter.response {
            Response::ChannelFunded(funded) => RequestError::new(
                RequestError::FUNDING_BROADCAST_FAIL,
                format!(
                    "bitcoind has not answered: the funding {txid} of channel {} is kept and will be broadcast again. Do \
                     not open the channel a second time; listpeerchannels shows where it stands",
                    funded.channel_id
                ),
            ),
            _ => RequestError::generic(format!(
                "bitcoind has not answered: transaction {txid} is kept and will be broadcast again. Do not send it a \
                 second time; listtransactions shows whether it was mined"
            )),
        };
        io.reply(request, Err(error));
    }

    /// The client has gone; the transaction is none the less on its way.
    pub(super) fn forget_verdict_waiter(&mut self, request: RequestId) -> Option<(Txid, Waiter)> {
        self.timers.clear(NodeTimer::Verdict { request });
        let found = self.verdict_waiters.iter().find_map(|(txid, waiters)| {
            let place = waiters.iter().position(|waiter| waiter.request == request)?;
            Some((*txid, place))
        });
        let (txid, place) = found?;
        let waiters = self.verdict_waiters.get_mut(&txid).expect("it was just found");
        let waiter = waiters.swap_remove(place);
        if waiters.is_empty() {
            self.verdict_waiters.remove(&txid);
        }
        Some((txid, waiter))
    }
}

fn funding_refused(txid: Txid, reason: &str, is_forgotten: bool) -> RequestError {
    let state = if is_forgotten {
        "Nothing was paid: the channel is forgotten, the peer was told, and the coins are free again. Open it anew, with \
         another feerate if that was the trouble"
    } else {
        "An attempt before this one may have gone well, so the channel is kept in case its funding is mined after all; \
         listpeerchannels shows it"
    };
    let text = format!("bitcoind refuses the funding transaction {txid}: {reason}. {state}");
    RequestError::new(RequestError::FUNDING_BROADCAST_FAIL, text)
}

fn inputs(tx: &Transaction) -> Vec<OutPoint> {
    tx.input.iter().map(|input| input.previous_output).collect()
}

#[cfg(test)]
mod tests {
    use bitcoin::{Amount, ScriptBuf, TxIn, TxOut};

    use super::*;
    use crate::amount::Sat;
    use crate::chain::Tip;
    use crate::clock::{Clock, Mono, Wall};
    use crate::command::{Command, Sink};
    use crate::config::{Config, Network};
    use crate::event::{ChainEvent, Event, Match};
    use crate::ids::BlockHeight;
    use crate::node::Boot;
    use crate::request::wallet::{AddressKind, FundPsbt, SignPsbt};
    use crate::request::{AmountOrAll, FeerateChoice, Request};
    use crate::signer::KeysSigner;

    #[derive(Default)]
    struct Heard {
        replies: Vec<(RequestId, Result<Response, RequestError>)>,
        broadcasts: Vec<Transaction>,
    }

    impl Sink for Heard {
        fn emit(&mut self, command: Command<'_>) {
            match command {
                Command::Reply { id, result } => self.replies.push((id, result.clone())),
                Command::Broadcast { tx, .. } => self.broadcasts.push(tx.clone()),
                _ => {}
            }
        }
    }

    /// A node with one coin.
    struct Owner {
        node: Node,
        signer: KeysSigner,
        heard: Heard,
        now_ms: u64,
        asked: u64,
    }

    impl Owner {
        fn new() -> Owner {
            let config = Config::default_for(Network::Regtest);
            let mut signer = KeysSigner::new([7; 64], config.network.bitcoin(), [8; 32]);
            let clock = Clock { mono: Mono(0), wall: Wall(1_700_000_000_000) };
            let boot = Boot { config, rng_seed: [9; 32], clock };
            let node = Node::restore(boot, std::iter::empty(), &mut signer).expect("no rows are sound");
            let mut owner = Owner { node, signer, heard: Heard::default(), now_ms: 0, asked: 0 };
            let tip = |height: u32| Tip {
                height: BlockHeight(height),
                hash: bitcoin::hashes::Hash::from_byte_array([height as u8; 32]),
            };
            owner.chain(ChainEvent::Up);
            owner.chain(ChainEvent::Begin { tip: tip(100) });
            let script_pubkey = match owner.call(Request::NewAddr(AddressKind::P2wpkh)) {
                Some(Ok(Response::Addresses(addresses))) => addresses.p2wpkh.expect("asked for"),
                other => panic!("{other:?}"),
            };
            let output = TxOut { value: Amount::from_sat(1_000_000), script_pubkey };
            let tx = Transaction {
                version: bitcoin::transaction::Version::TWO,
                lock_time: bitcoin::absolute::LockTime::ZERO,
                input: vec![TxIn { previous_output: OutPoint { vout: 0, ..OutPoint::null() }, ..TxIn::default() }],
                output: vec![output.clone(), output],
            };
            let matches = [Match { index: 1, tx: &tx }];
            owner.chain(ChainEvent::BlockConnected { tip: tip(101), time_s: 0, matches: &matches });
            owner.chain(ChainEvent::Synced { height: BlockHeight(101) });
            owner
        }

        fn step(&mut self, event: Event<'_>) {
            let clock = Clock { mono: Mono(self.now_ms), wall: Wall(1_700_000_000_000 + self.now_ms) };
            self.node.step(clock, event, &mut self.signer, &mut self.heard);
        }

        fn chain(&mut self, event: ChainEvent<'_>) {
            self.step(Event::Chain(event));
        }

        fn ask(&mut self, request: Request) -> RequestId {
            self.asked += 1;
            let id = RequestId(self.asked);
            self.step(Event::Request { id, request });
            id
        }

        /// The answer, if it was there at once.
        fn call(&mut self, request: Request) -> Option<Result<Response, RequestError>> {
            let id = self.ask(request);
            self.reply(id)
        }

        fn reply(&mut self, id: RequestId) -> Option<Result<Response, RequestError>> {
            let place = self.heard.replies.iter().position(|(other, _)| *other == id)?;
            Some(self.heard.replies.remove(place).1)
        }

        fn withdraw(&mut self) -> RequestId {
            let destination = ScriptBuf::new_p2wpkh(&bitcoin::hashes::Hash::from_byte_array([3; 20]));
            let amount = AmountOrAll::Amount(Sat(1_500_000));
            let withdraw = Withdraw { destination, amount, feerate: None, min_confirmations: 1, utxos: None };
            self.ask(Request::Withdraw(Box::new(withdraw)))
        }

        fn verdict(&mut self, outcome: BroadcastOutcome) {
            let txid = self.heard.broadcasts.last().expect("something was broadcast").compute_txid();
            self.chain(ChainEvent::Broadcast { txid, outcome });
        }

        /// Outputs that are neither spent nor kept for somebody.
        fn free(&mut self) -> usize {
            match self.call(Request::ListFunds { spent: false }) {
                Some(Ok(Response::Funds(funds))) => {
                    funds.outputs.iter().filter(|output| output.reserved_to.is_none()).count()
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn refused() -> BroadcastOutcome {
        BroadcastOutcome::Rejected { code: -26, reason: "min relay fee not met".to_owned() }
    }

    #[test]
    fn a_withdrawal_is_answered_when_the_backend_has_it() {
        let mut owner = Owner::new();
        let id = owner.withdraw();
        assert!(owner.reply(id).is_none(), "nobody knows yet");
        owner.verdict(BroadcastOutcome::Unreachable);
        assert!(owner.reply(id).is_none(), "that is no verdict");
        owner.verdict(BroadcastOutcome::Accepted);
        assert!(matches!(owner.reply(id), Some(Ok(Response::Withdrawn(_)))));
        assert_eq!(owner.node.timers.next(), None);
    }

    #[test]
    fn a_refused_withdrawal_costs_nothing() {
        let mut owner = Owner::new();
        let id = owner.withdraw();
        owner.verdict(refused());
        let error = owner.reply(id).expect("an answer").expect_err("it was refused");
        assert_eq!(error.code, RequestError::GENERIC);
        assert!(error.message.contains("min relay fee not met"), "{}", error.message);
        assert_eq!(owner.free(), 2);
    }

    #[test]
    fn a_refused_psbt_frees_its_inputs() {
        let mut owner = Owner::new();
        let fund = FundPsbt {
            amount: AmountOrAll::Amount(Sat(1_000)),
            feerate: FeerateChoice::Normal,
            start_weight: 0,
            min_confirmations: 1,
            reserve_blocks: 0,
            locktime: None,
            min_witness_weight: 0,
            excess_as_change: true,
            opening_anchor_channel: false,
        };
        let psbt = match owner.call(Request::FundPsbt(fund)) {
            Some(Ok(Response::PsbtFunded(funded))) => funded.psbt,
            other => panic!("{other:?}"),
        };
        let psbt = match owner.call(Request::SignPsbt(SignPsbt { psbt, sign_only: None })) {
            Some(Ok(Response::PsbtSigned(psbt))) => psbt,
            other => panic!("{other:?}"),
        };
        let id = owner.ask(Request::SendPsbt(SendPsbt { psbt: psbt.clone(), reserve_blocks: 72 }));
        assert!(owner.reply(id).is_none());
        owner.verdict(refused());
        assert!(owner.reply(id).is_some_and(|answer| answer.is_err()));
        assert_eq!(owner.free(), 2);
        let id = owner.ask(Request::SendPsbt(SendPsbt { psbt, reserve_blocks: 72 }));
        owner.verdict(BroadcastOutcome::Accepted);
        assert!(matches!(owner.reply(id), Some(Ok(Response::PsbtSent(_)))));
    }

    #[test]
    fn who_has_waited_in_vain_is_told_that_the_transaction_stands() {
        let mut owner = Owner::new();
        let id = owner.withdraw();
        owner.chain(ChainEvent::Down { reason: "gone".to_owned() });
        owner.now_ms = VERDICT_WAIT_MS;
        owner.step(Event::Deadline);
        let error = owner.reply(id).expect("an answer").expect_err("there was no verdict");
        assert!(error.message.contains("Do not send it a second time"), "{}", error.message);
        // While the backend is away nothing new begins.
        let id = owner.withdraw();
        let error = owner.reply(id).expect("an answer").expect_err("nobody is there");
        assert!(error.message.contains("Nothing was sent"), "{}", error.message);
        // The verdict comes late, and a client that has gone is not answered.
        owner.chain(ChainEvent::Up);
        owner.verdict(BroadcastOutcome::Accepted);
        assert!(owner.heard.replies.is_empty());
    }
}
