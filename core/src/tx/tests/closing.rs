//! Which outputs closing transactions keep. That their signatures are valid is shown with the signer.

use bitcoin::{OutPoint, ScriptBuf, Sequence};
use secp256k1::{SECP256K1, SecretKey};

use crate::amount::{Msat, Sat};
use crate::side::{PerSide, Side};
use crate::tx::*;

fn with_input<T>(balance: (u64, u64), fee: u64, test: impl FnOnce(ClosingInput<'_>) -> T) -> T {
    let key = |byte| SecretKey::from_slice(&[byte; 32]).expect("a key").public_key(SECP256K1);
    let keys = PerSide { local: key(1), remote: key(2) };
    let funding = Funding::new(OutPoint::null(), Sat(balance.0 + balance.1), keys);
    let (local, remote) = (script::p2wpkh(&key(3)), script::p2wpkh(&key(4)));
    test(ClosingInput {
        funding: &funding,
        balance: PerSide { local: Msat(balance.0 * 1000 + 999), remote: Msat(balance.1 * 1000) },
        scripts: PerSide { local: local.as_script(), remote: remote.as_script() },
        payer: Side::Local,
        fee: Sat(fee),
    })
}

#[test]
fn legacy_drops_what_the_signer_calls_dust() {
    with_input((10_000, 600), 1000, |input| {
        let both = input.legacy(Sat(600)).expect("both can be paid");
        assert_eq!(both.outputs, PerSide { local: Sat(9000), remote: Sat(600) });
        assert_eq!(both.tx.input[0].sequence, Sequence::MAX);
        assert_eq!(both.tx.lock_time.to_consensus_u32(), 0);
        // By value first: the peer's is the lesser.
        assert_eq!(both.tx.output[0].value.to_sat(), 600);
        let one = input.legacy(Sat(601)).expect("one can be paid");
        assert_eq!(one.outputs, PerSide { local: Sat(9000), remote: Sat(0) });
        assert_eq!(one.tx.output.len(), 1);
        assert!(input.legacy(Sat(9001)).is_none(), "nothing is left");
    });
    with_input((999, 600), 1000, |input| assert!(input.legacy(Sat(500)).is_none(), "the opener cannot pay the fee"));
}

#[test]
fn simple_keeps_what_the_closer_says() {
    with_input((10_000, 600), 1000, |input| {
        for (kept, values) in [
            (ClosingOutputs::Both, vec![600, 9000]),
            (ClosingOutputs::CloserOnly, vec![9000]),
            (ClosingOutputs::CloseeOnly, vec![600]),
        ] {
            let closing = input.simple(kept, 77).expect("it can be paid");
            let found: Vec<u64> = closing.tx.output.iter().map(|output| output.value.to_sat()).collect();
            assert_eq!(found, values, "{kept:?}");
            assert_eq!(closing.tx.input[0].sequence, Sequence(0xffff_fffd));
            assert_eq!(closing.tx.lock_time.to_consensus_u32(), 77);
        }
    });
}

#[test]
fn simple_gives_nothing_to_an_op_return() {
    with_input((10_000, 600), 1000, |input| {
        let op_return = ScriptBuf::from_hex("6a06010203040506").expect("hex");
        let scripts = PerSide { local: op_return.as_script(), remote: input.scripts.remote };
        let closing = ClosingInput { scripts, ..input }.simple(ClosingOutputs::Both, 0).expect("it can be paid");
        assert_eq!(closing.outputs, PerSide { local: Sat(0), remote: Sat(600) });
        assert_eq!(closing.tx.output[0].script_pubkey, op_return);
        assert_eq!(closing.tx.output[0].value.to_sat(), 0);
    });
}
