//! `leydend playground`, as somebody uses it who has just built it: with `leyden-cli` and a terminal.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;

use leyden_tests::daemon::{PATIENCE, TempDir, free_port, leydend_path, program_path, wait_for};
use serde_json::Value;

/// A playground that runs, and what it has said.
struct Running {
    child: Option<Child>,
    home: PathBuf,
    said: String,
}

fn command(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(leydend_path());
    // The usual folder is below the home folder; nobody's own shall be touched.
    command.arg("playground").args(args).env("HOME", home).stdin(Stdio::null());
    command
}

impl Running {
    /// Starts it and waits until it says that it is ready.
    fn start(home: &Path, args: &[&str]) -> Running {
        let mut child = command(home, args).stdout(Stdio::piped()).spawn().expect("leydend starts");
        let stdout = child.stdout.take().expect("it is piped");
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut running = Running { child: Some(child), home: home.to_path_buf(), said: String::new() };
        loop {
            let line = lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("not ready; it said:\n{}", running.said));
            running.said.push_str(&line);
            running.said.push('\n');
            if line == "ready" {
                return running;
            }
        }
    }

    fn run_cli(&self, node: &str, args: &[&str]) -> Output {
        let mut cli = Command::new(program_path("leyden-cli"));
        cli.args(["-p", node]).args(args).env("HOME", &self.home).stdin(Stdio::null()).output().expect("it runs")
    }

    /// What `leyden-cli` prints.
    fn cli(&self, node: &str, args: &[&str]) -> Value {
        let output = self.run_cli(node, args);
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{node} {args:?}: {text}{errors}");
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{node} {args:?}: {e}: {text}"))
    }

    /// An invoice of one node, paid by another one.
    fn pay(&self, from: &str, to: &str, label: &str) {
        let made = self.cli(to, &["invoice", "10000", label, "a coffee"]);
        let paid = self.cli(from, &["pay", made["bolt11"].as_str().expect("an invoice")]);
        assert_eq!(paid["status"], "complete", "{paid}");
        assert_eq!(self.cli(to, &["listinvoices", label])["invoices"][0]["status"], "paid");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().expect("it runs").id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill runs").success());
    }

    fn wait(mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        wait_for("the playground to end", || child.try_wait().expect("a child can be waited for"))
    }

    fn stop(self) {
        self.signal("-TERM");
        let status = self.wait();
        assert!(status.success(), "{status}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It has ended if it cannot be killed.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn it_pays_is_stopped_and_pays_again() {
    let temp = TempDir::new("playground");
    let dir = temp.path().join("kept");
    let dir_text = dir.to_str().expect("text");
    let node = |name: &str| format!("{dir_text}/{name}");
    let (a, b, c) = (node("A"), node("B"), node("C"));

    let running = Running::start(temp.path(), &["--dir", dir_text]);
    for name in [&a, &c] {
        assert!(running.said.contains(name), "the lines to copy name {name}:\n{}", running.said);
    }
    running.pay(&a, &c, "there");
    running.pay(&c, &a, "and back");

    // Blocks and coins, for a wallet and for an address; whoever has the answer can spend them.
    let height = running.cli(&a, &["getinfo"])["blockheight"].as_u64().expect("a height");
    let mined = running.cli(&a, &["dev-generate", "2"]);
    assert_eq!(mined["blockheight"], height + 2);
    let heights: Vec<_> = mined["blocks"].as_array().expect("a list").iter().map(|block| &block["height"]).collect();
    assert_eq!(heights, [height + 1, height + 2]);
    running.cli(&b, &["waitblockheight", &(height + 2).to_string()]);
    let outputs = |name: &str| running.cli(name, &["listfunds"])["outputs"].as_array().cloned().expect("a list");
    let before = outputs(&c).len();
    let gift = running.cli(&c, &["dev-faucet", "123456sat"]);
    let coin = outputs(&c).into_iter().find(|output| output["txid"] == gift["txid"]).expect("the coin is there");
    assert_eq!((&coin["amount_msat"], &coin["status"]), (&123_456_000.into(), &"confirmed".into()));
    let address = running.cli(&c, &["newaddr", "bech32"])["bech32"].as_str().expect("an address").to_owned();
    let height = running.cli(&a, &["dev-faucet", "50000", &address])["blockheight"].to_string();
    running.cli(&c, &["waitblockheight", &height]);
    assert_eq!(outputs(&c).len(), before + 2);
    let sent = running.cli(&c, &["withdraw", &address, "100000"]);
    running.cli(&c, &["dev-generate"]);
    let known = running.cli(&c, &["listtransactions"]);
    let known = known["transactions"].as_array().expect("a list");
    assert!(known.iter().any(|tx| tx["hash"] == sent["txid"] && tx["blockheight"] != 0), "{sent} is in a block");

    // A second one does not come into the same folder, nor with another number of nodes.
    let second = command(temp.path(), &["--dir", dir_text]).output().expect("leydend runs");
    let text = String::from_utf8_lossy(&second.stderr);
    assert!(!second.status.success() && text.contains("runs in"), "{text}");

    let ids: Vec<Value> = [&a, &b, &c].iter().map(|name| running.cli(name, &["getinfo"])["id"].clone()).collect();
    running.stop();
    let refused = command(temp.path(), &["--dir", dir_text, "--nodes", "4"]).output().expect("leydend runs");
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && text.contains("3 nodes"), "{text}");

    let running = Running::start(temp.path(), &["--dir", dir_text]);
    let again: Vec<Value> = [&a, &b, &c].iter().map(|name| running.cli(name, &["getinfo"])["id"].clone()).collect();
    assert_eq!(ids, again);
    assert_eq!(running.cli(&b, &["listpeerchannels"])["channels"].as_array().map(Vec::len), Some(2));
    running.pay(&a, &c, "after a night");
    // Killed without warning, the folder is as good as before.
    running.cli(&b, &["dev-generate", "3"]);
    running.signal("-KILL");
    running.wait();
    let running = Running::start(temp.path(), &["--dir", dir_text]);
    running.pay(&c, &a, "after a fright");
    running.stop();
}

#[test]
fn without_a_folder_it_leaves_nothing_behind() {
    let temp = TempDir::new("throwaway");
    let usual = temp.path().join(".leyden/playground");
    let running = Running::start(temp.path(), &["--nodes", "2", "--mine-every", "1"]);
    assert!(usual.exists());
    let height = running.cli("A", &["getinfo"])["blockheight"].as_u64().expect("a height");
    running.cli("b", &["waitblockheight", &(height + 1).to_string()]);
    running.pay("A", "B", "coffee");
    let unknown = running.run_cli("C", &["getinfo"]);
    let text = String::from_utf8_lossy(&unknown.stderr);
    assert!(!unknown.status.success() && text.contains("playground"), "{text}");
    // Killed without warning: the next one clears up.
    running.signal("-KILL");
    running.wait();
    assert!(usual.exists());

    let running = Running::start(temp.path(), &["--nodes", "2"]);
    running.pay("B", "A", "coffee");
    // One node may be stopped alone, and the last one ends it all.
    running.cli("A", &["stop"]);
    running.cli("B", &["getinfo"]);
    running.cli("B", &["stop"]);
    assert!(running.wait().success());
    assert!(!usual.exists());
}

#[test]
fn what_cannot_be_is_said_with_what_would_help() {
    let temp = TempDir::new("playground-errors");
    let fails = |args: &[&str], words: &[&str]| {
        let output = command(temp.path(), args).output().expect("leydend runs");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{args:?}");
        for word in words {
            assert!(text.contains(word), "{args:?}: {text}");
        }
    };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = taken.local_addr().expect("bound").port().to_string();
    fails(&["--base-port", &port], &[&port, "--base-port"]);
    fails(&["--nodes", "1"], &["--nodes", "2"]);
    fails(&["--dir", "/proc/nowhere"], &["/proc/nowhere", "--dir"]);

    let dir = temp.path().join("full");
    std::fs::create_dir(&dir).expect("ours");
    let dir_text = dir.to_str().expect("text");
    std::fs::write(dir.join("letter"), "dear aunt").expect("ours");
    fails(&["--dir", dir_text], &[dir_text, "not empty"]);
    std::fs::write(dir.join("playground.toml"), "format = 7\n").expect("ours");
    fails(&["--dir", dir_text], &[dir_text, "another version", "7"]);
    assert_eq!(std::fs::read_to_string(dir.join("letter")).expect("still there"), "dear aunt");
}

#[test]
fn a_daemon_alone_may_have_a_chain_of_its_own() {
    let temp = TempDir::new("embedded");
    let data_dir = temp.path().to_str().expect("text");
    let listen = format!("127.0.0.1:{}", free_port());
    let socket = temp.path().join("regtest/lightning-rpc");
    let cli = |args: &[&str]| {
        let mut cli = Command::new(program_path("leyden-cli"));
        cli.args(["--network", "regtest", "--data-dir", data_dir]).args(args).output().expect("it runs")
    };
    let json = |args: &[&str]| -> Value {
        let output = cli(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    let start = || {
        let mut command = Command::new(leydend_path());
        command.args(["--network", "regtest", "--chain", "embedded", "--data-dir", data_dir, "--listen", &listen]);
        let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("leydend starts");
        wait_for("the daemon to answer", || (socket.exists() && cli(&["getinfo"]).status.success()).then_some(()));
        Running { child: Some(child), home: temp.path().to_path_buf(), said: String::new() }
    };

    let running = start();
    json(&["dev-faucet", "1000000"]);
    let height = json(&["dev-generate", "5"])["blockheight"].clone();
    running.stop();
    let running = start();
    assert_eq!(json(&["getinfo"])["blockheight"], height);
    assert_eq!(json(&["listfunds"])["outputs"][0]["amount_msat"], 1_000_000_000);
    let higher = json(&["dev-generate"])["blockheight"].as_u64();
    assert_eq!(higher, height.as_u64().map(|height| height + 1));
    running.stop();

    // Somebody else's chain is not for the asking, be it there or not.
    let mut command = Command::new(leydend_path());
    let other = temp.path().join("other");
    command.args(["--network", "regtest", "--bitcoind-url", "http://127.0.0.1:1", "--listen", &listen]);
    let child = command.arg("--data-dir").arg(&other).stderr(Stdio::null()).spawn().expect("leydend starts");
    let running = Running { child: Some(child), home: temp.path().to_path_buf(), said: String::new() };
    let node = other.to_str().expect("text");
    wait_for("the daemon to answer", || running.run_cli(node, &["getinfo"]).status.success().then_some(()));
    for request in [["dev-generate", "1"], ["dev-faucet", "1000"]] {
        let refused = running.run_cli(node, &request);
        let text = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && text.contains("leydend playground"), "{text}");
    }
    running.stop();

    // Without its chain the node would wait for ever.
    std::fs::remove_file(temp.path().join("regtest/embedded-chain")).expect("there is one");
    let mut command = Command::new(leydend_path());
    command.args(["--network", "regtest", "--chain", "embedded", "--data-dir", data_dir, "--listen", &listen]);
    let output = command.stdin(Stdio::null()).output().expect("leydend runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("does not know"), "{text}");
}
