//! Everything two signers sign for a random channel must satisfy Bitcoin's own script interpreter.

use bitcoin::consensus::encode::serialize;
use bitcoin::{OutPoint, ScriptBuf, Transaction};
use quickcheck::{QuickCheck, TestResult};

use super::super::SignerState;
use super::*;
use crate::ids::{BlockHeight, CommitmentSecret, HtlcId, Preimage, Sig};

/// A random commitment.
#[derive(Clone, Debug)]
struct Spec {
    format: CommitFormat,
    opener: Side,
    number: u64,
    dust_limit: u64,
    to_self_delay: u16,
    feerate_per_kw: u32,
    local_sat: u64,
    htlcs: Vec<(CommitmentHtlc, Preimage)>,
}

type Raw = (u8, u32, u16, u16, u32, Vec<(u8, u16, u16)>);

impl Spec {
    fn new((flags, number, delay, feerate, local, htlcs): Raw) -> Spec {
        let bit = |bit: u8| flags >> bit & 1 == 1;
        let htlcs = htlcs.into_iter().take(12).enumerate().map(|(id, (byte, amount, expiry))| {
            let preimage = Preimage([byte % 4; 32]);
            let htlc = CommitmentHtlc {
                offered_by: if byte & 0x80 == 0 { Side::Local } else { Side::Remote },
                id: HtlcId(id as u64),
                // From dust to some thousand satoshi, with a few that round to the same.
                amount: Msat(u64::from(amount) / 7 * 1000 + u64::from(amount % 3)),
                payment_hash: preimage.payment_hash(),
                cltv_expiry: BlockHeight(1 + u32::from(expiry) * (1 + 300 * u32::from(byte & 1))),
            };
            (htlc, preimage)
        });
        Spec {
            format: if bit(0) { CommitFormat::StaticRemoteKey } else { CommitFormat::AnchorsZeroFeeHtlc },
            opener: if bit(1) { Side::Local } else { Side::Remote },
            number: u64::from(number),
            dust_limit: if bit(2) { 354 } else { 1000 },
            to_self_delay: delay,
            feerate_per_kw: 253 + u32::from(feerate / 16),
            // Now and then one side has next to nothing.
            local_sat: if bit(3) { u64::from(local) % 90_000_000 } else { u64::from(local) % 2000 },
            htlcs: htlcs.collect(),
        }
    }
}

fn verify(tx: &Transaction, input: usize, script: &[u8], amount: Sat) {
    let bytes = serialize(tx);
    let flags = bitcoinconsensus::VERIFY_ALL_PRE_TAPROOT;
    let result = bitcoinconsensus::verify_with_flags(script, amount.0, &bytes, None, input, flags);
    assert_eq!(result, Ok(()), "input {input} of {tx:?}");
}

/// Where sweeps go.
fn wallet_script() -> ScriptBuf {
    ScriptBuf::from_hex("0014111111111111111111111111111111111111111100".get(..44).expect("22 bytes")).expect("hex")
}

/// One transaction for all claims, and checks its weight against what was reckoned.
fn sweep(signer: &mut KeysSigner, claims: &[Claim]) {
    let Ok(sweep) = Sweep::new(claims, wallet_script(), 253) else {
        let total: Sat = claims.iter().map(|claim| claim.amount).sum();
        assert!(claims.is_empty() || total < Sat(2000), "only dust is left lying: {total}");
        return;
    };
    let mut sigs = Vec::new();
    signer.sign_sweep(KEYS, &sweep, &mut sigs).expect("claims are never refused");
    let tx = sweep.signed(&sigs);
    let reckoned = Sweep::weight(claims, &wallet_script());
    let actual = tx.weight().to_wu();
    // Signatures are a byte or two shorter at times, hardly ever more.
    assert!(actual <= reckoned && reckoned <= actual + 8 * claims.len() as u64, "{actual} for {reckoned}");
    for (input, claim) in claims.iter().enumerate() {
        verify(&tx, input, claim.script_pubkey().as_bytes(), claim.amount);
    }
}

struct Played {
    views: BothViews,
    sigs: PerSide<Sig>,
    htlc_sigs: Vec<Sig>,
}

/// The first end's commitment is signed by both and published.
fn publish(pair: &mut Pair, spec: &Spec) -> Played {
    let funding = pair.funding;
    let in_htlcs: Msat = spec.htlcs.iter().map(|htlc| htlc.0.amount).sum();
    let local = Sat(spec.local_sat).to_msat();
    let input = CommitmentInput {
        opener: spec.opener,
        dust_limit: Sat(spec.dust_limit),
        to_self_delay: spec.to_self_delay,
        feerate_per_kw: spec.feerate_per_kw,
        balance: PerSide { local, remote: funding.amount.to_msat() - local - in_htlcs },
        funding: &funding,
        ..pair.input(spec.format, spec.number)
    };
    let htlcs: Vec<CommitmentHtlc> = spec.htlcs.iter().map(|htlc| htlc.0).collect();
    let basepoints = pair.basepoints;
    let views = both_views(&mut pair.a, &mut pair.b, &basepoints, &input, &htlcs);
    check_accounting(&views.owner, &input, &htlcs);

    let state = SignerState { remote_signed: spec.number, remote_revoked: spec.number, ..SignerState::default() };
    pair.b.track(KEYS, state);
    let mut htlc_sigs = Vec::new();
    let remote = pair.b.sign_remote_commitment(KEYS, &views.counterparty, &mut htlc_sigs).expect("the next one");
    check_peer_signatures(&views.owner, &remote, &htlc_sigs);

    let state = SignerState { local_signed: spec.number + 1, local_released: spec.number, ..SignerState::default() };
    pair.a.track(KEYS, state);
    let local = pair.a.sign_local_commitment(KEYS, &views.owner).expect("the newest one");
    let sigs = PerSide { local, remote };
    let tx = views.owner.signed(sigs);
    verify(&tx, 0, funding.script_pubkey().as_bytes(), funding.amount);
    Played { views, sigs, htlc_sigs }
}

/// Nothing is created, no output is dust, and the order is that of BOLT 3.
fn check_accounting(tx: &CommitmentTx, input: &CommitmentInput<'_>, htlcs: &[CommitmentHtlc]) {
    let rule = input.trim_rule();
    let untrimmed = rule.untrimmed(htlcs.iter().map(|htlc| (htlc.offered_by, htlc.amount)));
    assert_eq!(tx.htlcs.len(), untrimmed);
    let cost = opener_cost(tx.format, tx.feerate_per_kw, untrimmed);
    let affordable = input.balance[input.opener] >= cost.to_msat();
    let anchors = tx.outputs.iter().filter(|output| matches!(output.kind, OutputKind::Anchor(_))).count() as u64;
    if affordable {
        assert!(tx.fee() + ANCHOR * anchors >= cost, "the fee is paid in full");
    }
    for output in &tx.outputs {
        let dust = if matches!(output.kind, OutputKind::Anchor(_)) { ANCHOR } else { input.dust_limit };
        assert!(output.value >= dust, "{output:?}");
    }
    assert!(tx.outputs.is_sorted_by(|a, b| (a.value, a.script) <= (b.value, b.script)));
    for (index, htlc) in tx.htlcs.iter().enumerate() {
        assert_eq!(tx.outputs[htlc.vout as usize].kind, OutputKind::Htlc(index as u16));
        assert_eq!(tx.outputs[htlc.vout as usize].script, htlc.script.to_p2wsh());
    }
    assert_eq!(input.obscure.number_of(&tx.transaction()), Some(input.number));
}

fn check_peer_signatures(tx: &CommitmentTx, sig: &Sig, htlc_sigs: &[Sig]) {
    assert_eq!(tx.check_signatures(sig, htlc_sigs), Ok(()));
    let wrong = Sig([1; 64]);
    assert_eq!(tx.check_signatures(&wrong, htlc_sigs), Err(SignatureError::Commitment { number: tx.number }));
    let mut many = htlc_sigs.to_vec();
    many.push(wrong);
    let count = SignatureError::HtlcCount { expected: tx.htlcs.len(), actual: many.len() };
    assert_eq!(tx.check_signatures(sig, &many), Err(count));
    if !htlc_sigs.is_empty() {
        many.pop();
        let last = many.len() - 1;
        many[last] = wrong;
        assert_eq!(tx.check_signatures(sig, &many), Err(SignatureError::Htlc { index: last }));
    }
}

fn preimage_of(spec: &Spec, htlc: &CommitmentHtlc) -> Preimage {
    spec.htlcs.iter().find(|known| known.0.id == htlc.id).expect("it is one of them").1
}

/// The owner takes its balance and, by HTLC transactions, every HTLC.
fn owner_claims(pair: &mut Pair, spec: &Spec, played: &Played) {
    let tx = &played.views.owner;
    let delay = spec.to_self_delay;
    let mut claims = Vec::new();
    if let Some(vout) = tx.find(OutputKind::ToLocal) {
        let amount = tx.outputs[vout as usize].value;
        claims.push(Claim::delayed(tx.outpoint(vout), amount, &tx.keys, delay));
    }
    for index in 0..tx.htlcs.len() {
        let mut htlc_tx = tx.htlc_tx(index);
        let sig = pair.a.sign_htlc(KEYS, tx, index, &htlc_tx, 0).expect("the commitment is valid");
        let preimage = preimage_of(spec, &tx.htlcs[index].htlc);
        let preimage = (tx.htlc_tx_kind(index) == HtlcTxKind::Success).then_some(&preimage);
        htlc_tx.input[0].witness = tx.htlc_witness(index, &sig, &played.htlc_sigs[index], preimage);
        let HtlcOutput { htlc, script, .. } = &tx.htlcs[index];
        verify(&htlc_tx, 0, script.to_p2wsh().as_bytes(), htlc.amount.sat_floor());
        assert!(htlc_tx.weight().to_wu() <= tx.format.htlc_tx_weight(tx.htlc_tx_kind(index)) + 4);
        let outpoint = OutPoint { txid: htlc_tx.compute_txid(), vout: 0 };
        claims.push(Claim::delayed(outpoint, htlc_tx.output[0].value.into(), &tx.keys, delay));
    }
    if let Some(vout) = tx.find(OutputKind::Anchor(Side::Local)) {
        claims.push(Claim::anchor(tx.outpoint(vout), &tx.funding.keys.local));
    }
    sweep(&mut pair.a, &claims);
}

/// With anchors the owner adds a fee input and change behind the peer's back, which its signature allows.
fn owner_bumps_htlcs(pair: &mut Pair, spec: &Spec, played: &Played) {
    let tx = &played.views.owner;
    if !tx.format.has_anchors() {
        return;
    }
    for index in 0..tx.htlcs.len() {
        let mut htlc_tx = tx.htlc_tx(index);
        htlc_tx.input.push(bitcoin::TxIn { previous_output: OutPoint::null(), ..Default::default() });
        htlc_tx.output.push(bitcoin::TxOut { value: Sat(1000).to_amount(), script_pubkey: wallet_script() });
        let sig = pair.a.sign_htlc(KEYS, tx, index, &htlc_tx, 0).expect("the commitment is valid");
        let preimage = preimage_of(spec, &tx.htlcs[index].htlc);
        let preimage = (tx.htlc_tx_kind(index) == HtlcTxKind::Success).then_some(&preimage);
        htlc_tx.input[0].witness = tx.htlc_witness(index, &sig, &played.htlc_sigs[index], preimage);
        let HtlcOutput { htlc, script, .. } = &tx.htlcs[index];
        verify(&htlc_tx, 0, script.to_p2wsh().as_bytes(), htlc.amount.sat_floor());
    }
}

/// The other side takes its balance and the HTLCs directly.
fn counterparty_claims(pair: &mut Pair, spec: &Spec, played: &Played) {
    let tx = &played.views.counterparty;
    let mut claims = Vec::new();
    if let Some(vout) = tx.find(OutputKind::ToRemote) {
        let (outpoint, amount) = (tx.outpoint(vout), tx.outputs[vout as usize].value);
        claims.push(Claim::to_remote(outpoint, amount, tx.format, &pair.basepoints.remote.payment));
    }
    for HtlcOutput { vout, htlc, script } in &tx.htlcs {
        let (outpoint, amount) = (tx.outpoint(*vout), htlc.amount.sat_floor());
        claims.push(if htlc.offered_by == tx.owner {
            let preimage = preimage_of(spec, htlc);
            Claim::htlc_preimage(outpoint, amount, tx.format, &tx.keys, *script, preimage)
        } else {
            Claim::htlc_timeout(outpoint, amount, tx.format, &tx.keys, *script, htlc.cltv_expiry)
        });
    }
    if let Some(vout) = tx.find(OutputKind::Anchor(Side::Local)) {
        claims.push(Claim::anchor(tx.outpoint(vout), &tx.funding.keys.local));
    }
    sweep(&mut pair.b, &claims);
}

/// Had the commitment been revoked, the other side would take everything.
fn penalty(pair: &mut Pair, spec: &Spec, played: &Played) {
    let state = SignerState { local_signed: spec.number + 2, local_released: spec.number, ..SignerState::default() };
    pair.a.track(KEYS, state);
    let secret: CommitmentSecret = pair.a.release_secret(KEYS, spec.number).expect("a newer one is in its place");
    let (tx, delay) = (&played.views.counterparty, spec.to_self_delay);
    let mut claims = Vec::new();
    if let Some(vout) = tx.find(OutputKind::ToLocal) {
        let amount = tx.outputs[vout as usize].value;
        claims.push(Claim::revoked_delayed(tx.outpoint(vout), amount, &tx.keys, delay, secret));
    }
    for (index, HtlcOutput { vout, htlc, script }) in tx.htlcs.iter().enumerate() {
        claims.push(Claim::revoked_htlc(tx.outpoint(*vout), htlc.amount.sat_floor(), &tx.keys, *script, secret));
        let htlc_tx = tx.htlc_tx(index);
        let outpoint = OutPoint { txid: htlc_tx.compute_txid(), vout: 0 };
        let amount = htlc_tx.output[0].value.into();
        claims.push(Claim::revoked_delayed(outpoint, amount, &tx.keys, delay, secret));
    }
    sweep(&mut pair.b, &claims);
}

#[test]
fn all_that_is_signed_is_valid() {
    fn property(raw: Raw) -> bool {
        let spec = Spec::new(raw);
        let mut pair = Pair::new();
        let played = publish(&mut pair, &spec);
        assert_ne!(played.sigs.local, played.sigs.remote);
        owner_claims(&mut pair, &spec, &played);
        owner_bumps_htlcs(&mut pair, &spec, &played);
        counterparty_claims(&mut pair, &spec, &played);
        penalty(&mut pair, &spec, &played);
        true
    }
    QuickCheck::new().tests(60).quickcheck(property as fn(Raw) -> bool);
}

#[test]
fn closing_transactions_are_valid() {
    fn property(local: u32, remote: u32, fee: u16, pays: bool, simple: u8) -> TestResult {
        let mut pair = Pair::new();
        let (local, remote, fee) = (Sat(u64::from(local)), Sat(u64::from(remote)), Sat(u64::from(fee)));
        let outpoint = pair.funding.outpoint;
        pair.funding = Funding::new(outpoint, local + remote, pair.funding.keys);
        let scripts =
            PerSide { local: script::p2wpkh(&pair.basepoints.local.payment), remote: pair.funding.script.to_p2wsh() };
        let flipped = flip_funding(&pair.funding);
        let input = ClosingInput {
            funding: &pair.funding,
            balance: PerSide { local: local.to_msat(), remote: remote.to_msat() },
            scripts: PerSide { local: scripts.local.as_script(), remote: scripts.remote.as_script() },
            payer: if pays { Side::Local } else { Side::Remote },
            fee,
        };
        let theirs = ClosingInput {
            funding: &flipped,
            balance: input.balance.flip(),
            scripts: input.scripts.flip(),
            payer: !input.payer,
            fee,
        };
        let build = |input: &ClosingInput<'_>| match simple % 4 {
            0 => input.legacy(Sat(354)),
            1 => input.simple(ClosingOutputs::Both, 100),
            2 => input.simple(ClosingOutputs::CloserOnly, 100),
            _ => input.simple(ClosingOutputs::CloseeOnly, 100),
        };
        let (Some(closing), Some(theirs)) = (build(&input), build(&theirs)) else { return TestResult::discard() };
        assert_eq!(closing.txid(), theirs.txid());
        for signer in [&mut pair.a, &mut pair.b] {
            signer.track(KEYS, SignerState::default());
        }
        let local_sig = pair.a.sign_closing(KEYS, &closing).expect("it is our channel");
        let remote_sig = pair.b.sign_closing(KEYS, &theirs).expect("it is our channel");
        assert!(closing.is_signed_by(Side::Local, &local_sig) && closing.is_signed_by(Side::Remote, &remote_sig));
        assert!(!closing.is_signed_by(Side::Local, &remote_sig) && !closing.is_signed_by(Side::Local, &Sig([1; 64])));
        let tx = closing.signed(PerSide { local: local_sig, remote: remote_sig });
        verify(&tx, 0, pair.funding.script_pubkey().as_bytes(), pair.funding.amount);
        let reckoned = closing::closing_weight(tx.output.iter().map(|output| output.script_pubkey.as_script()));
        let actual = tx.weight().to_wu();
        TestResult::from_bool(actual <= reckoned && reckoned <= actual + 8)
    }
    QuickCheck::new().tests(60).quickcheck(property as fn(u32, u32, u16, bool, u8) -> TestResult);
}
