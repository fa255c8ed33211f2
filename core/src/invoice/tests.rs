//! Invoices against the specification's vectors, and against themselves.

use bitcoin::WitnessProgram;
use bitcoin::hashes::{Hash, sha256};
use quickcheck::{Arbitrary, Gen, quickcheck};
use secp256k1::{Message, SECP256K1, SecretKey};
use serde_json::Value;

use super::*;
use crate::ids::hex_array;
use crate::vectors;

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], |list| list)
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    hex_array(text(value)).expect("hex of the right length")
}

fn bytes(value: &Value) -> Vec<u8> {
    hex_conservative::FromHex::from_hex(text(value)).expect("hex")
}

/// As the signer does it: compact form and recovery id.
fn sign_digest(digest: [u8; 32], key: &SecretKey) -> ([u8; 64], u8) {
    let (id, compact) = SECP256K1.sign_ecdsa_recoverable(&Message::from_digest(digest), key).serialize_compact();
    (compact, id.to_i32() as u8)
}

fn sign(to_sign: ToSign, key: &SecretKey) -> String {
    let (compact, recovery_id) = sign_digest(to_sign.digest(), key);
    to_sign.finish(&compact, recovery_id)
}

/// A set from bit numbers.
fn features(bits: &[usize]) -> Features {
    let mut features = Features::new();
    bits.iter().for_each(|bit| features.set_bit(*bit));
    features
}

#[test]
fn the_specification_s_invoices_are_read_and_written() {
    let file = vectors::file("bolt11/valid");
    let key = SecretKey::from_slice(&bytes(&file["params"]["priv_key"])).expect("a key");
    for case in list(&file["cases"]) {
        let name = text(&case["name"]);
        let string = text(&case["invoice"]);
        let decoded = &case["decoded"];
        let invoice = Invoice::parse(string).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(format!("ln{}", currency_prefix(invoice.currency)), text(&decoded["prefix"]), "{name}");
        assert_eq!(invoice.amount, decoded["amount_msat"].as_u64().map(Msat), "{name}");
        assert_eq!(invoice.timestamp_s, decoded["timestamp"].as_u64().expect("a number"));
        assert_eq!(invoice.payment_hash.0, array(&decoded["payment_hash"]));
        assert_eq!(invoice.payment_secret.0, array(&decoded["payment_secret"]));
        let description = match decoded["description_hash"].as_str() {
            Some(_) => Description::Hash(array(&decoded["description_hash"])),
            None => Description::Text(text(&decoded["description"]).to_owned()),
        };
        assert_eq!(invoice.description, description, "{name}");
        assert_eq!(invoice.payee.0, array(&decoded["recovered_pubkey"]), "{name}");
        assert!(!invoice.names_payee);
        assert_eq!(invoice.expiry_s, decoded["expiry_seconds"].as_u64().unwrap_or(3600));
        assert_eq!(
            u64::from(invoice.min_final_cltv_expiry_delta),
            decoded["min_final_cltv_expiry_delta"].as_u64().unwrap_or(18)
        );
        let bits: Vec<u64> = invoice.features.bits().map(|bit| bit as u64).collect();
        let expected: Vec<u64> = list(&decoded["features"]).iter().map(|bit| bit.as_u64().expect("a number")).collect();
        assert_eq!(bits, expected, "{name}");
        assert_eq!(invoice.metadata, decoded.get("payment_metadata").map(bytes));
        let fallbacks: Vec<_> = list(&decoded["fallbacks"])
            .iter()
            .map(|fallback| (fallback["version"].as_u64().expect("a number") as u8, bytes(&fallback["program"])))
            .collect();
        let read: Vec<_> = invoice.fallbacks.iter().map(Fallback::parts).map(|(v, p)| (v, p.to_vec())).collect();
        assert_eq!(read, fallbacks, "{name}");
        if let Some(address) = case["fallback_address_printed"].as_str() {
            assert_eq!(invoice.fallbacks[0].address(invoice.currency).to_string(), address);
        }
        let routes: Vec<Vec<RouteHintHop>> =
            list(&decoded["routes"]).iter().map(|route| list(route).iter().map(hint_hop).collect()).collect();
        assert_eq!(invoice.route_hints, routes, "{name}");
        assert_eq!(invoice.signature.compact, array(&decoded["signature"]));
        assert_eq!(u64::from(invoice.signature.recovery_id), decoded["recovery_id"].as_u64().expect("a number"));

        // Upper case and a scheme change nothing.
        assert_eq!(Invoice::parse(&format!("LIGHTNING:{}", string.to_uppercase())), Ok(invoice.clone()));
        assert_eq!(Invoice::parse(&format!(" lightning:{}\n", string.to_lowercase())), Ok(invoice.clone()));

        // Written in the same order and signed with the same key, it is the same string, unless it has fields that we
        // skip, or a signature that we would not make.
        if list(&decoded["ignored_fields"]).is_empty() && decoded["high_s"] == false {
            let order: Vec<u8> = list(&decoded["field_order"])
                .iter()
                .map(|field| symbols::from_char(text(&field[0]).parse().expect("a letter")).expect("a tag"))
                .collect();
            let to_sign = invoice.prepare_in(&order).expect("it fits");
            assert_eq!(to_sign.digest(), array(&decoded["signing_hash"]), "{name}");
            assert_eq!(sign(to_sign, &key), string.to_lowercase(), "{name}");
        }
        // In our own order it says the same.
        let again = Invoice::parse(&sign(invoice.prepare().expect("it fits"), &key)).expect("our own");
        let payee = again.payee;
        assert_eq!(again.unsigned(), Invoice { payee, ..invoice.unsigned() }, "{name}");
    }
}

fn hint_hop(hop: &Value) -> RouteHintHop {
    let number = |name: &str| hop[name].as_u64().expect("a number");
    RouteHintHop {
        node_id: NodeId(array(&hop["pubkey"])),
        short_channel_id: text(&hop["short_channel_id"]).parse().expect("a short channel id"),
        fee_base_msat: number("fee_base_msat") as u32,
        fee_proportional_millionths: number("fee_proportional_millionths") as u32,
        cltv_expiry_delta: number("cltv_expiry_delta") as u16,
    }
}

#[test]
fn the_specification_s_invalid_invoices_are_refused_for_their_reason() {
    let file = vectors::file("bolt11/invalid");
    for case in list(&file["cases"]) {
        let string = text(&case["invoice"]);
        let reason = text(&case["error"]);
        let error = Invoice::parse(string).expect_err(reason);
        // What asks too much of a payer can be shown, and nothing else of this.
        assert_eq!(Invoice::read(string).is_ok(), reason == "unknown_even_feature");
        let as_expected = match reason {
            "unknown_even_feature" => error == InvoiceError::UnknownFeature { bit: 100 },
            "bech32_checksum" => error == InvoiceError::Checksum,
            "bech32_no_separator" => error == InvoiceError::NoSeparator,
            "bech32_mixed_case" => error == InvoiceError::MixedCase,
            "signature_not_recoverable" => error == InvoiceError::NotRecoverable,
            "too_short" => matches!(error, InvoiceError::TooShort { .. }),
            "invalid_multiplier" => error == InvoiceError::Amount { amount: "2500x".into() },
            "sub_millisatoshi" => error == InvoiceError::SubMillisatoshi { amount: "2500000001p".into() },
            "missing_payment_secret" => matches!(error, InvoiceError::MissingField { tag: 's', .. }),
            "high_s_with_n" => error == InvoiceError::BadSignature,
            other => panic!("no such reason: {other}"),
        };
        assert!(as_expected, "{reason}: {error:?}");
    }
}

fn key() -> SecretKey {
    SecretKey::from_slice(&[7; 32]).expect("in range")
}

fn coffee() -> Invoice<Unsigned> {
    Invoice::new(
        Network::Regtest,
        1_700_000_000,
        PaymentHash([1; 32]),
        PaymentSecret([2; 32]),
        Description::Text("1 cup coffee".into()),
        key().public_key(SECP256K1).into(),
    )
}

#[test]
fn an_invoice_for_another_chain_is_refused() {
    let text = sign(coffee().prepare().expect("it fits"), &key());
    assert!(Invoice::parse_for(&text, Network::Regtest).is_ok());
    let error = Invoice::parse_for(&text, Network::Mainnet).expect_err("another chain");
    assert_eq!(error, InvoiceError::WrongNetwork { invoice: Network::Regtest, ours: Network::Mainnet });
    assert!(error.to_string().contains("begins with lnbc"));
    assert_eq!(Invoice::parse("lno1pqqq"), Err(InvoiceError::Prefix { prefix: "lno".into() }));
    assert_eq!(Invoice::parse("lnbc1b"), Err(InvoiceError::Character { character: 'b', position: 5 }));
}

#[test]
fn a_named_payee_is_verified() {
    let named = Invoice { names_payee: true, ..coffee() };
    let text = sign(named.prepare().expect("it fits"), &key());
    let invoice = Invoice::parse(&text).expect("our own");
    assert!(invoice.names_payee);
    assert_eq!(invoice.unsigned(), named);
    let other = SecretKey::from_slice(&[8; 32]).expect("in range");
    let forged = sign(named.prepare().expect("it fits"), &other);
    assert_eq!(Invoice::parse(&forged), Err(InvoiceError::BadSignature));
    let no_point = Invoice { payee: NodeId([0; 33]), ..named };
    let text = sign(no_point.prepare().expect("it fits"), &key());
    assert!(matches!(Invoice::parse(&text), Err(InvoiceError::FieldValue { tag: 'n', .. })));
}

#[test]
fn amounts_are_written_short_and_read_exactly() {
    for (amount, text) in [
        (100_000_000_000, "1"),
        (2_500_000_000, "25m"),
        (250_000_000, "2500u"),
        (100_000, "1u"),
        (100, "1n"),
        (1, "10p"),
        (967_878_534, "9678785340p"),
    ] {
        let mut written = String::new();
        amount::write(Msat(amount), &mut written);
        assert_eq!(written, text);
        assert_eq!(amount::parse(text), Ok(Some(Msat(amount))));
    }
    assert_eq!(amount::parse(""), Ok(None));
    let all = 21_000_000 * 100_000_000_000;
    assert_eq!(amount::parse("21000000"), Ok(Some(Msat(all))));
    assert_eq!(amount::parse("21000000000000001n"), Err(InvoiceError::TooMuch { amount: Msat(all + 100) }));
    assert_eq!(amount::parse("15p"), Err(InvoiceError::SubMillisatoshi { amount: "15p".into() }));
    for bad in ["0", "01m", "m", "1mm", "1x", "1.5m", "+1", "99999999999999999999", "18446744073709551615"] {
        assert_eq!(amount::parse(bad), Err(InvoiceError::Amount { amount: bad.into() }));
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let refused = |invoice: Invoice<Unsigned>| invoice.prepare().expect_err("refused");
    let long = Description::Text("x".repeat(640));
    assert_eq!(
        refused(Invoice { description: long, ..coffee() }),
        InvoiceError::TooLarge { tag: 'd', actual: 640, maximum: 639 }
    );
    assert_eq!(refused(Invoice { amount: Some(Msat(0)), ..coffee() }), InvoiceError::ZeroAmount);
    let amount = Msat(u64::MAX);
    assert_eq!(refused(Invoice { amount: Some(amount), ..coffee() }), InvoiceError::TooMuch { amount });
    assert!(matches!(refused(Invoice { timestamp_s: 1 << 35, ..coffee() }), InvoiceError::TooLarge { tag: 't', .. }));
    let hop = RouteHintHop {
        node_id: NodeId([2; 33]),
        short_channel_id: ShortChannelId(1),
        fee_base_msat: 0,
        fee_proportional_millionths: 0,
        cltv_expiry_delta: 0,
    };
    assert!(matches!(
        refused(Invoice { route_hints: vec![vec![hop; 13]], ..coffee() }),
        InvoiceError::TooLarge { tag: 'r', .. }
    ));
}

#[test]
fn a_description_hash_matches_its_text_alone() {
    let hash = Description::Hash(sha256::Hash::hash(b"two cups").to_byte_array());
    assert!(hash.matches("two cups"));
    assert!(!hash.matches("one cup"));
    assert!(Description::Text("tea".into()).matches("tea"));
}

#[test]
fn an_invoice_without_features_has_no_field_for_them() {
    let none = Invoice { features: Features::new(), ..coffee() };
    let text = sign(none.prepare().expect("it fits"), &key());
    assert_eq!(Invoice::parse(&text).expect("our own").unsigned(), none);
    assert_eq!(text.len(), sign(coffee().prepare().expect("it fits"), &key()).len() - 3 - 3);
}

#[test]
fn addresses_become_fallbacks_and_come_back() {
    for fallback in [
        Fallback::PubkeyHash([3; 20]),
        Fallback::ScriptHash([4; 20]),
        Fallback::from_parts(0, &[5; 20]).expect("a key hash"),
        Fallback::from_parts(1, &[6; 32]).expect("a taproot output"),
    ] {
        assert_eq!(Fallback::from_script(&fallback.script()), Some(fallback));
    }
    assert_eq!(Fallback::from_parts(0, &[0; 21]), None, "version 0 has only two lengths");
    assert_eq!(Fallback::from_parts(19, &[0; 20]), None);
    assert_eq!(Fallback::from_script(bitcoin::Script::new()), None);
}

impl Arbitrary for Invoice<Unsigned> {
    fn arbitrary(g: &mut Gen) -> Invoice<Unsigned> {
        let hash = |g: &mut Gen| std::array::from_fn(|_| u8::arbitrary(g));
        let hop = |g: &mut Gen| RouteHintHop {
            node_id: NodeId(std::array::from_fn(|_| u8::arbitrary(g))),
            short_channel_id: ShortChannelId(u64::arbitrary(g)),
            fee_base_msat: u32::arbitrary(g),
            fee_proportional_millionths: u32::arbitrary(g),
            cltv_expiry_delta: u16::arbitrary(g),
        };
        let fallback = |g: &mut Gen| match u8::arbitrary(g) % 3 {
            0 => Fallback::PubkeyHash(std::array::from_fn(|_| u8::arbitrary(g))),
            1 => Fallback::ScriptHash(std::array::from_fn(|_| u8::arbitrary(g))),
            _ => {
                let program: [u8; 32] = std::array::from_fn(|_| u8::arbitrary(g));
                let version = bitcoin::WitnessVersion::try_from(u8::arbitrary(g) % 17).expect("0 to 16");
                Fallback::Witness(WitnessProgram::new(version, &program).expect("32 bytes fit every version"))
            }
        };
        let count = |g: &mut Gen, below: usize| usize::arbitrary(g) % below;
        let text: String = String::arbitrary(g).chars().take(150).collect();
        let bits: Vec<usize> = (0..count(g, 6)).map(|_| count(g, 300)).collect();
        Invoice {
            currency: *g.choose(&Network::ALL).expect("four"),
            amount: Some(u64::arbitrary(g))
                .filter(|amount| amount % 4 > 0)
                .map(|amount| Msat(amount >> (amount % 60)))
                .filter(|amount| amount.0 > 0 && amount.0 < 1 << 60),
            timestamp_s: u64::from(u32::arbitrary(g)) * 7,
            payment_hash: PaymentHash(hash(g)),
            payment_secret: PaymentSecret(hash(g)),
            description: if bool::arbitrary(g) { Description::Text(text) } else { Description::Hash(hash(g)) },
            payee: key().public_key(SECP256K1).into(),
            names_payee: bool::arbitrary(g),
            expiry_s: u64::arbitrary(g),
            min_final_cltv_expiry_delta: u32::arbitrary(g),
            fallbacks: (0..count(g, 3)).map(|_| fallback(g)).collect(),
            route_hints: (0..count(g, 3)).map(|_| (0..=count(g, 12)).map(|_| hop(g)).collect()).collect(),
            metadata: Option::<Vec<u8>>::arbitrary(g).map(|metadata| metadata.into_iter().take(639).collect()),
            features: features(&bits),
            signature: Unsigned,
        }
    }
}

quickcheck! {
    fn what_is_written_is_read(invoice: Invoice<Unsigned>) -> bool {
        let text = sign(invoice.prepare().expect("it fits"), &key());
        Invoice::read(&text).expect("our own").unsigned() == invoice
    }

    fn a_payer_knows_four_features_and_ignores_odd_bits(bits: Vec<u8>) -> bool {
        let bits: Vec<usize> = bits.into_iter().map(usize::from).collect();
        let asking = Invoice { features: features(&bits), ..coffee() };
        let text = sign(asking.prepare().expect("it fits"), &key());
        let unknown = bits.into_iter().filter(|bit| bit % 2 == 0 && ![8, 14, 16, 48].contains(bit)).min();
        match (Invoice::parse(&text), unknown) {
            (Ok(invoice), None) => invoice.unsigned() == asking,
            (Err(error), Some(bit)) => error == InvoiceError::UnknownFeature { bit },
            _ => false,
        }
    }

    /// A changed character is always noticed; and behind a corrected checksum, where a hostile payee could put anything,
    /// nothing panics.
    fn mutated_invoices_never_panic(invoice: Invoice<Unsigned>, changes: Vec<(usize, u8)>, cut: usize) -> bool {
        let text = sign(invoice.prepare().expect("it fits"), &key());
        let (prefix, data) = text.rsplit_once('1').expect("a separator");
        let mut symbols: Vec<u8> = data.chars().map(|c| symbols::from_char(c).expect("bech32")).collect();
        symbols.truncate(symbols.len() - 6);
        for (index, value) in &changes {
            let index = index % symbols.len();
            symbols[index] = value % 32;
        }
        symbols.truncate(symbols.len() - cut % 3 * (cut % symbols.len()) / 2);
        let changed = symbols::to_string(prefix, &symbols);
        let _ = Invoice::read(&changed);

        let (at, by) = changes.first().copied().unwrap_or((cut, 1));
        let mut flipped: Vec<char> = text.chars().collect();
        let at = prefix.len() + 1 + at % data.len();
        let value = symbols::from_char(flipped[at]).expect("bech32");
        flipped[at] = bech32::Fe32::try_from((value + 1 + by % 31) % 32).expect("5 bits").to_char();
        Invoice::parse(&flipped.iter().collect::<String>()) == Err(InvoiceError::Checksum)
    }

    fn arbitrary_text_never_panics(text: String, currency: u8) -> bool {
        let prefix = currency_prefix(Network::ALL[usize::from(currency) % 4]);
        let _ = message::recover(b"", &text);
        let _ = Invoice::parse(&format!("ln{prefix}{text}1{text}"));
        Invoice::parse(&text).is_err()
    }

    fn symbols_round_trip(bytes: Vec<u8>) -> bool {
        let mut symbols = Vec::new();
        symbols::push_bytes(&mut symbols, &bytes);
        symbols::to_bytes(&symbols) == bytes
    }

    fn a_signed_message_names_its_signer(text: Vec<u8>, other: Vec<u8>) -> bool {
        let (compact, recovery_id) = sign_digest(message::digest(&text), &key());
        let encoded = message::encode(&compact, recovery_id);
        let signer: NodeId = key().public_key(SECP256K1).into();
        assert_eq!(message::recover(&text, &encoded), Ok(signer));
        text == other || message::recover(&other, &encoded) != Ok(signer)
    }
}

#[test]
fn a_signature_copied_badly_is_explained() {
    use message::MessageError;
    assert_eq!(message::recover(b"", "ybn"), Err(MessageError::Length { actual: 3 }));
    let bad = "y".repeat(103) + "l";
    assert_eq!(message::recover(b"", &bad), Err(MessageError::Character { character: 'l', position: 103 }));
    assert_eq!(message::recover(b"", &"y".repeat(104)), Err(MessageError::Signature));
}

/// Other nodes sign the same text with the same key to the same string.
#[test]
fn a_signed_message_is_that_of_other_nodes() {
    let one = SecretKey::from_slice(&secp256k1::constants::ONE).expect("one is in range");
    let (compact, recovery_id) = sign_digest(message::digest(b"test message"), &one);
    assert_eq!(
        message::encode(&compact, recovery_id),
        "d9tibmnic9t5y41hg7hkakdcra94akas9ku3rmmj4ag9mritc8ok4p5qzefs78c9pqfhpuftqqzhydbdwfg7u6w6wdxcqpqn4sj4e73e"
    );
}
