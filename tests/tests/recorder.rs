//! The flight recorder of real daemons: killed and stopped under traffic, whatever they recorded replays; no key is in it;
//! and trouble with it is no trouble for payments.

use std::path::{Path, PathBuf};
use std::process::Command;

use bitcoin::bip32::{ChildNumber, Xpriv};
use leyden_core::command::Level;
use leyden_core::recording::{Frame, FrameReader};
use leyden_sim::replay::timeline::{self, Collector, Kind};
use leyden_sim::replay::{Replay, Rows, Run, Source, Subject, ask, explain, runs};
use leyden_tests::bitcoind::Bitcoind;
use leyden_tests::daemon::{Client, Daemon, TempDir, program_path, wait_for};
use leyden_tests::line::{Line, channels, invoice, live_channels, msat, wait_until_quiet};
use secp256k1::SECP256K1;
use serde_json::{Value, json};

const ROUNDS: usize = 4;
const PAYMENTS: usize = 15;

fn recorder_dir(daemon: &Daemon) -> PathBuf {
    daemon.node_dir().join("recorder")
}

fn read_folder(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.display().to_string(), std::fs::read(&path).expect("a file"))).collect()
}

fn sources(files: &[(String, Vec<u8>)]) -> Vec<Source<'_>> {
    files.iter().map(|(name, bytes)| Source { name, bytes }).collect()
}

fn whole_runs<'a>(files: &'a [(String, Vec<u8>)]) -> Vec<Run<'a>> {
    runs(&sources(files), |complaint| panic!("{complaint}"))
}

/// Replays to the end.
///
/// # Panics
/// When anything differs.
fn replay<'a>(run: &'a Run<'a>, watcher: &mut impl leyden_sim::replay::Watcher) -> Replay<'a> {
    let mut replay = Replay::new(run).verifying(true);
    while let Some(turn) = replay.next_turn().unwrap_or_else(|(_, obstacle)| panic!("{obstacle}")) {
        match replay.take(&turn, watcher) {
            Ok(Ok(())) => {}
            Ok(Err(divergence)) => panic!("{divergence}"),
            Err(obstacle) => panic!("{obstacle}"),
        }
    }
    replay
}

/// Pays all at once and waits for the answers, as far as they come.
fn pay_all(from: &Daemon, invoices: &[String]) -> usize {
    let mut client = Client::connect(&from.socket_path()).expect("the daemon is up");
    for bolt11 in invoices {
        client.send("pay", &json!({"bolt11": bolt11, "retry_for": 5})).expect("the daemon is up");
    }
    (0..invoices.len()).filter(|_| client.receive().is_ok_and(|(_, answer)| answer.is_ok())).count()
}

/// Runs `leyden-sim`: its exit code, and all that it said.
fn simulator(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(program_path("leyden-sim")).args(arguments).output().expect("leyden-sim can be run");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), text)
}

/// All private keys of a node, as bytes.
fn keys_of(node_dir: &Path) -> Vec<(String, Vec<u8>)> {
    let (seed, _) = leyden_io::seed::load(node_dir, false).expect("the seed is there");
    let words = std::fs::read_to_string(node_dir.join("seed")).expect("the seed's file");
    let master = Xpriv::new_master(bitcoin::NetworkKind::Test, &seed[..]).expect("a master key");
    let mut keys = vec![
        ("the seed".to_owned(), seed.to_vec()),
        ("half of the seed".to_owned(), seed[..32].to_vec()),
        ("the words".to_owned(), words.trim().as_bytes().to_vec()),
    ];
    let mut add = |name: String, key: &Xpriv| {
        keys.push((name.clone(), key.private_key.secret_bytes().to_vec()));
        keys.push((format!("{name}, extended"), key.to_string().into_bytes()));
        keys.push((format!("{name}, extended, raw"), key.encode()[45..].to_vec()));
    };
    let child = |path: &[u32], plain: &[u32]| {
        let hardened = path.iter().map(|index| ChildNumber::Hardened { index: *index });
        let normal = plain.iter().map(|index| ChildNumber::Normal { index: *index });
        master.derive_priv(SECP256K1, &hardened.chain(normal).collect::<Vec<_>>()).expect("a short path")
    };
    add("the master key".to_owned(), &master);
    for path in [&[9735][..], &[9735, 1], &[84], &[84, 1], &[86], &[86, 1], &[9735, 1, 1], &[9735, 1, 1, 0]] {
        add(format!("a root {path:?}"), &child(path, &[]));
    }
    add("the node key".to_owned(), &child(&[9735, 1, 0], &[]));
    for channel in 0..8 {
        add(format!("the keys of channel {channel}"), &child(&[9735, 1, 1, 0, channel], &[]));
        for key in 0..6 {
            add(format!("key {key} of channel {channel}"), &child(&[9735, 1, 1, 0, channel, key], &[]));
        }
    }
    for purpose in [84, 86] {
        add(format!("the wallet {purpose}"), &child(&[purpose, 1, 0], &[]));
        for chain in 0..2 {
            for index in 0..20 {
                add(format!("the wallet's key {purpose}/{chain}/{index}"), &child(&[purpose, 1, 0], &[chain, index]));
            }
        }
    }
    keys
}

/// Finds any of the keys, raw, reversed or in hex, in a text or among bytes.
fn find_key(keys: &[(String, Vec<u8>)], haystack: &[u8]) -> Option<String> {
    let hex = |bytes: &[u8]| bytes.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect::<Vec<u8>>();
    // All needles by their first eight bytes: one pass is enough.
    let mut needles: std::collections::BTreeMap<[u8; 8], Vec<(String, Vec<u8>)>> = Default::default();
    for (name, key) in keys {
        let reversed: Vec<u8> = key.iter().rev().copied().collect();
        for form in [key.clone(), reversed, hex(key), hex(key).to_ascii_uppercase()] {
            let first: [u8; 8] = form[..8].try_into().expect("keys are longer");
            needles.entry(first).or_default().push((name.clone(), form));
        }
    }
    haystack.windows(8).enumerate().find_map(|(at, window)| {
        let candidates = needles.get(window)?;
        candidates.iter().find(|(_, form)| haystack[at..].starts_with(form)).map(|(name, _)| name.clone())
    })
}

#[test]
fn what_killed_daemons_recorded_replays_and_holds_no_key() {
    let Line { bitcoind: _bitcoind, a, mut b, c, .. } = Line::start(&["--recorder-segment-mib", "1"]);
    let mut paid = 0;
    let mut hash = String::new();
    for round in 0..ROUNDS {
        let make = |to: &Daemon, from: &str| -> Vec<(String, String)> {
            (0..PAYMENTS).map(|n| invoice(to, 200_000 + n as u64, &format!("{from}-{round}-{n}"))).collect()
        };
        let (to_c, to_a) = (make(&c, "a"), make(&a, "c"));
        hash.clone_from(&to_c[0].1);
        let texts = |made: &[(String, String)]| made.iter().map(|(bolt11, _)| bolt11.clone()).collect::<Vec<_>>();
        let (to_c, to_a) = (texts(&to_c), texts(&to_a));
        std::thread::scope(|scope| {
            let there = scope.spawn(|| pay_all(&a, &to_c));
            let back = scope.spawn(|| pay_all(&c, &to_a));
            // In the middle of it, the one that forwards dies; in the last round it may live.
            if round + 1 < ROUNDS {
                b.restart();
            }
            paid += there.join().expect("no panic") + back.join().expect("no panic");
        });
        for (one, other) in [(&a, &b), (&b, &c)] {
            wait_for("the line to be whole", || (!live_channels(one, other).is_empty()).then_some(()));
        }
        wait_until_quiet(&[&a, &b, &c]);
    }
    assert!(paid > PAYMENTS, "there was traffic");
    let status = a.call("recorder", json!({}));
    assert_eq!(status["status"], "on");
    assert!(msat(&status, "events") > 100 && msat(&status, "turns") > 10, "{status}");
    let balance = |one: &Daemon, other: &Daemon| msat(&channels(one, other)[0], "to_us_msat");
    let balances = [balance(&a, &b), balance(&c, &b)];

    let mut daemons = [a, b, c];
    for daemon in &mut daemons {
        assert!(daemon.terminate().success());
    }
    let folders = daemons.each_ref().map(|daemon| read_folder(&recorder_dir(daemon)));
    let mut collected = Vec::new();
    let mut ids = Vec::new();
    for (node, files) in folders.iter().enumerate() {
        let runs = whole_runs(files);
        assert_eq!(runs.len(), if node == 1 { ROUNDS } else { 1 }, "each process is a run");
        ids.push(runs[0].node_id);
        for run in &runs {
            let mut collector = Collector::new(node, run.started, Level::Info);
            replay(run, &mut collector);
            collected.push(collector.entries);
        }
    }

    // The end of the replay is the end of the daemon.
    for (node, balance) in [(0, balances[0]), (2, balances[1])] {
        let runs = whole_runs(&folders[node]);
        let mut rows = Rows::default();
        let end = replay(&runs[0], &mut rows);
        let network = runs[0].segments[0].header.network;
        let text = ask(end.node().expect("it ran"), &rows, network, end.clock(), "listpeerchannels", "{}");
        let state: Value = serde_json::from_str(&text.expect("an answer")).expect("JSON");
        assert_eq!(state["channels"][0]["to_us_msat"], balance, "{state}");
        let text = ask(end.node().expect("it ran"), &rows, network, end.clock(), "listpays", "{}");
        let pays: Value = serde_json::from_str(&text.expect("an answer")).expect("JSON");
        assert_eq!(pays["pays"].as_array().map(Vec::len), Some(ROUNDS * PAYMENTS));
    }

    // One payment, from the request to the answer.
    let mut subject = Subject::parse(&hash).expect("a hash");
    let payer = whole_runs(&folders[0]);
    let (found, divergence) = explain(&payer[0], &mut subject, u64::MAX);
    assert_eq!(divergence, None);
    let told: Vec<&str> =
        found.iter().flat_map(|one| std::iter::once(&one.event).chain(&one.commands)).map(String::as_str).collect();
    for part in ["request ", "update_add_htlc", "update_fulfill_htlc", "reply to request"] {
        assert!(told.iter().any(|text| text.contains(part)), "no {part} in {told:#?}");
    }

    // Since B started for the last time nobody was killed: whatever one received, another one sent.
    let timeline = timeline::merge(ids, collected);
    let last_start = timeline.entries.iter().filter(|entry| entry.node == 1).map(|entry| entry.run).max();
    let of_last =
        timeline.entries.iter().filter(|entry| Some(entry.wall) >= last_start && entry.kind == Kind::Received);
    let (matched, lonely): (Vec<_>, Vec<_>) = of_last.partition(|entry| entry.other_end.is_some());
    assert!(lonely.is_empty() && matched.len() > PAYMENTS, "{} matched, and not {lonely:#?}", matched.len());
    for (index, entry) in timeline.entries.iter().enumerate() {
        if let (Kind::Received, Some(sent)) = (entry.kind, entry.other_end) {
            assert!(sent < index && timeline.entries[sent].node != entry.node);
        }
    }

    // All of it once more in the simulator, with new keys, from the first block to the last, and some payments beyond.
    let folder = TempDir::new("tape");
    let tape = folder.path().join("incident.story");
    let dirs = daemons.each_ref().map(|daemon| recorder_dir(daemon).display().to_string());
    let tape_path = tape.display().to_string();
    let (code, text) = simulator(&["replay", &dirs[0], &dirs[1], &dirs[2], "--tape", &tape_path]);
    assert!(code == Some(0) && text.contains("payments are in"), "{text}");
    let told = std::fs::read_to_string(&tape).expect("it was written");
    assert!(told.contains("\nopen a b 1000000sat") && told.contains("\nstart b"), "{told}");
    let (code, text) = simulator(&["run", &tape_path, "--log"]);
    assert!(code == Some(0) && text.contains("all is well"), "{text}\n{told}");
    // What a killed process did last is lost, so payments that met a kill may end otherwise; nobody died in the last round.
    let number = |text: &str| text.trim().rsplit(' ').next().and_then(|word| word.parse::<usize>().ok());
    let complete = text.split(" of ").next().and_then(number).unwrap_or_else(|| panic!("{text}"));
    assert!(complete >= 2 * PAYMENTS, "{text}\n{told}");
    let more = "pay further a c 1000sat\nwait 10s\nexpect paid further\nexpect usable a b 1\nexpect usable b c 1\n";
    std::fs::write(&tape, format!("{told}{more}")).expect("the folder can be written");
    let (code, text) = simulator(&["run", &tape_path, "--state", "channel"]);
    assert!(code == Some(0) && text.contains("b: {") && text.contains("CHANNELD_NORMAL"), "{text}\n{told}");

    for (daemon, files) in daemons.iter().zip(&folders) {
        let keys = keys_of(&daemon.node_dir());
        let node_key = secp256k1::SecretKey::from_slice(
            &keys.iter().find(|(name, _)| name == "the node key").expect("it is one of them").1,
        );
        let id = node_key.expect("a key").public_key(SECP256K1).to_string();
        assert_eq!(id, daemon.id, "these are the keys");
        for (name, bytes) in files {
            assert_eq!(find_key(&keys, bytes), None, "in {name}");
        }
    }
}

#[test]
fn the_program_tells_what_was_recorded_and_what_is_broken() {
    let bitcoind = Bitcoind::start();
    let mut daemon = Daemon::start("recorded", &bitcoind.url(), &bitcoind.cookie_path(), &[]);
    let made = invoice(&daemon, 1_000, "tea").1;
    bitcoind.mine(3);
    wait_for("blocks", || (daemon.call("getinfo", json!({}))["blockheight"] == bitcoind.height()).then_some(()));

    // SIGQUIT writes what waits, and the daemon goes on.
    let pid = daemon.pid().expect("it runs").to_string();
    assert!(Command::new("kill").args(["-QUIT", &pid]).status().expect("kill runs").success());
    wait_for("the recording to be written", || daemon.log_tail().contains("the recording is written").then_some(()));
    let files = read_folder(&recorder_dir(&daemon));
    let mut reader = FrameReader::new(&files[0].1);
    let mut turns = 0;
    while let Some(frame) = reader.next_frame().expect("undamaged") {
        turns += usize::from(matches!(frame, Frame::Turn(_)));
    }
    assert!(turns > 3, "{turns} turns");

    let folder = TempDir::new("dump");
    let copy = folder.path().join("copy.rec");
    let dumped = daemon.call("dumprecording", json!([60, copy]));
    assert_eq!(dumped["bytes"], std::fs::metadata(&copy).expect("a copy").len());
    let refused = daemon.call_error("dumprecording", json!([60, copy]));
    assert!(refused.message.contains("cannot copy"), "{}", refused.message);
    daemon.kill();

    let program = |arguments: &[&str]| simulator(&[&["replay"], arguments].concat());
    let copy = copy.to_str().expect("text");
    let (code, text) = program(&[copy]);
    assert!(code == Some(0) && text.contains("all digests agree"), "{text}");
    let (code, text) = program(&[copy, "--trace", "trace", "--state", "invoice"]);
    assert!(code == Some(0) && text.contains("\"label\": \"tea\""), "{text}");
    let (code, text) = program(&[copy, "--until", "0", "--state", "invoice"]);
    assert!(code == Some(0) && text.contains("\"invoices\": []"), "{text}");
    let (code, text) = program(&[copy, "--explain", &made]);
    assert!(code == Some(0) && text.contains("reply to request"), "{text}");
    let (code, _) = program(&["/nowhere/at/all"]);
    assert_eq!(code, Some(2));

    // As a story: all of it, or up to a turn; and what it cannot be is said.
    let tape = folder.path().join("tape.story");
    let tape_path = tape.to_str().expect("text");
    let (code, text) = program(&[copy, "--tape", tape_path]);
    assert!(code == Some(0) && text.contains("steps with 0 payments"), "{text}");
    let (code, text) = simulator(&["run", tape_path]);
    assert!(code == Some(0) && text.contains("all is well"), "{text}");
    let (code, _) = program(&[copy, "--tape", tape_path, "--until", "0"]);
    assert_eq!(code, Some(0));
    let (code, text) = program(&[copy, "--tape", tape_path, "--until", "1000000"]);
    assert!(code == Some(2) && text.contains("no recording has a turn 1000000"), "{text}");

    // Cut off, and with a bit flipped late: said so, and replayed up to there.
    let bytes = std::fs::read(copy).expect("the copy");
    let broken = folder.path().join("broken.rec");
    let path = broken.to_str().expect("text");
    std::fs::write(&broken, &bytes[..bytes.len() - 3]).expect("the folder can be written");
    let (code, text) = program(&[path]);
    assert!(code == Some(1) && text.contains("cut off") && text.contains("replayed"), "{text}");
    let (code, text) = program(&[path, "--tape", tape_path]);
    assert!(code == Some(1) && text.contains("cut off") && text.contains("payments are in"), "{text}");
    // Of another format: the version stands behind the frame's kind and length, and the magic.
    let mut newer = bytes.clone();
    newer[13] = 99;
    let end = 5 + u32::from_le_bytes(newer[1..5].try_into().expect("four bytes")) as usize;
    let checksum = crc32c::crc32c(&newer[..end]);
    newer[end..end + 4].copy_from_slice(&checksum.to_le_bytes());
    std::fs::write(&broken, newer).expect("the folder can be written");
    let (code, text) = program(&[path, "--tape", tape_path]);
    assert!(code == Some(2) && text.contains("a recording of format 99"), "{text}");
    let mut flipped = bytes.clone();
    // Its last frame's checksum takes four bytes, and the digest before it eight.
    let at = bytes.len() - 6;
    flipped[at] ^= 4;
    std::fs::write(&broken, flipped).expect("the folder can be written");
    let (code, text) = program(&[path]);
    assert!(code == Some(1) && text.contains("checksum") && text.contains("replayed"), "{text}");
    std::fs::write(&broken, b"no recording").expect("the folder can be written");
    let (code, text) = program(&[path]);
    assert!(code == Some(2) && text.contains("this is no recording"), "{text}");
    let (code, text) = program(&[path, "--tape", tape_path]);
    assert!(code == Some(2) && text.contains("this is no recording"), "{text}");
}

#[test]
fn without_its_folder_the_recorder_is_off_and_the_node_pays_on() {
    let Line { bitcoind: _bitcoind, mut a, b, c, .. } = Line::start(&[]);
    let pay = |a: &Daemon, label: &str| {
        let bolt11 = invoice(&c, 100_000, label).0;
        assert_eq!(a.call("pay", json!({"bolt11": bolt11}))["status"], "complete");
    };
    pay(&a, "before");
    assert_eq!(a.call("recorder", json!({}))["status"], "on");
    std::fs::remove_dir_all(recorder_dir(&a)).expect("it was there");
    pay(&a, "without");
    let status = a.call("recorder", json!({}));
    assert_eq!(status["status"], "off", "{status}");
    assert!(status["reason"].as_str().is_some_and(|reason| reason.contains("removed")), "{status}");
    assert!(std::fs::read_to_string(a.log_path()).expect("a log").contains("the flight recorder is off"));
    pay(&a, "after");

    // A file in its place.
    a.kill();
    std::fs::write(recorder_dir(&a), "in the way").expect("the folder can be written");
    a.spawn();
    a.wait_until_up();
    wait_for("the channel", || (!live_channels(&a, &b).is_empty()).then_some(()));
    assert_eq!(a.call("recorder", json!({}))["status"], "off");
    assert!(a.call_error("dumprecording", json!([1, "/tmp/x"])).message.contains("there is no recording"));
    pay(&a, "again");
}
