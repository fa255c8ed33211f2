//! Ends, starts, and calls that are wrong.

use leyden_tests::daemon::{Client, wait_for};
use leyden_tests::line::{
    CAPACITY_SAT, Line, PUSH_MSAT, balance_msat, channels, invoice, invoice_of, live_channels, msat, open,
    wait_until_quiet,
};
use serde_json::json;

#[test]
fn a_payment_in_parts_over_two_small_channels() {
    let Line { bitcoind, a, b, c, .. } = Line::start(&[]);
    open(&bitcoind, &a, &b, 500_000, 0);
    // More than either channel can carry.
    let (bolt11, hash) = invoice(&b, 800_000_000, "large");
    let paid = a.call("pay", json!({"bolt11": bolt11}));
    assert_eq!(paid["parts"], 2, "{paid}");
    assert_eq!(msat(&paid, "amount_msat"), 800_000_000);
    let received = invoice_of(&b, "large");
    assert_eq!(received["status"], "paid");
    assert_eq!(msat(&received, "amount_received_msat"), 800_000_000);
    let parts = a.call("listsendpays", json!({"payment_hash": hash}));
    let parts = parts["payments"].as_array().expect("a list").clone();
    assert_eq!(parts.len(), 2);
    assert_eq!(parts.iter().map(|part| msat(part, "amount_msat")).sum::<u64>(), 800_000_000);
    wait_until_quiet(&[&a, &b, &c]);
    assert_eq!(balance_msat(&b, &a), PUSH_MSAT + 800_000_000);
}

#[test]
fn an_end_in_good_order_costs_no_channel() {
    let Line { bitcoind, mut a, b, c, .. } = Line::start(&[]);
    let (bolt11, _) = invoice(&b, 12_345_678, "before");
    a.call("pay", json!({"bolt11": bolt11}));
    wait_until_quiet(&[&a, &b, &c]);

    let id = a.id.clone();
    assert!(a.terminate().success());
    wait_for("B to see that A is gone", || (channels(&b, &a)[0]["peer_connected"] == false).then_some(()));
    assert_eq!(channels(&b, &a)[0]["state"], "CHANNELD_NORMAL");
    assert!(bitcoind.mempool().is_empty(), "nobody closes because of it");
    a.spawn();
    a.wait_until_up();
    assert_eq!(a.id, id);
    for (one, other) in [(&a, &b), (&b, &a)] {
        wait_for("the channel to come back by itself", || (!live_channels(one, other).is_empty()).then_some(()));
    }
    assert_eq!(balance_msat(&a, &b), CAPACITY_SAT * 1000 - PUSH_MSAT - 12_345_678);
    let again = a.call("pay", json!({"bolt11": bolt11}));
    assert_eq!(again["payment_preimage"], invoice_of(&b, "before")["payment_preimage"]);
    let (bolt11, _) = invoice(&c, 2_000_000, "after");
    a.call("pay", json!({"bolt11": bolt11}));

    let second = a.second_on_same_folder();
    assert!(!second.status.success(), "two daemons on one folder would both sign");
    assert!(!second.stderr.is_empty(), "it says why");
    let (bolt11, _) = invoice(&b, 1_000_000, "unharmed");
    a.call("pay", json!({"bolt11": bolt11}));
}

#[test]
fn wrong_calls_are_refused_by_number() {
    let Line { bitcoind: _chain, a, b, .. } = Line::start(&[]);
    let (bolt11, _) = invoice(&b, 1_000_000, "right");

    // BOLT 11's own example, for another network.
    const MAINNET: &str = "lnbc2500u1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5\
        rqwzqfqqqsyqcyq5rqwzqfqypqdq5xysxxatsyp3k7enxv4jsxqzpu9qrsgquk0rl77nj30yxdy8j9vdx85fkpmdla2087ne0xh8nhedh8w27kyke0\
        lp53ut353s06fv3qfegext0eh0ymjpf39tuven09sam30g4vgpfna3rh";
    let error = a.call_error("pay", json!({"bolt11": MAINNET}));
    assert_eq!(error.code, -32602, "{error:?}");
    assert!(error.message.contains("network"), "{error:?}");

    let mut typo = bolt11.clone();
    let last = if typo.pop() == Some('q') { 'p' } else { 'q' };
    typo.push(last);
    assert_eq!(a.call_error("pay", json!({"bolt11": typo})).code, -32602);
    assert_eq!(a.call_error("xpay", json!({"invstring": "nonsense"})).code, -32602);

    assert_eq!(a.call_error("no-such-method", json!({})).code, -32601);
    assert_eq!(a.call_error("pay", json!({})).code, -32602);
    assert_eq!(a.call_error("pay", json!({"bolt11": bolt11, "colour": "red"})).code, -32602);
    assert_eq!(a.call_error("invoice", json!({"amount_msat": [], "label": "x", "description": "x"})).code, -32602);
    assert_eq!(a.call_error("invoice", json!({"amount_msat": -1, "label": "x", "description": "x"})).code, -32602);
    assert_eq!(a.call_error("fundchannel", json!({"id": "02", "amount": 100_000})).code, -32602);
    assert_eq!(a.call_error("listpeers", json!("text")).code, -32600);
    assert_eq!(b.call_error("invoice", json!({"amount_msat": 1, "label": "right", "description": "x"})).code, 900);
    assert_eq!(b.call_error("delinvoice", json!({"label": "none", "status": "unpaid"})).code, 905);
    assert_eq!(b.call_error("delinvoice", json!({"label": "right", "status": "paid"})).code, 906);
    assert_eq!(a.call_error("pay", json!({"bolt11": bolt11, "amount_msat": 5})).code, -32602);
    assert_eq!(b.call_error("pay", json!({"bolt11": bolt11})).code, 205, "a payment to oneself has no route");
    let too_much = a.call("invoice", json!({"amount_msat": 900_000_000, "label": "much", "description": "x"}));
    assert_eq!(b.call_error("pay", json!({"bolt11": too_much["bolt11"]})).code, 205);
    assert_eq!(a.call_error("close", json!({"id": a.id})).code, -32602);
    let dust = json!({"id": b.id, "amount": 100});
    assert_ne!(a.call_error("fundchannel", dust).code, 0);
    let rich = json!({"id": b.id, "amount": 900_000_000});
    assert_eq!(a.call_error("fundchannel", rich).code, 301, "the wallet has not that much");

    // What is no request ends the conversation, and nothing else.
    let mut client = Client::connect(&a.socket_path()).expect("the socket is there");
    client.send_raw(b"}{ nonsense").expect("it is read");
    wait_for("the daemon to hang up", || client.is_closed().then_some(()));
    a.call("pay", json!({"bolt11": bolt11}));
}
