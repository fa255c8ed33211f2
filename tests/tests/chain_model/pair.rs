//! The model and a bitcoind that are told the same.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{Amount, Denomination, Transaction, Txid};
use leyden_sim::chain::{Block, Chain, Fill, PackageRefused, Params, Policy};
use leyden_tests::bitcoind::{Bitcoind, RpcError, bitcoind_path};
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
    pub(crate) fn start(policy: Policy) -> Pair {
        let mempool = format!("-maxmempool={}", policy.max_mempool_bytes / 1_000_000);
        let mut flags = vec!["-minrelaytxfee=0.00001", "-incrementalrelayfee=0.00001", &mempool];
        let version = Command::new(bitcoind_path()).arg("-version").output().expect("it can be run").stdout;
        if String::from_utf8_lossy(&version).contains("Knots") {
            // It has stricter rules of its own by default; these are those of Bitcoin Core.
            flags.extend(["-corepolicy=1", "-mempooltruc=enforce"]);
        }
        let bitcoind = Bitcoind::start_with(&flags);
        let model = Chain::new(Params { height: START_HEIGHT, policy, ..Params::default() });
        let pair = Pair { model, bitcoind, outcomes: BTreeMap::new(), quarrels: Vec::new() };
        for height in 1..=START_HEIGHT {
            pair.submit(pair.model.block(leyden_core::ids::BlockHeight(height)).expect("it was mined"));
        }
        pair
    }

    /// They never quarrelled, and so many kinds of outcomes have been seen.
    pub(crate) fn check(&self, kinds: usize) {
        println!("{:#?}", self.outcomes);
        let first: String = self.quarrels.iter().take(15).map(|quarrel| format!("{quarrel:.600}\n")).collect();
        assert!(self.quarrels.is_empty(), "{} quarrels:\n{first}", self.quarrels.len());
        assert!(self.outcomes.len() >= kinds, "only {:?}", self.outcomes);
        self.compare_coins();
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
        let ours = self.model.broadcast(tx).map_err(|refused| (refused.reason(), refused));
        let request = json!([serialize_hex(tx), 0, "21000000"]);
        let theirs = match self.bitcoind.try_call("sendrawtransaction", request).expect("it runs") {
            // It has the transaction in a block already.
            Err(RpcError { code: -27, .. }) | Ok(_) => Ok(()),
            Err(error) => Err((error.message, error.code)),
        };
        let agree = match (&ours, &theirs) {
            (Ok(()), Ok(())) => true,
            (Err((reason, refused)), Err((message, code))) => {
                class(message).contains(reason) && i64::from(refused.rpc_code()) == *code
            }
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
            Err(PackageRefused::NotChildWithParents) => theirs[0].contains("package topology disallowed"),
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
    fn compare_coins(&self) {
        let theirs = self.bitcoind.call("gettxoutsetinfo", json!(["none"]));
        let coins = self.model.coins();
        let count = coins.filter(|(_, coin)| coin.output.script_pubkey.len() <= 10_000).count();
        assert_eq!(theirs["txouts"], count);
    }

    /// The price of a full mempool.
    pub(crate) fn compare_minimum(&mut self) {
        let theirs = self.bitcoind.call("getmempoolinfo", json!([]))["mempoolminfee"].take();
        let ours = self.model.mempool_minimum_per_kvb().max(self.model.policy().min_relay_per_kvb);
        if sat(&theirs) != Some(ours) {
            self.quarrels.push(format!("the mempool takes {ours} sat/kvB against {theirs} BTC/kvB"));
        }
    }

    /// Fee and size of what waits, and about the memory that all of it takes.
    pub(crate) fn compare_entries(&mut self) {
        let usage = self.bitcoind.call("getmempoolinfo", json!([]))["usage"].as_u64().expect("a number");
        let ours = self.model.mempool_bytes();
        if ours.abs_diff(usage) > 2_000 + usage / 100 {
            self.quarrels.push(format!("{ours} bytes wait against {usage}"));
        }
        let theirs = self.bitcoind.call("getrawmempool", json!([true]));
        for (txid, entry) in theirs.as_object().expect("an object") {
            let txid: Txid = txid.parse().expect("an id");
            let Some((fee, vsize)) = self.model.fee_and_vsize(&txid) else {
                continue;
            };
            if sat(&entry["fees"]["base"]) != Some(fee.0) || entry["vsize"] != vsize {
                self.quarrels.push(format!("{txid} is {fee:?}, {vsize} against {entry}"));
            }
        }
    }
}

/// bitcoind writes small amounts with an exponent.
fn sat(bitcoin: &Value) -> Option<u64> {
    let decimal = format!("{:.8}", bitcoin.as_f64()?);
    Amount::from_str_in(&decimal, Denomination::Bitcoin).ok().map(Amount::to_sat)
}

/// All that is said about a package.
fn messages(answer: &Value) -> Vec<String> {
    let results = answer["tx-results"].as_object().into_iter().flatten();
    let errors = results.filter_map(|(_, result)| result["error"].as_str());
    errors.chain(answer["package_msg"].as_str()).map(str::to_owned).collect()
}

/// Versions differ in how fine the names of some reasons are.
fn class(message: &str) -> &str {
    const FINER: [(&str, &str); 4] = [
        ("truc-", "TRUC-violation"),
        ("bad-txns-input-witness-unknown", "bad-txns-nonstandard-inputs"),
        ("bad-witness-", "bad-witness-nonstandard"),
        ("script-verify-flag-failed", "mempool-script-verify-flag-failed"),
    ];
    FINER.iter().find(|(fine, _)| message.contains(fine)).map_or(message, |(_, class)| class)
}
