//! Runs a real bitcoind on regtest, in a folder and on ports of its own.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use bitcoin::base64::prelude::{BASE64_STANDARD, Engine};
use bitcoin::{Address, Amount, BlockHash, Transaction, Txid};
use serde_json::{Value, json};

use crate::daemon::{PATIENCE, TempDir, free_port, wait_for};

const WALLET: &str = "test";

/// A port that was free a moment ago may be taken when bitcoind comes to it; then another one is tried.
const START_ATTEMPTS: u32 = 5;

/// The program: what `LEYDEN_BITCOIND` names, or what `tests/install-bitcoind.sh .bitcoind` has installed.
///
/// # Panics
/// When there is none, with the command that installs it.
pub fn bitcoind_path() -> PathBuf {
    if let Some(path) = std::env::var_os("LEYDEN_BITCOIND") {
        return path.into();
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in the workspace");
    let path = root.join(".bitcoind/bin/bitcoind");
    assert!(
        path.exists(),
        "no bitcoind at {}: run tests/run.sh, which installs one, or `tests/install-bitcoind.sh .bitcoind`; \
         or name yours in LEYDEN_BITCOIND",
        path.display()
    );
    path
}

/// bitcoind's refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcError {
    /// Its number.
    pub code: i64,
    /// Its words.
    pub message: String,
}

/// A bitcoind, and where it lives. Killed when it is dropped.
#[derive(Debug)]
pub struct Bitcoind {
    child: Option<Child>,
    dir: TempDir,
    flags: Vec<String>,
    rpc_port: u16,
}

impl Bitcoind {
    /// Starts one with an empty chain and an empty wallet, and waits until it answers.
    pub fn start() -> Bitcoind {
        Bitcoind::start_with(&[])
    }

    /// The same with flags of one's own.
    pub fn start_with(flags: &[&str]) -> Bitcoind {
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let mut bitcoind = Bitcoind { child: None, dir: TempDir::new("bitcoind"), flags, rpc_port: 0 };
        let is_up = (0..START_ATTEMPTS).any(|_| {
            bitcoind.rpc_port = free_port();
            bitcoind.spawn()
        });
        assert!(is_up, "bitcoind does not start; its log:\n{}", bitcoind.log_tail());
        bitcoind.call("createwallet", json!([WALLET]));
        bitcoind
    }

    /// Starts the process and waits until it answers, or tells that it ended instead.
    fn spawn(&mut self) -> bool {
        let child = Command::new(bitcoind_path())
            .arg("-regtest")
            .arg(format!("-datadir={}", self.dir.path().display()))
            .arg(format!("-rpcport={}", self.rpc_port))
            .args(["-listen=0", "-dnsseed=0", "-fixedseeds=0", "-printtoconsole=0", "-dbcache=16", "-par=1"])
            .args(["-fallbackfee=0.0001", "-addresstype=bech32", "-txindex=1", "-debug=rpc"])
            .args(&self.flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("bitcoind can be run");
        self.child = Some(child);
        let is_up = wait_for("bitcoind to answer", || {
            let child = self.child.as_mut().expect("it was started just now");
            if child.try_wait().expect("a child can be waited for").is_some() {
                return Some(false);
            }
            self.request("", "getblockchaininfo", &json!([])).ok()?.ok().map(|_| true)
        });
        if !is_up {
            self.child = None;
        }
        is_up
    }

    /// Where it listens, as `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.rpc_port)
    }

    /// Where it listens, as a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The file with its credentials, written anew at each start.
    pub fn cookie_path(&self) -> PathBuf {
        self.dir.path().join("regtest/.cookie")
    }

    /// Ends it in good order: it writes its chain and wallet, and deletes its cookie.
    pub fn stop(&mut self) {
        self.call("stop", json!([]));
        let mut child = self.child.take().expect("it runs");
        wait_for("bitcoind to end", || child.try_wait().expect("a child can be waited for"));
    }

    /// Starts it again, on the same port.
    pub fn start_again(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        assert!(self.spawn(), "bitcoind does not start again; its log:\n{}", self.log_tail());
        self.call("loadwallet", json!([WALLET]));
    }

    /// One call that may be refused. The outer error is the socket's.
    pub fn try_call(&self, method: &str, params: Value) -> std::io::Result<Result<Value, RpcError>> {
        let is_wallets = ["createwallet", "loadwallet", "stop"].contains(&method);
        self.request(if is_wallets { "" } else { WALLET }, method, &params)
    }

    /// One call that succeeds.
    pub fn call(&self, method: &str, params: Value) -> Value {
        match self.try_call(method, params.clone()) {
            Ok(Ok(result)) => result,
            // A large transaction among the parameters would bury the answer.
            other => panic!(
                "bitcoind {method} {params:.200}: {other:?}; its log:\n{}",
                self.log_tail(),
                params = params.to_string()
            ),
        }
    }

    fn request(&self, wallet: &str, method: &str, params: &Value) -> std::io::Result<Result<Value, RpcError>> {
        let path = if wallet.is_empty() { "/".to_owned() } else { format!("/wallet/{wallet}") };
        let cookie = BASE64_STANDARD.encode(self.credentials()?);
        let body = json!({"jsonrpc": "1.0", "id": 1, "method": method, "params": params}).to_string();
        let mut stream = TcpStream::connect(self.address())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {cookie}\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())?;
        let mut response = Vec::new();
        stream.read_to_end(&mut response)?;
        let start = response.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        let body = &response[start.ok_or(std::io::ErrorKind::UnexpectedEof)? + 4..];
        let mut answer: Value = serde_json::from_slice(body).map_err(std::io::Error::other)?;
        let error = answer["error"].take();
        Ok(match error["code"].as_i64() {
            None => Ok(answer["result"].take()),
            Some(code) => Err(RpcError { code, message: error["message"].as_str().unwrap_or("").to_owned() }),
        })
    }

    /// The cookie, or what the flags say instead.
    fn credentials(&self) -> std::io::Result<String> {
        let flag = |name: &str| self.flags.iter().find_map(|flag| flag.strip_prefix(name));
        match (flag("-rpcuser="), flag("-rpcpassword=")) {
            (Some(user), Some(password)) => Ok(format!("{user}:{password}")),
            _ => std::fs::read_to_string(self.cookie_path()),
        }
    }

    /// A new address of its wallet.
    pub fn new_address(&self) -> Address {
        let address: Address<_> = parse(&self.call("getnewaddress", json!([])));
        address.require_network(bitcoin::Network::Regtest).expect("bitcoind is on regtest")
    }

    /// Mines blocks to its wallet.
    pub fn mine(&self, blocks: u32) -> Vec<BlockHash> {
        self.mine_to(&self.new_address(), blocks)
    }

    /// Mines blocks to an address.
    pub fn mine_to(&self, address: &Address, blocks: u32) -> Vec<BlockHash> {
        let hashes = self.call("generatetoaddress", json!([blocks, address.to_string()]));
        hashes.as_array().expect("a list of blocks").iter().map(parse).collect()
    }

    /// Mines one block with just these transactions, from the mempool or not.
    pub fn mine_block_with(&self, transactions: &[&Transaction]) -> BlockHash {
        let hex: Vec<String> = transactions.iter().map(bitcoin::consensus::encode::serialize_hex).collect();
        parse(&self.call("generateblock", json!([self.new_address().to_string(), hex]))["hash"])
    }

    /// Mines until its wallet can spend thirty outputs.
    ///
    /// Now and then the wallet dates a transaction back by up to a hundred blocks, in its lock time, and Bitcoin Knots
    /// takes none whose lock time is 21 ("parasite-cat21"). From this height on that one is out of reach.
    pub fn mine_funds(&self) {
        self.mine(130);
    }

    /// Sends from its wallet.
    pub fn send(&self, to: &Address, amount: Amount) -> Txid {
        let txid: Txid = parse(&self.call("sendtoaddress", json!([to.to_string(), btc(amount)])));
        // The wallet tells nobody when its node did not take the transaction, and tries again much later.
        if !self.mempool().contains(&txid) {
            let known = self.call("gettransaction", json!([txid.to_string()]));
            self.call("sendrawtransaction", json!([known["hex"]]));
        }
        txid
    }

    /// Makes a signed transaction from its wallet without broadcasting it. Its inputs are spent by nothing else.
    pub fn prepare(&self, to: &Address, amount: Amount) -> Transaction {
        let outputs = json!([{to.to_string(): btc(amount)}]);
        let funded = self.call("walletcreatefundedpsbt", json!([[], outputs, 0, {"lockUnspents": true}]));
        let signed = self.call("walletprocesspsbt", json!([funded["psbt"]]));
        let last = self.call("finalizepsbt", json!([signed["psbt"]]));
        let hex = last["hex"].as_str().expect("a complete transaction");
        bitcoin::consensus::encode::deserialize_hex(hex).expect("bitcoind writes transactions that read")
    }

    /// What its wallet can spend.
    pub fn balance(&self) -> Amount {
        amount(&self.call("getbalance", json!([])))
    }

    /// What came to an address of its wallet, even unconfirmed.
    pub fn received(&self, address: &Address) -> Amount {
        amount(&self.call("getreceivedbyaddress", json!([address.to_string(), 0])))
    }

    /// Transactions in its mempool.
    pub fn mempool(&self) -> Vec<Txid> {
        self.call("getrawmempool", json!([])).as_array().expect("a list").iter().map(parse).collect()
    }

    /// A transaction, wherever it is.
    pub fn transaction(&self, txid: &Txid) -> Transaction {
        let hex = self.call("getrawtransaction", json!([txid.to_string()]));
        bitcoin::consensus::encode::deserialize_hex(hex.as_str().expect("hex")).expect("a transaction")
    }

    /// The tip's height.
    pub fn height(&self) -> u32 {
        let height = self.call("getblockcount", json!([])).as_u64().expect("a number");
        u32::try_from(height).expect("a height")
    }

    /// The block at a height.
    pub fn block_hash(&self, height: u32) -> BlockHash {
        parse(&self.call("getblockhash", json!([height])))
    }

    /// Takes a block and all behind it out of the chain.
    pub fn invalidate(&self, block: &BlockHash) {
        self.call("invalidateblock", json!([block.to_string()]));
    }

    /// Takes that back.
    pub fn reconsider(&self, block: &BlockHash) {
        self.call("reconsiderblock", json!([block.to_string()]));
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(self.dir.path().join("regtest/debug.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Bitcoind {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Nothing of it is needed any more, and a panic in a panic would hide the first.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// How bitcoind writes an amount. Text, because money does not go through floating point.
fn btc(amount: Amount) -> String {
    amount.to_string_in(bitcoin::Denomination::Bitcoin)
}

fn amount(value: &Value) -> Amount {
    Amount::from_str_in(&value.to_string(), bitcoin::Denomination::Bitcoin).expect("an amount in bitcoin")
}

fn parse<T: std::str::FromStr>(value: &Value) -> T {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("unexpected answer {value}"))
}
