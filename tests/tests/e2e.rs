//! Real daemons on a real chain: what a user does, and what comes of it.

use leyden_tests::line::{CAPACITY_SAT, Line, PUSH_MSAT, balance_msat, invoice, invoice_of, msat, wait_until_quiet};
use serde_json::json;

#[test]
fn money_goes_in_all_directions_and_through() {
    let Line { bitcoind: _chain, a, b, c, .. } = Line::start(&[]);
    assert_eq!(balance_msat(&a, &b), CAPACITY_SAT * 1000 - PUSH_MSAT);
    assert_eq!(balance_msat(&b, &a), PUSH_MSAT);

    let (bolt11, hash) = invoice(&b, 10_000_000, "from-a");
    let paid = a.call("pay", json!({"bolt11": bolt11}));
    assert_eq!(paid["status"], "complete");
    assert_eq!(paid["payment_hash"], hash.as_str());
    let received = invoice_of(&b, "from-a");
    assert_eq!(received["status"], "paid");
    assert_eq!(received["payment_preimage"], paid["payment_preimage"]);
    assert_eq!(msat(&received, "amount_received_msat"), 10_000_000);

    let (bolt11, _) = invoice(&a, 5_000_000, "from-b");
    b.call("xpay", json!({"invstring": bolt11}));
    wait_until_quiet(&[&a, &b, &c]);
    assert_eq!(balance_msat(&a, &b), CAPACITY_SAT * 1000 - PUSH_MSAT - 5_000_000);
    assert_eq!(balance_msat(&b, &a), PUSH_MSAT + 5_000_000);

    // C's only channel is known to nobody else, so that the invoice must say how to come there.
    let before = balance_msat(&b, &a) + balance_msat(&b, &c);
    let (bolt11, _) = invoice(&c, 20_000_000, "through-b");
    let paid = a.call("pay", json!({"bolt11": bolt11}));
    let fee = msat(&paid, "amount_sent_msat") - 20_000_000;
    assert!(fee >= 1000, "B forwards for its base fee at least, not for {fee}");
    wait_until_quiet(&[&a, &b, &c]);
    assert_eq!(invoice_of(&c, "through-b")["status"], "paid");
    assert_eq!(balance_msat(&b, &a) + balance_msat(&b, &c), before + fee, "B gains its fee");
    assert_eq!(balance_msat(&c, &b), PUSH_MSAT + 20_000_000);
    let forwards = b.call("listforwards", json!({}));
    assert_eq!(forwards["forwards"][0]["status"], "settled", "{forwards}");
    assert_eq!(msat(&forwards["forwards"][0], "fee_msat"), fee);

    // What is paid is paid: the same call again tells the same, and no money moves.
    let again = a.call("pay", json!({"bolt11": bolt11}));
    assert_eq!(again["payment_preimage"], paid["payment_preimage"]);
    assert_eq!(balance_msat(&c, &b), PUSH_MSAT + 20_000_000);
}

#[test]
fn a_payment_that_the_payee_does_not_know_fails_at_the_origin() {
    let Line { bitcoind: _chain, a, b, c, .. } = Line::start(&[]);
    for (payee, source) in [(&b, "direct"), (&c, "through")] {
        let (bolt11, hash) = invoice(payee, 3_000_000, source);
        payee.call("delinvoice", json!({"label": source, "status": "unpaid"}));
        let error = a.call_error("pay", json!({"bolt11": bolt11}));
        assert_eq!(error.code, 203, "{error:?}");
        assert_eq!(error.data["failcodename"], "WIRE_INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS", "{error:?}");
        assert_eq!(error.data["erring_node"], payee.id.as_str(), "{error:?}");
        let pays = a.call("listpays", json!({"payment_hash": hash}));
        assert_eq!(pays["pays"][0]["status"], "failed", "{pays}");
    }
    wait_until_quiet(&[&a, &b, &c]);
    assert_eq!(balance_msat(&a, &b), CAPACITY_SAT * 1000 - PUSH_MSAT);
    assert_eq!(balance_msat(&c, &b), PUSH_MSAT);
}
