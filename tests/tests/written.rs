//! What a payment writes to the store, by table: rows that replace others count as often as they are written.

use std::collections::BTreeMap;

use leyden_core::amount::Msat;
use leyden_core::signer::KeysSigner;
use leyden_core::store::Table;
use leyden_tests::pair::{Pair, Written};

#[test]
fn a_payment_writes_little() {
    let mut pair = Pair::with_channel(|signer: KeysSigner| signer);
    for label in ["first", "second", "third"] {
        let invoice = pair.invoice(label, Msat(10_000_000));
        pair.pay(invoice);
        let invoice = pair.invoice(&format!("{label} more"), Msat(10_000_000));
        pair.a.take_written();
        pair.b.take_written();
        pair.pay(invoice);
        report("payer", &pair.a.take_written());
        report("payee", &pair.b.take_written());
    }
}

fn report(name: &str, written: &BTreeMap<Table, Written>) {
    for (table, Written { rows, bytes, deletions }) in written {
        println!("{name} {table:?} {rows} rows {bytes} bytes, {deletions} taken out");
    }
    let bytes: u64 = written.values().map(|written| written.bytes).sum();
    println!("written_per_payment_{name} {bytes} bytes");
}
