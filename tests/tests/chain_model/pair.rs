//! The model and a bitcoind that are told the same.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{Amount, Denomination, Transaction, Txid};
use leyden_sim::chain::{Block, Chain, Fill, PackageRefused, Params};
use leyden_tests::bitcoind::{Bitcoind, RpcError};
use serde_json::{Value, json};

/// Upon this many blocks, coinbases are ripe that are worth the full subsidy.
const START_HEIGHT: u32 = 220;

pub(crate) struct Pair {
    pub(crate) model: Chain,
    bitcoind: Bitcoind,
    /// How many transactions were given to both, by what became of them.
    pub(crate) outcomes: BTreeMap<String, u32>,
    /// Where they did not agree.
    pub(crate) quarrels: Vec<String>,
}

impl Pair {
    pub(crate) fn start() -> Pair {
        // The installed program has stricter rules of its own by default; these are those of Bitcoin Core.
        let flags = ["-corepolicy=1", "-mempooltruc=enforce", "-minrelaytxfee=0.00001", "-incrementalrelayfee=0.00001"];
        let bitcoind = Bitcoind::start_with(&flags);
        let model = Chain::new(Params { height: START_HEIGHT, ..Params::default() });
        let pair = Pair { model, bitcoind, outcomes: BTreeMap::new(), quarrels: Vec::new() };
        for height in 1..=START_HEIGHT {
            pair.submit(pair.model.block(leyden_core::ids::BlockHeight(height)).expect("it was mined"));
        }
        pair
    }

    fn submit(&self, block: &Block) {
        let hex = serialize_hex(&block.to_bitcoin());
        let answer = self.bitcoind.call("submitblock", json!([hex]));
        // A branch that is not the longest yet is taken in but not connected.
        assert!(answer.is_null() || answer == "inconclusive", "block {:?}: {answer}", block.tip);
    }

    fn count(&mut self, outcome: &str) {
        *self.outcomes.entry(outcome.to_owned()).or_default() += 1;
    }

    /// Gives a transaction to both. The answer is whether it was taken.
    pub(crate) fn send(&mut self, what: &str, tx: &Transaction) -> bool {
        let ours = self.model.broadcast(tx).map_err(|refused| (refused.reason(), format!("{refused:?}")));
        let request = json!([serialize_hex(tx), 0, "21000000"]);
        let theirs = match self.bitcoind.try_call("sendrawtransaction", request).expect("it runs") {
            // It has the transaction in a block already.
            Err(RpcError { code: -27, .. }) | Ok(_) => Ok(()),
            Err(error) => Err(error.message),
        };
        let agree = match (&ours, &theirs) {
            (Ok(()), Ok(())) => true,
            (Err((reason, _)), Err(message)) => class(message).contains(reason),
            _ => false,
        };
        self.count(ours.as_ref().err().map_or("ok", |(reason, _)| reason));
        if !agree {
            self.quarrels.push(format!("{what} {}: {ours:?} against {theirs:?}", tx.compute_txid()));
        }
        ours.is_ok()
    }

    /// Gives a package to both.
    pub(crate) fn send_package(&mut self, what: &str, txs: &[Transaction]) -> bool {
        let ours = self.model.submit_package(txs);
        let hex: Vec<String> = txs.iter().map(serialize_hex).collect();
        let request = json!([hex, 0, "21000000"]);
        let theirs = self.bitcoind.try_call("submitpackage", request).expect("it runs");
        let theirs = theirs.map_or_else(
            |error| vec![error.message],
            |answer| if answer["package_msg"] == "success" { Vec::new() } else { messages(&answer) },
        );
        let agree = match &ours {
            Ok(()) => theirs.is_empty(),
            // It does not tell them apart.
            Err(PackageRefused::NotChildWithParents | PackageRefused::NotSorted) => {
                theirs[0].contains("package topology disallowed")
            }
            Err(refused) => theirs.iter().any(|message| class(message).contains(refused.reason())),
        };
        self.count(&format!("package {}", ours.as_ref().map_or_else(PackageRefused::reason, |()| "ok")));
        if !agree {
            self.quarrels.push(format!("{what}: {ours:?} against {theirs:?}"));
        }
        self.compare(what);
        ours.is_ok()
    }

    /// The same transactions wait.
    pub(crate) fn compare(&mut self, when: &str) {
        let ours: BTreeSet<Txid> = self.model.mempool().map(|tx| tx.compute_txid()).collect();
        let theirs: BTreeSet<Txid> = self.bitcoind.mempool().into_iter().collect();
        if ours != theirs {
            let (ours, theirs): (Vec<_>, Vec<_>) =
                (ours.difference(&theirs).collect(), theirs.difference(&ours).collect());
            self.quarrels.push(format!("{when}: only the model has {ours:?}, only bitcoind has {theirs:?}"));
        }
    }

    /// Mines by the model and gives the block to the other.
    pub(crate) fn mine(&mut self, fill: &Fill) {
        let block = self.model.mine_block(fill).expect("its transactions are valid").clone();
        self.submit(&block);
        self.compare_tips();
    }

    /// Lets a longer branch take over.
    pub(crate) fn reorg(&mut self, depth: u32, fills: &[Fill]) {
        let reorg = self.model.reorg(depth, fills).expect("its transactions are valid");
        assert_eq!(reorg.disconnected.len(), depth as usize);
        for block in &reorg.connected {
            self.submit(block);
        }
        self.compare_tips();
    }

    fn compare_tips(&mut self) {
        let tip = self.model.tip();
        assert_eq!(self.bitcoind.height(), tip.height.0, "bitcoind follows");
        assert_eq!(self.bitcoind.block_hash(tip.height.0), tip.hash);
        self.compare("after a block");
    }

    /// Both hold the same unspent outputs.
    pub(crate) fn compare_coins(&self) {
        let theirs = self.bitcoind.call("gettxoutsetinfo", json!(["none"]));
        let coins = self.model.coins();
        let count = coins.filter(|(_, coin)| coin.output.script_pubkey.len() <= 10_000).count();
        assert_eq!(theirs["txouts"], count);
    }

    /// Fee and size of what waits.
    pub(crate) fn compare_entries(&mut self) {
        let theirs = self.bitcoind.call("getrawmempool", json!([true]));
        for (txid, entry) in theirs.as_object().expect("an object") {
            let txid: Txid = txid.parse().expect("an id");
            let Some((fee, vsize)) = self.model.fee_and_vsize(&txid) else {
                continue;
            };
            let their_fee = Amount::from_str_in(
                &format!("{:.8}", entry["fees"]["base"].as_f64().unwrap_or(0.0)),
                Denomination::Bitcoin,
            );
            if their_fee.map(Amount::to_sat) != Ok(fee.0) || entry["vsize"] != vsize {
                self.quarrels.push(format!("{txid} is {fee:?}, {vsize} against {entry}"));
            }
        }
    }
}

/// All that is said about a package.
fn messages(answer: &Value) -> Vec<String> {
    let results = answer["tx-results"].as_object().into_iter().flatten();
    let errors = results.filter_map(|(_, result)| result["error"].as_str());
    errors.chain(answer["package_msg"].as_str()).map(str::to_owned).collect()
}

/// The installed program has finer names for some of Bitcoin Core's reasons.
fn class(message: &str) -> &str {
    const FINER: [(&str, &str); 3] = [
        ("truc-", "TRUC-violation"),
        ("bad-txns-input-witness-unknown", "bad-txns-nonstandard-inputs"),
        ("bad-witness-", "bad-witness-nonstandard"),
    ];
    FINER.iter().find(|(fine, _)| message.contains(fine)).map_or(message, |(_, class)| class)
}
