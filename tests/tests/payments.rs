//! Three real daemons on a real bitcoind: pay in every direction, forward, fail, close; and kill -9 at any moment.

use std::collections::BTreeMap;

use leyden_tests::daemon::{Client, Daemon, wait_for};
use leyden_tests::network::{CHANNEL_SAT, Line, PUSH_MSAT, in_channels_msat, invoice};
use serde_json::json;

/// Satoshi per 1,000 weight units on an idle regtest chain.
const FEERATE_FLOOR_PER_KW: u64 = 253;
/// A closing transaction with two taproot outputs and full-size signatures.
const CLOSING_WEIGHT: u64 = 776;

#[test]
fn three_daemons_pay_forward_and_close() {
    let line = Line::start("pay");
    let [a, b, c] = &line.daemons;

    // Straight, in both directions.
    let paid = a.call("pay", json!([invoice(b, 10_000_000, "straight")]));
    assert_eq!((paid["status"].as_str(), paid["amount_sent_msat"].as_u64()), (Some("complete"), Some(10_000_000)));
    b.call("pay", json!([invoice(a, 3_000_000, "back")]));
    assert_eq!(in_channels_msat(a), CHANNEL_SAT * 1000 - PUSH_MSAT - 10_000_000 + 3_000_000);

    // Through B, which earns its fee: 1,000 + 10 millionths of 5,000,000.
    let before = in_channels_msat(b);
    let through = a.call("xpay", json!([invoice(c, 5_000_000, "through")]));
    assert_eq!(through["amount_sent_msat"], 5_001_050);
    wait_for("the forward to settle", || (line.htlcs() == 0).then_some(()));
    assert_eq!(in_channels_msat(b), before + 1_050);
    let forwards = b.call("listforwards", json!({"status": "settled"}));
    assert_eq!(forwards["forwards"][0]["fee_msat"], 1_050);
    assert_eq!(b.call("getinfo", json!({}))["fees_collected_msat"], 1_050);

    // Paid once: the same invoice again tells the same proof, and no money moves.
    let again = invoice(c, 1_000_000, "again");
    let first = a.call("pay", json!([again]));
    let sums = in_channels_msat(a);
    let second = a.call("pay", json!([again]));
    assert_eq!(first["payment_preimage"], second["payment_preimage"]);
    assert_eq!(in_channels_msat(a), sums);

    // An invoice that its maker has forgotten: the destination refuses, the origin knows who and why.
    let gone = invoice(c, 2_000_000, "gone");
    c.call("delinvoice", json!({"label": "gone", "status": "unpaid"}));
    let error = a.call_error("pay", json!([gone]));
    assert_eq!(error.code, 203, "{error:?}");
    assert_eq!(error.data["failcodename"], "WIRE_INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS", "{error:?}");
    assert_eq!(error.data["erring_node"].as_str(), Some(c.id.as_str()), "{error:?}");
    wait_for("the failure to settle", || (line.htlcs() == 0).then_some(()));

    // Bad input is an error that says what is wrong, and disturbs nobody.
    let mut broken = invoice(c, 2_000_000, "broken");
    broken.replace_range(20..21, if &broken[20..21] == "q" { "p" } else { "q" });
    assert_eq!(a.call_error("pay", json!([broken])).code, -32602);
    assert_eq!(a.call_error("nonsense", json!([])).code, -32601);
    assert_eq!(a.call_error("invoice", json!({"amount_msat": "much", "label": "x", "description": "y"})).code, -32602);

    // SIGTERM is no error towards the peer: after a restart the channel is as it was.
    let mut line = line;
    assert!(line.daemons[1].terminate().success());
    line.daemons[1].spawn();
    line.daemons[1].wait_until_up();
    for (number, channels) in [(0, 1), (1, 2), (2, 1)] {
        wait_for("the channels to come back", || line.usable(&line.daemons[number], channels).then_some(()));
    }
    let [a, b, _] = &line.daemons;

    // A cooperative close: each side's output is what its books said, less the opener's fee.
    let (ours, theirs) = (in_channels_msat(a) / 1000, (CHANNEL_SAT * 1000 - in_channels_msat(a)) / 1000);
    let closed = a.call("close", json!({"id": b.id}));
    assert_eq!(closed["type"], "mutual");
    let tx = line.bitcoind.call("decoderawtransaction", json!([closed["tx"]]));
    let mut outputs: Vec<u64> =
        tx["vout"].as_array().expect("outputs").iter().map(|output| sat(&output["value"].to_string())).collect();
    outputs.sort_unstable();
    // Both ends know no other feerate than the floor; A opened the channel, so A pays. Parts of a satoshi go to miners.
    let fee = FEERATE_FLOOR_PER_KW * CLOSING_WEIGHT / 1000;
    let mut expected = [ours - fee, theirs];
    expected.sort_unstable();
    assert_eq!(outputs, expected);
    line.mine(1);
    let txid = closed["txid"].as_str().expect("a txid").to_owned();
    for daemon in [a, b] {
        wait_for("the closing output in the wallet", || {
            let funds = daemon.call("listfunds", json!({}));
            let outputs = funds["outputs"].as_array().cloned().unwrap_or_default();
            outputs
                .iter()
                .any(|output| output["txid"] == txid.as_str() && output["status"] == "confirmed")
                .then_some(())
        });
    }
}

/// Satoshi from bitcoind's decimal text.
fn sat(text: &str) -> u64 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{fraction:0<8}").parse().expect("a decimal amount")
}

/// A small generator, so that a failing run can be repeated.
struct Xorshift(u64);

impl Xorshift {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// A payment that was asked for.
struct Asked {
    payer: usize,
    payee: usize,
    label: String,
    amount_msat: u64,
    payment_hash: String,
}

const KILLS: usize = 200;

#[test]
fn kill_9_at_any_moment_loses_and_repeats_nothing() {
    let mut line = Line::start("kill");
    let mut random = Xorshift(0x1eaf_5eed_0000_0001);
    let start: Vec<u64> = line.daemons.iter().map(in_channels_msat).collect();
    let mut asked: Vec<Asked> = Vec::new();

    for kill in 0..KILLS {
        // Most rounds begin with a network that is whole, so that payments are under way when the blow comes; the others
        // find it in the middle of reconnecting.
        if random.below(8) != 0 {
            for (number, channels) in [(0, 1), (1, 2), (2, 1)] {
                wait_for("the channels to come back", || line.usable(&line.daemons[number], channels).then_some(()));
            }
        }
        // Some payments, sent without waiting for their answers.
        let mut clients: BTreeMap<usize, Client> = BTreeMap::new();
        let mut sent = [0u64; 3];
        for number in 0..3 + random.below(10) {
            let payer = random.below(3) as usize;
            let payee = (payer + 1 + random.below(2) as usize) % 3;
            let amount_msat = 1_000 + random.below(2_000_000);
            let label = format!("{kill}-{number}");
            let request = json!({"amount_msat": amount_msat, "label": label, "description": "kill"});
            let Ok(Ok(created)) = line.daemons[payee].try_call("invoice", request) else { continue };
            let bolt11 = created["bolt11"].as_str().expect("an invoice").to_owned();
            let payment_hash = created["payment_hash"].as_str().expect("a hash").to_owned();
            let client = clients
                .entry(payer)
                .or_insert_with(|| Client::connect(&line.daemons[payer].socket_path()).expect("the daemon is up"));
            sent[payer] += 1;
            client.send("pay", &json!({"bolt11": bolt11, "retry_for": 20})).expect("the daemon is up");
            asked.push(Asked { payer, payee, label, amount_msat, payment_hash });
        }
        // The moment: after some answers of somebody, whose number is chance.
        let victim = random.below(3) as usize;
        for _ in 0..random.below(6) {
            let probe = random.below(3) as usize;
            line.daemons[probe].call("getinfo", json!({}));
        }
        for (payer, client) in &mut clients {
            for _ in 0..random.below(sent[*payer] + 1) {
                // How it ended is looked at in the end, for all payments alike.
                let (_, _answer) = client.receive().expect("an answer comes");
            }
        }
        line.daemons[victim].kill();
        line.daemons[victim].spawn();
        line.daemons[victim].wait_until_up();
    }

    // Heal: all channels come back, all HTLCs resolve.
    for (number, channels) in [(0, 1), (1, 2), (2, 1)] {
        wait_for("the channels to come back", || line.usable(&line.daemons[number], channels).then_some(()));
    }
    wait_for("all HTLCs to resolve", || (line.htlcs() == 0).then_some(()));
    for daemon in &line.daemons {
        wait_for("all payments to end", || pending(daemon).is_empty().then_some(()));
    }

    // Each payment is at both ends the same: complete and paid, or failed and unpaid.
    let mut moved = [0i64; 3];
    let (mut complete, mut failed) = (0, 0);
    for payment in &asked {
        let listed = line.daemons[payment.payer].call("listpays", json!({"payment_hash": payment.payment_hash}));
        let pays = listed["pays"].as_array().cloned().unwrap_or_default();
        let done: Vec<_> = pays.iter().filter(|pay| pay["status"] == "complete").collect();
        assert!(done.len() <= 1, "paid once at most: {pays:?}");
        let invoices = line.daemons[payment.payee].call("listinvoices", json!({"label": payment.label}));
        let paid = invoices["invoices"][0]["status"] == "paid";
        assert_eq!(done.len() == 1, paid, "{}: {pays:?} {invoices}", payment.label);
        if let Some(pay) = done.first() {
            complete += 1;
            assert_eq!(invoices["invoices"][0]["amount_received_msat"].as_u64(), Some(payment.amount_msat));
            moved[payment.payer] -= pay["amount_sent_msat"].as_u64().expect("an amount") as i64;
            moved[payment.payee] += payment.amount_msat as i64;
            if payment.payer != 1 && payment.payee != 1 {
                moved[1] += pay["amount_sent_msat"].as_u64().expect("an amount") as i64 - payment.amount_msat as i64;
            }
        } else {
            failed += 1;
        }
    }
    println!("{KILLS} kills, {complete} payments complete, {failed} failed");
    assert!(complete > 0, "some payments must have gone through");
    for (number, daemon) in line.daemons.iter().enumerate() {
        let now = in_channels_msat(daemon) as i64;
        assert_eq!(now - start[number] as i64, moved[number], "the books of {}", daemon.name);
    }
}

fn pending(daemon: &Daemon) -> Vec<String> {
    let listed = daemon.call("listpays", json!({"status": "pending"}));
    let pays = listed["pays"].as_array().cloned().unwrap_or_default();
    pays.iter().map(|pay| pay["payment_hash"].to_string()).collect()
}
