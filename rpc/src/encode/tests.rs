use bitcoin::hashes::Hash;
use bitcoin::{OutPoint, ScriptBuf, Txid};
use leyden_core::address::NetAddr;
use leyden_core::amount::{Msat, Sat};
use leyden_core::clock::Wall;
use leyden_core::config::Network;
use leyden_core::ids::{BlockHeight, ChannelId, HtlcId, NodeId, PaymentHash, Preimage, ShortChannelId};
use leyden_core::request::channel::{ChannelState, HtlcInfo, HtlcProgress, HtlcStage, PeerChannel, Traffic};
use leyden_core::request::error::PaymentFailure;
use leyden_core::request::invoice::{InvoiceHeld, InvoiceInfo, InvoicePaid, InvoiceStatus};
use leyden_core::request::node::{FeerateEstimate, FeerateStyle, FeeratesInfo, NodeInfo, OurFeatures};
use leyden_core::request::payment::{ForwardInfo, ForwardStatus, XPaid};
use leyden_core::request::wallet::{Addresses, Funds, FundsOutput, OutputStatus};
use leyden_core::request::{ErrorData, ForwardPolicy, RequestError};
use leyden_core::side::{PerSide, Side};
use serde_json::Value;

use super::*;

fn view() -> View {
    View {
        version: "v0.1".into(),
        data_dir: "/var/lib/leyden/regtest".into(),
        network: Network::Regtest,
        binding: vec![NetAddr::Ip4([127, 0, 0, 1], 19_846)],
        settings: Vec::new(),
    }
}

fn text(answer: &Response) -> String {
    let mut out = Vec::new();
    response(&mut out, answer, &view());
    String::from_utf8(out).expect("answers are text")
}

fn both<T>(local: T, remote: T) -> PerSide<T> {
    PerSide { local, remote }
}

fn node(byte: u8) -> NodeId {
    let mut id = [byte; 33];
    id[0] = 2;
    NodeId(id)
}

#[test]
fn getinfo() {
    let info = NodeInfo {
        id: node(1),
        alias: "\u{26a1}".into(),
        color: [0x2f, 0x7f, 0xbf],
        num_peers: 1,
        num_pending_channels: 2,
        num_active_channels: 3,
        num_inactive_channels: 4,
        blockheight: BlockHeight(120),
        fees_collected_msat: Msat(99),
        addresses: vec![NetAddr::Dns("example.org".into(), 9_735)],
        features: OurFeatures { init: vec![0x08], ..OurFeatures::default() },
        warning_backend_sync: None,
        warning_node_sync: Some("wait".into()),
    };
    let id = node(1);
    assert_eq!(
        text(&Response::NodeInfo(Box::new(info))),
        format!(
            r#"{{"id":"{id}","alias":"⚡","color":"2f7fbf","num_peers":1,"num_pending_channels":2,"num_active_channels":3,"num_inactive_channels":4,"address":[{{"type":"dns","address":"example.org","port":9735}}],"binding":[{{"type":"ipv4","address":"127.0.0.1","port":19846}}],"version":"v0.1","blockheight":120,"network":"regtest","fees_collected_msat":99,"lightning-dir":"/var/lib/leyden/regtest","our_features":{{"init":"08","node":"","channel":"","invoice":""}},"warning_lightningd_sync":"wait"}}"#
        )
    );
}

#[test]
fn the_first_address_is_taproot() {
    let p2tr =
        ScriptBuf::from_hex(&format!("5120{}", "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"));
    let p2wpkh = ScriptBuf::from_hex("0014751e76e8199196d454941c45d1b3a323f1433bd6");
    let answer = Addresses { p2tr: p2tr.ok(), p2wpkh: p2wpkh.ok() };
    assert_eq!(
        text(&Response::Addresses(answer)),
        r#"{"p2tr":"bcrt1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqc8gma6","bech32":"bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"}"#
    );
}

#[test]
fn a_paid_invoice() {
    let preimage = Preimage([3; 32]);
    let invoice = InvoiceInfo {
        label: "tea \"1\"".into(),
        description: Some("two\nlines".into()),
        payment_hash: PaymentHash([0xab; 32]),
        status: InvoiceStatus::Paid,
        expires_at_s: 1_700_000_600,
        amount_msat: None,
        bolt11: Some("lnbcrt1".into()),
        created_index: 4,
        updated_index: Some(2),
        held: None,
        paid: Some(InvoicePaid {
            pay_index: 2,
            amount_received_msat: Msat(5),
            paid_at: Wall(1_700_000_000_999),
            preimage,
            outpoint: None,
        }),
    };
    let (hash, preimage) = ("ab".repeat(32), "03".repeat(32));
    let entry = format!(
        r#"{{"label":"tea \"1\"","bolt11":"lnbcrt1","payment_hash":"{hash}","status":"paid","pay_index":2,"amount_received_msat":5,"paid_at":1700000000,"payment_preimage":"{preimage}","description":"two\nlines","expires_at":1700000600,"created_index":4,"updated_index":2}}"#
    );
    assert_eq!(text(&Response::Invoice(Box::new(invoice.clone()))), entry);
    let held = InvoiceHeld {
        amount_received_msat: Msat(5),
        accepted_at: Wall(1_700_000_000_999),
        settle_before: BlockHeight(300),
    };
    let accepted = InvoiceInfo {
        status: InvoiceStatus::Accepted,
        held: Some(held),
        paid: None,
        updated_index: None,
        ..invoice.clone()
    };
    assert_eq!(
        text(&Response::Invoice(Box::new(accepted))),
        format!(
            r#"{{"label":"tea \"1\"","bolt11":"lnbcrt1","payment_hash":"{hash}","status":"accepted","amount_received_msat":5,"accepted_at":1700000000,"settle_before_height":300,"description":"two\nlines","expires_at":1700000600,"created_index":4}}"#
        )
    );
    assert_eq!(text(&Response::Invoices(vec![invoice])), format!(r#"{{"invoices":[{entry}]}}"#));
    assert_eq!(text(&Response::Invoices(Vec::new())), r#"{"invoices":[]}"#);
}

#[test]
fn funds_have_addresses_of_the_network() {
    let script = ScriptBuf::from_hex("0014751e76e8199196d454941c45d1b3a323f1433bd6").expect("hex");
    let output = FundsOutput {
        outpoint: OutPoint { txid: Txid::from_byte_array([1; 32]), vout: 3 },
        amount_sat: Sat(7),
        script,
        status: OutputStatus::Confirmed(BlockHeight(100)),
        reserved_to: Some(BlockHeight(172)),
    };
    let txid = "01".repeat(32);
    assert_eq!(
        text(&Response::Funds(Funds { outputs: vec![output], channels: Vec::new() })),
        format!(
            r#"{{"outputs":[{{"txid":"{txid}","output":3,"amount_msat":7000,"scriptpubkey":"0014751e76e8199196d454941c45d1b3a323f1433bd6","address":"bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080","status":"confirmed","blockheight":100,"reserved":true,"reserved_to_block":172}}],"channels":[]}}"#
        )
    );
}

#[test]
fn feerates_in_the_unit_that_was_asked_for() {
    let info = |style| FeeratesInfo {
        style,
        min_acceptable: 253,
        max_acceptable: 10_000,
        floor: 253,
        by_purpose: None,
        estimates: vec![FeerateEstimate { blocks: 2, feerate_per_kw: 500, smoothed_feerate_per_kw: 400 }],
    };
    let per_kb: Value =
        serde_json::from_str(&text(&Response::Feerates(Box::new(info(FeerateStyle::PerKb))))).expect("JSON");
    assert_eq!(per_kb["perkb"]["floor"], 1_012);
    assert_eq!(per_kb["perkb"]["estimates"][0]["feerate"], 2_000);
    assert!(per_kb.get("warning_missing_feerates").is_some());
    let per_kw: Value =
        serde_json::from_str(&text(&Response::Feerates(Box::new(info(FeerateStyle::PerKw))))).expect("JSON");
    assert_eq!(per_kw["perkw"]["max_acceptable"], 10_000);
}

#[test]
fn times_of_forwards_have_milliseconds() {
    let forward = ForwardInfo {
        created_index: 1,
        updated_index: None,
        in_channel: ShortChannelId::new(103, 1, 0),
        in_htlc: Some(HtlcId(0)),
        in_msat: Msat(1_001),
        out_channel: None,
        out_htlc: None,
        out_msat: None,
        fee_msat: None,
        status: ForwardStatus::LocalFailed,
        failure_code: Some(0x4000 | 10),
        received_at: Wall(1_700_000_000_007),
        resolved_at: None,
    };
    assert_eq!(
        text(&Response::Forwards(vec![forward])),
        r#"{"forwards":[{"created_index":1,"in_channel":"103x1x0","in_htlc_id":0,"in_msat":1001,"status":"local_failed","style":"tlv","failcode":16394,"failreason":"WIRE_UNKNOWN_NEXT_PEER","received_time":1700000000.007}]}"#
    );
}

#[test]
fn a_payment_that_arrived() {
    let paid = XPaid {
        preimage: Preimage([1; 32]),
        failed_parts: 1,
        successful_parts: 2,
        amount_msat: Msat(10),
        amount_sent_msat: Msat(12),
    };
    let preimage = "01".repeat(32);
    assert_eq!(
        text(&Response::XPaid(paid)),
        format!(
            r#"{{"payment_preimage":"{preimage}","amount_msat":10,"amount_sent_msat":12,"failed_parts":1,"successful_parts":2}}"#
        )
    );
}

#[test]
fn a_failure_says_who_and_why() {
    let failure = PaymentFailure {
        failure_code: Some(0x1000 | 7),
        erring_index: Some(1),
        erring_node: Some(node(1)),
        erring_channel: Some(ShortChannelId::new(1, 2, 3)),
        erring_direction: Some(1),
        raw_message: None,
        part: None,
    };
    let error =
        RequestError::new(RequestError::PAY_TRY_OTHER_ROUTE, "failed").with_data(ErrorData::Payment(Box::new(failure)));
    let mut out = Vec::new();
    request_error(&mut out, &error);
    let id = node(1);
    assert_eq!(
        String::from_utf8(out).expect("text"),
        format!(
            r#"{{"code":204,"message":"failed","data":{{"erring_index":1,"failcode":4103,"failcodename":"WIRE_TEMPORARY_CHANNEL_FAILURE","erring_node":"{id}","erring_channel":"1x2x3","erring_direction":1}}}}"#
        )
    );
}

#[test]
fn a_channel_as_clients_know_it() {
    let policy = ForwardPolicy {
        htlc_minimum_msat: Msat(1),
        htlc_maximum_msat: Msat(990_000_000),
        cltv_expiry_delta: 34,
        fee_base_msat: Msat(1_000),
        fee_proportional_millionths: 10,
    };
    let channel = PeerChannel {
        peer_id: node(1),
        peer_connected: true,
        reestablished: true,
        state: ChannelState::Normal,
        channel_id: ChannelId([5; 32]),
        short_channel_id: Some(ShortChannelId::new(103, 1, 0)),
        direction: 1,
        alias: both(Some(ShortChannelId::new(1, 1, 1)), None),
        channel_type: vec![12, 22],
        private: false,
        opener: Side::Local,
        closer: None,
        funding: Some(OutPoint { txid: Txid::from_byte_array([1; 32]), vout: 0 }),
        funded_sat: both(Sat(1_000_000), Sat(0)),
        pushed_msat: Msat(0),
        close_to: None,
        to_us_msat: Msat(999_999_000),
        min_to_us_msat: Msat(999_999_000),
        max_to_us_msat: Msat(1_000_000_000),
        total_msat: Msat(1_000_000_000),
        spendable_msat: Msat(900_000_000),
        receivable_msat: Msat(0),
        feerate_per_kw: 253,
        last_commitment_txid: None,
        last_commitment_fee_msat: Msat(284_000),
        reserve_sat: both(Sat(10_000), Sat(10_001)),
        dust_limit_sat: both(Sat(354), Sat(546)),
        to_self_delay: both(5, 6),
        max_accepted_htlcs: both(483, 30),
        max_htlc_in_flight_msat: both(Msat(1), Msat(2)),
        htlc_minimum_msat: both(Msat(0), Msat(0)),
        policy_local: policy,
        policy_remote: None,
        htlcs: vec![HtlcInfo {
            offered_by: Side::Local,
            id: HtlcId(0),
            amount_msat: Msat(1_000),
            expiry: BlockHeight(150),
            payment_hash: PaymentHash([2; 32]),
            progress: HtlcProgress::Removing(HtlcStage::PeerSigned),
            local_trimmed: true,
        }],
        incoming: Traffic::default(),
        outgoing: Traffic { offered_count: 1, offered_msat: Msat(1_000), ..Traffic::default() },
        status: vec!["CHANNELD_NORMAL:ready".into()],
        lost_state: false,
        last_stable_connection: None,
    };
    let result: Value = serde_json::from_str(&text(&Response::PeerChannels(vec![channel]))).expect("JSON");
    let shown = &result["channels"][0];
    assert_eq!(shown["state"], "CHANNELD_NORMAL");
    assert_eq!(
        shown["channel_type"].to_string(),
        r#"{"bits":[12,22],"names":["static_remotekey/even","anchors/even"]}"#
    );
    assert_eq!(shown["alias"].to_string(), r#"{"local":"1x1x1"}"#);
    assert_eq!(shown["feerate"].to_string(), r#"{"perkw":253,"perkb":1012}"#);
    assert_eq!(shown["our_reserve_msat"], 10_000_000);
    assert_eq!(shown["their_reserve_msat"], 10_001_000);
    assert_eq!(shown["htlcs"][0]["state"], "RCVD_REMOVE_COMMIT");
    assert_eq!(shown["htlcs"][0]["direction"], "out");
    assert_eq!(shown["out_offered_msat"], 1_000);
    assert!(shown.get("closer").is_none());
    assert_eq!(shown["updates"]["local"]["cltv_expiry_delta"], 34);
}

#[test]
fn blocks_and_coins_made_here() {
    use bitcoin::BlockHash;
    use leyden_core::request::dev::{DevGenerated, DevGift};
    let blocks = [1, 2].map(|byte| BlockHash::from_byte_array([byte; 32])).to_vec();
    let hash = |byte: &str| byte.repeat(32);
    let generated = Response::DevGenerated(DevGenerated { height: BlockHeight(7), blocks });
    assert_eq!(
        text(&generated),
        format!(
            r#"{{"blockheight":7,"blocks":[{{"height":6,"hash":"{}"}},{{"height":7,"hash":"{}"}}]}}"#,
            hash("01"),
            hash("02")
        )
    );
    let outpoint = OutPoint::new(Txid::from_byte_array([3; 32]), 1);
    let script = ScriptBuf::from_bytes([&[0, 20][..], &[9; 20]].concat());
    let gift = DevGift { outpoint, amount: Sat(5), script, height: BlockHeight(8) };
    let shown: Value = serde_json::from_str(&text(&Response::DevGift(Box::new(gift)))).expect("JSON");
    assert_eq!(shown["txid"], hash("03"));
    assert_eq!((&shown["output"], &shown["amount_msat"], &shown["blockheight"]), (&1.into(), &5000.into(), &8.into()));
    assert!(shown["address"].as_str().is_some_and(|address| address.starts_with("bcrt1q")), "{shown}");
}
