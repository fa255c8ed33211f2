//! What BOLT 2 and 7 work out in their prose.

use bitcoin::ScriptBuf;
use serde_json::Value;

use super::{cases, file, hex};
use crate::amount::Msat;
use crate::config::{ChannelConfig, Network};
use crate::ids::{BlockHeight, NodeId, ShortChannelId};
use crate::invoice::{DEFAULT_MIN_FINAL_CLTV_EXPIRY_DELTA, RouteHintHop};
use crate::payment::route::{along_hint, forwarding_fee};
use crate::tx::ShutdownRules;

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is a number"))
}

/// A script of one form of the table, with `len` bytes of data.
fn script(prefix: &str, len: u8) -> Vec<u8> {
    let data = vec![7; usize::from(len)];
    let head = match prefix {
        "0014" => vec![0, 0x14],
        "0020" => vec![0, 0x20],
        "51..60 then one push" => vec![0x60, len],
        "6a then length 06..4b" => vec![0x6a, len],
        "6a4c then length 4c..50" => vec![0x6a, 0x4c, len],
        other => panic!("{other} is no form that is known"),
    };
    [head, data].concat()
}

fn check_shutdown_forms(forms: &[Value]) {
    for form in forms {
        let needs: Vec<&str> =
            form["needs"].as_array().expect("a list").iter().map(|name| name.as_str().expect("a name")).collect();
        let (least, most) = (number(&form["data_len"][0]) as u8, number(&form["data_len"][1]) as u8);
        let prefix = form["script_prefix"].as_str().expect("text");
        for (anysegwit, simple_close) in [(false, false), (true, false), (false, true), (true, true)] {
            let rules = ShutdownRules { anysegwit, simple_close };
            let allowed = |len| rules.allow(&ScriptBuf::from(script(prefix, len)));
            let offered = needs.iter().all(|need| match *need {
                "option_shutdown_anysegwit" => anysegwit,
                "option_simple_close" => simple_close,
                other => panic!("{other} is no feature that a form needs"),
            });
            assert_eq!((allowed(least), allowed(most)), (offered, offered), "{form}");
            assert!(!allowed(least - 1) && !allowed(most + 1), "{form} with other lengths");
        }
    }
    // P2PKH and P2SH are allowed no more.
    let all = ShutdownRules { anysegwit: true, simple_close: true };
    let p2pkh = [&[0x76, 0xa9, 0x14][..], &[7; 20], &[0x88, 0xac]].concat();
    let p2sh = [&[0xa9, 0x14][..], &[7; 20], &[0x87]].concat();
    assert!(!all.allow(&ScriptBuf::from(p2pkh)) && !all.allow(&ScriptBuf::from(p2sh)));
}

#[test]
fn the_numbers_of_bolt_2_are_ours() {
    for case in cases("bolt02/worked-examples") {
        let expect = &case["expect"];
        match case["id"].as_str().expect("an id") {
            "bolt02/worked/cltv-expiry-delta" => {
                let delta = ChannelConfig::default_for(Network::Mainnet).cltv_expiry_delta;
                assert!(u64::from(delta) >= number(&expect["value"]), "a forward needs at least so many blocks");
            }
            "bolt02/worked/min-final-cltv-expiry-delta" => {
                assert_eq!(u64::from(DEFAULT_MIN_FINAL_CLTV_EXPIRY_DELTA), number(&expect["value"]));
            }
            "bolt02/worked/shutdown-scripts" => check_shutdown_forms(expect["forms"].as_array().expect("a list")),
            // A funding transaction is never replaced, so no feerate of one is judged.
            "bolt02/worked/rbf-feerate" => {}
            other => panic!("{other} is checked by nobody"),
        }
    }
}

/// The nodes of the example are called A to D.
fn node(name: &Value) -> NodeId {
    NodeId([name.as_str().expect("a name").as_bytes()[0]; 33])
}

fn check_route(updates: &[Value], case: &Value) {
    let route = case["route"].as_array().expect("a list");
    let amount = Msat(number(&case["amount_to_recipient_msat"]));
    let last_expiry = number(&case["shadow_route_cltv"]) + number(&case["min_final_cltv_expiry_delta"]);
    // The origin's own channel costs nothing: what the nodes behind it ask makes the route.
    let hint: Vec<RouteHintHop> = route[1..]
        .windows(2)
        .map(|ends| {
            let of = |update: &&Value| update["from"] == ends[0] && update["to"] == ends[1];
            let update = updates.iter().find(of).expect("every channel has its update");
            RouteHintHop {
                node_id: node(&ends[0]),
                short_channel_id: ShortChannelId(1),
                fee_base_msat: number(&update["fee_base_msat"]) as u32,
                fee_proportional_millionths: number(&update["fee_proportional_millionths"]) as u32,
                cltv_expiry_delta: number(&update["cltv_expiry_delta"]) as u16,
            }
        })
        .collect();
    let payee = node(route.last().expect("a route has an end"));
    let hops = along_hint(&hint, payee, amount, BlockHeight(last_expiry as u32)).expect("small numbers");
    let first = &case["first_htlc"];
    assert_eq!(hops[0].node_id, node(&route[1]));
    assert_eq!(hops[0].amount, Msat(number(&first["amount_msat"])), "{}", case["id"]);
    assert_eq!(u64::from(hops[0].cltv_expiry.0), number(&first["cltv_expiry_offset"]), "{}", case["id"]);
    // The payload of a hop says what the next one receives; the last hop's what it receives itself.
    let told = hops.get(1).unwrap_or(&hops[0]);
    let payload = &case["payload_for_first_hop"];
    assert_eq!(told.amount, Msat(number(&payload["amt_to_forward"])), "{}", case["id"]);
    assert_eq!(u64::from(told.cltv_expiry.0), number(&payload["outgoing_cltv_offset"]), "{}", case["id"]);
    let fees: Vec<u64> =
        hint.iter().map(|hop| forwarding_fee(amount, hop.fee_base_msat, hop.fee_proportional_millionths).0).collect();
    let expected: Vec<u64> = case["hop_fees_msat"].as_array().expect("a list").iter().map(number).collect();
    assert_eq!(fees, expected, "{}", case["id"]);
}

#[test]
fn the_routes_and_names_of_bolt_7_are_ours() {
    let file = file("bolt07/worked-examples");
    let updates = file["params"]["channel_updates"].as_array().expect("a list");
    for case in file["cases"].as_array().expect("a list") {
        if case.get("route").is_some() {
            check_route(updates, case);
            continue;
        }
        let parts = ["block", "tx_index", "output_index"].map(|part| number(&case[part]) as u32);
        let scid = ShortChannelId::new(parts[0], parts[1], parts[2] as u16);
        assert_eq!(Some(scid.to_string().as_str()), case["printed"].as_str());
        assert_eq!(scid.to_string().parse(), Ok(scid));
        assert_eq!(scid.0, number(&case["derived"]["u64"]));
        assert_eq!(scid.0.to_be_bytes().to_vec(), hex(&case["derived"]["hex"]));
        assert_eq!(scid.height(), BlockHeight(parts[0]));
    }
}
