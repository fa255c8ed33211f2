//! Channels end by agreement, and each end gets on chain what it had in the channel.

use bitcoin::{OutPoint, Transaction, Txid};
use leyden_tests::bitcoind::Bitcoind;
use leyden_tests::daemon::{Daemon, wait_for};
use leyden_tests::line::{CAPACITY_SAT, Line, balance_msat, channels, invoice, invoice_of, msat, wait_until_quiet};
use serde_json::{Value, json};

/// The closing transaction, when bitcoind has it as the only one that spends the funding.
fn closing_tx(bitcoind: &Bitcoind, closed: &Value, funding: &(String, u64)) -> Transaction {
    assert_eq!(closed["type"], "mutual", "{closed}");
    let txid: Txid = closed["txid"].as_str().expect("a txid").parse().expect("a txid that reads");
    wait_for("the closing transaction in the mempool", || bitcoind.mempool().contains(&txid).then_some(()));
    let tx = bitcoind.transaction(&txid);
    let outpoint = OutPoint { txid: funding.0.parse().expect("a txid that reads"), vout: funding.1 as u32 };
    assert_eq!(tx.input.iter().map(|input| input.previous_output).collect::<Vec<_>>(), [outpoint]);
    let spent = bitcoind.call("gettxout", json!([funding.0, funding.1]));
    assert!(spent.is_null(), "the funding output is spent: {spent}");
    tx
}

/// What of a transaction is a wallet's, once it is in a block.
fn outputs_of(daemon: &Daemon, tx: &Transaction) -> Vec<u64> {
    let txid = tx.compute_txid().to_string();
    wait_for(&format!("{}'s wallet to own its output", daemon.name), || {
        let funds = daemon.call("listfunds", json!({}));
        let outputs = funds["outputs"].as_array().expect("a list");
        let ours = outputs.iter().filter(|output| output["txid"] == txid.as_str() && output["status"] == "confirmed");
        let found: Vec<u64> = ours
            .map(|output| {
                let index = output["output"].as_u64().expect("an index") as usize;
                let sat = tx.output[index].value.to_sat();
                assert_eq!(msat(output, "amount_msat"), sat * 1000, "the wallet says what the chain says");
                sat
            })
            .collect();
        (!found.is_empty()).then_some(found)
    })
}

/// The opener pays the fee; a part of a satoshi goes to the miner.
fn check_shares(bitcoind: &Bitcoind, tx: &Transaction, opener: (&Daemon, u64), other: (&Daemon, u64)) {
    bitcoind.mine(1);
    let fee = CAPACITY_SAT - tx.output.iter().map(|output| output.value.to_sat()).sum::<u64>();
    assert!((100..10_000).contains(&fee), "a fee of {fee}");
    let dust = u64::from(!opener.1.is_multiple_of(1000));
    assert_eq!(outputs_of(other.0, tx), [other.1 / 1000]);
    assert_eq!(outputs_of(opener.0, tx), [opener.1 / 1000 + dust - fee]);
}

#[test]
fn a_quiet_channel_closes_by_agreement() {
    let Line { bitcoind, a, b, c, funding_ab, funding_bc } = Line::start(&[]);
    let (bolt11, _) = invoice(&c, 7_654_321, "odd");
    a.call("pay", json!({"bolt11": bolt11}));
    wait_until_quiet(&[&a, &b, &c]);

    let shares = (balance_msat(&a, &b), balance_msat(&b, &a));
    assert_eq!(shares.0 + shares.1, CAPACITY_SAT * 1000);
    let closed = a.call("close", json!({"id": b.id}));
    let tx = closing_tx(&bitcoind, &closed, &funding_ab);
    check_shares(&bitcoind, &tx, (&a, shares.0), (&b, shares.1));

    // The end that did not open it can close as well.
    let shares = (balance_msat(&b, &c), balance_msat(&c, &b));
    let closed = c.call("close", json!({"id": b.id}));
    let tx = closing_tx(&bitcoind, &closed, &funding_bc);
    check_shares(&bitcoind, &tx, (&b, shares.0), (&c, shares.1));
}

#[test]
fn a_channel_with_a_pending_htlc_closes_once_it_is_resolved() {
    let Line { bitcoind, a, b, c, funding_ab, .. } = Line::start(&[]);
    let (bolt11, _) = invoice(&b, 10_000_000, "by-two");
    let closed = std::thread::scope(|scope| {
        // B holds A's part until the other one has come, from C.
        let first = scope.spawn(|| a.call("xpay", json!({"invstring": bolt11, "partial_msat": 4_000_000})));
        let pending = |daemon: &Daemon, peer: &Daemon| channels(daemon, peer)[0]["htlcs"].clone();
        wait_for("B to hold the first part", || {
            (pending(&b, &a)[0]["state"] == "RCVD_ADD_ACK_REVOCATION").then_some(())
        });
        let closing = scope.spawn(|| a.call("close", json!({"id": b.id})));
        for (one, other) in [(&a, &b), (&b, &a)] {
            wait_for("both ends to shut down", || {
                (channels(one, other)[0]["state"] == "CHANNELD_SHUTTING_DOWN").then_some(())
            });
        }
        assert_eq!(pending(&b, &a).as_array().map(Vec::len), Some(1), "the HTLC is still there");
        assert_eq!(invoice_of(&b, "by-two")["status"], "unpaid");
        let (late, _) = invoice(&b, 1_000_000, "late");
        assert_ne!(a.call_error("pay", json!({"bolt11": late, "retry_for": 1})).code, 0);

        c.call("xpay", json!({"invstring": bolt11, "partial_msat": 6_000_000}));
        let paid = first.join().expect("A's part is fulfilled");
        assert_eq!(msat(&paid, "amount_msat"), 4_000_000, "{paid}");
        closing.join().expect("the channel closes")
    });
    let received = invoice_of(&b, "by-two");
    assert_eq!(received["status"], "paid");
    assert_eq!(msat(&received, "amount_received_msat"), 10_000_000);
    let tx = closing_tx(&bitcoind, &closed, &funding_ab);
    check_shares(&bitcoind, &tx, (&a, 596_000_000), (&b, 404_000_000));
}
