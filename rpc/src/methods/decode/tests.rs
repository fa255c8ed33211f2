use std::path::Path;

use serde_json::Value;

use super::super::tests::{refusal, run};
use super::*;

fn cases(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/bolt11").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut vectors: Value = serde_json::from_str(&text).expect("JSON");
    serde_json::from_value(vectors["cases"].take()).expect("a list")
}

fn shown(method: &str, params: &str) -> Value {
    match run(method, params) {
        Ok(Action::Answer(bytes)) => serde_json::from_slice(&bytes).expect("JSON"),
        other => panic!("{method} {params}: {other:?}"),
    }
}

/// The example of BOLT 11 whose name has this in it.
fn example(part: &str) -> Value {
    let found = cases("valid.json").into_iter().find(|case| case["name"].as_str().is_some_and(|n| n.contains(part)));
    let case = found.unwrap_or_else(|| panic!("no example: {part}"));
    shown("decode", &format!("[{}]", case["invoice"]))
}

#[test]
fn every_example_shows_what_it_says() {
    for case in cases("valid.json") {
        let (name, expected) = (&case["name"], &case["decoded"]);
        let decoded = shown("decode", &format!("[{}]", case["invoice"]));
        assert_eq!(decoded["type"], "bolt11 invoice", "{name}");
        assert_eq!(decoded["valid"], true, "{name}");
        for (ours, theirs) in [
            ("payment_hash", "payment_hash"),
            ("payment_secret", "payment_secret"),
            ("description", "description"),
            ("description_hash", "description_hash"),
            ("created_at", "timestamp"),
        ] {
            assert_eq!(decoded[ours], expected[theirs], "{name}: {ours}");
        }
        assert_eq!(decoded["amount_msat"], expected["amount_msat"], "{name}");
        let expiry = expected["expiry_seconds"].as_u64().unwrap_or(3600);
        assert_eq!(decoded["expiry"], expiry, "{name}");
        assert_eq!(decoded["min_final_cltv_expiry"], expected["min_final_cltv_expiry_delta"].as_u64().unwrap_or(18));
        let lengths = [("fallbacks", "fallbacks"), ("routes", "routes")];
        for (ours, theirs) in lengths {
            let count = |value: &Value| value.as_array().map_or(0, Vec::len);
            assert_eq!(count(&decoded[ours]), count(&expected[theirs]), "{name}: {ours}");
        }

        let mut older = decoded;
        for only_in_decode in ["type", "valid"] {
            older.as_object_mut().expect("an object").remove(only_in_decode);
        }
        assert_eq!(shown("decodepay", &format!("{{\"bolt11\":{}}}", case["invoice"])), older, "{name}");
    }
}

#[test]
fn routes_fallbacks_and_signatures_are_shown_whole() {
    let decoded = example("extra routing info");
    let hop = &decoded["routes"][0][0];
    assert_eq!(hop["pubkey"], "029e03a901b85534ff1e92c43c74431f7ce72046060fcf7a95c37e148f78c77255");
    assert_eq!(hop["short_channel_id"], "66051x263430x1800");
    assert_eq!((&hop["fee_base_msat"], &hop["fee_proportional_millionths"]), (&1.into(), &20.into()));
    assert_eq!(hop["cltv_expiry_delta"], 3);
    assert_eq!(decoded["fallbacks"][0]["type"], "P2PKH");
    assert_eq!(decoded["fallbacks"][0]["addr"], "1RustyRX2oai4EYYDpQGWvEL62BBGqN9T");
    let script = decoded["fallbacks"][0]["hex"].as_str().expect("hex");
    assert!(script.starts_with("76a914") && script.ends_with("88ac"), "{script}");
    // DER, as Bitcoin's scripts have it.
    assert!(decoded["signature"].as_str().is_some_and(|der| der.starts_with("30")));
    assert_eq!(decoded["currency"], "bc");
    assert_eq!(decoded["payee"], "03e7156ae33b0a208d0744199163177e909e80176e55d97a2f221ede0f934dd9ad");
}

#[test]
fn fields_that_nobody_knows_are_passed_on() {
    let with_extra = cases("valid.json")
        .into_iter()
        .map(|case| shown("decode", &format!("[{}]", case["invoice"])))
        .filter(|decoded| decoded.get("extra").is_some());
    let extras: Vec<Value> = with_extra.map(|mut decoded| decoded["extra"].take()).collect();
    assert!(!extras.is_empty(), "BOLT 11 has an example with unknown fields");
    for extra in extras.iter().flat_map(|extra| extra.as_array().expect("a list")) {
        assert!(!KNOWN_FIELDS.contains(extra["tag"].as_str().expect("a letter")));
        assert!(extra["data"].as_str().expect("characters").chars().all(|character| BECH32.contains(character)));
    }
}

#[test]
fn what_is_no_invoice_is_refused() {
    // An invoice with features that this node lacks can be shown all the same.
    for case in cases("invalid.json").into_iter().filter(|case| case["error"] != "unknown_even_feature") {
        let (code, message) = refusal("decode", &format!("[{}]", case["invoice"]));
        assert_eq!(code, -32602, "{}", case["name"]);
        assert!(message.starts_with("Invalid bolt11: "), "{message}");
    }
    assert_eq!(refusal("decodepay", r#"["lnbc1"]"#).0, -32602);
}

#[test]
fn a_description_must_be_the_one_that_was_hashed() {
    let hashed = cases("valid.json").into_iter().find(|case| !case["decoded"]["description_hash"].is_null());
    let invoice = hashed.expect("BOLT 11 has an example")["invoice"].clone();
    let (code, message) = refusal("decodepay", &format!(r#"[{invoice}, "another text"]"#));
    assert_eq!(code, -32602);
    assert!(message.starts_with("description: "), "{message}");
    let text = "One piece of chocolate cake, one icecream cone, one pickle, one slice of swiss cheese, one slice of \
                salami, one lollypop, one piece of cherry pie, one sausage, one cupcake, and one slice of watermelon";
    shown("decodepay", &format!(r#"[{invoice}, "{text}"]"#));
}
