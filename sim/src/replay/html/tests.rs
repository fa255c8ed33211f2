use leyden_core::amount::Msat;
use leyden_core::command::Command;
use leyden_core::ids::{ChannelId, ConnId, PaymentHash, Preimage, RequestId};
use leyden_core::request::RequestError;
use leyden_core::wire::{UpdateAddHtlc, UpdateFulfillHtlc, Warning};

use super::super::engine::{At, Watcher};
use super::super::timeline::{Collector, merge};
use super::*;

const CONN: ConnId = ConnId { slot: 3, generation: 1 };
const CHANNEL: ChannelId = ChannelId([7; 32]);

fn send(collector: &mut Collector, turn: u64, message: impl Into<Message<'static>>) {
    let message = message.into();
    collector.command(At { turn, step: 0 }, &Command::Send { conn: CONN, message: &message });
}

/// The data of a page, as a browser reads it.
fn data_of(page: &str) -> Value {
    let (_, rest) = page.split_once("type=\"application/json\">").expect("the page has data");
    let (data, _) = rest.split_once("</script>").expect("the data has an end");
    serde_json::from_str(data).expect("JSON")
}

#[test]
fn the_page_knows_what_a_message_says_and_what_it_is_about() {
    let preimage = Preimage([5; 32]);
    let hash: PaymentHash = preimage.payment_hash();
    let mut collector = Collector::whole(0, Wall(1_700_000_000_000), Level::Debug);
    send(
        &mut collector,
        1,
        UpdateAddHtlc {
            channel_id: CHANNEL,
            id: 4,
            amount_msat: Msat(10_000),
            payment_hash: hash,
            cltv_expiry: 120,
            onion_routing_packet: &[9; 1366],
            blinded_path: None,
        },
    );
    send(
        &mut collector,
        1,
        UpdateFulfillHtlc { channel_id: CHANNEL, id: 1, payment_preimage: preimage, attribution_data: None },
    );
    let timeline = merge(vec![NodeId([2; 33])], vec![collector.finish()]);
    let data = data_of(&page(&timeline));
    assert_eq!(data["channels"][0][0], CHANNEL.to_string());
    assert_eq!(data["payments"][0], hash.to_string());
    // It is known who sent it, not to whom.
    assert_eq!(data["lanes"][1][0], "others");
    let [name, number, length, fields] = data["entries"][0][10].as_array().expect("a message").as_slice() else {
        panic!("{data}")
    };
    assert_eq!((name.as_str(), number.as_u64(), length.as_u64()), (Some("update_add_htlc"), Some(128), Some(1452)));
    let fields: Vec<&str> = fields.as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    let hash = hash.to_string();
    for pair in [["id", "4"], ["amount_msat", "10000 msat"], ["payment_hash", &hash], ["cltv_expiry", "120"]] {
        assert!(fields.chunks(2).any(|field| field == pair), "{pair:?} in {fields:?}");
    }
    for entry in [0, 1] {
        assert_eq!(data["entries"][entry][8], json!([0]));
        assert_eq!(data["entries"][entry][9], json!([0]));
    }
}

#[test]
fn what_peers_write_stays_data() {
    let evil = "</script><script>alert(1)</script><!--";
    let mut collector = Collector::whole(0, Wall(0), Level::Debug);
    send(&mut collector, 1, Warning { channel_id: CHANNEL, data: evil.as_bytes() });
    let error = RequestError { code: -1, message: evil.to_owned(), data: None };
    collector.command(At { turn: 1, step: 0 }, &Command::Reply { id: RequestId(1), result: &Err(error) });
    let page = page(&merge(vec![NodeId([2; 33])], vec![collector.finish()]));
    assert!(!page.contains("alert(1)</script>") && !page.contains(evil));
    let data = data_of(&page);
    assert!(data["entries"][0][5].as_str().is_some_and(|text| text.contains(evil)), "{data}");
    assert!(data["entries"][1][5].as_str().is_some_and(|text| text.contains(evil)), "{data}");
    // Nothing is loaded from anywhere.
    for word in ["http://", "https://", "src=", "href=", "url(", "@import", "innerHTML"] {
        let allowed = "http://www.w3.org/2000/svg";
        assert!(!page.replace(allowed, "").contains(word), "{word}");
    }
}
