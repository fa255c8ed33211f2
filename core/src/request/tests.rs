use bitcoin::hashes::Hash;
use bitcoin::{OutPoint, ScriptBuf, Txid};

use super::payment::{PayStatus, SendPayInfo};
use super::wallet::Withdraw;
use super::*;
use crate::amount::{Msat, Sat};
use crate::ids::PaymentHash;

fn round_trip<T: bincode::Encode + bincode::Decode<()> + PartialEq + std::fmt::Debug>(value: &T) {
    let config = bincode::config::standard();
    let bytes = bincode::encode_to_vec(value, config).expect("plain data always encodes");
    let (back, used): (T, usize) = bincode::decode_from_slice(&bytes, config).expect("what was encoded decodes");
    assert_eq!((&back, used), (value, bytes.len()));
}

#[test]
fn recorded_requests_come_back_as_they_were() {
    round_trip(&Request::Getinfo);
    let outpoint = OutPoint { txid: Txid::from_byte_array([7; 32]), vout: 1 };
    round_trip(&Request::Withdraw(Box::new(Withdraw {
        destination: ScriptBuf::from_bytes(vec![0x51; 34]),
        amount: AmountOrAll::Amount(Sat(5_000)),
        feerate: Some(FeerateChoice::Blocks(6)),
        min_confirmations: 1,
        utxos: Some(vec![outpoint]),
    })));
    round_trip(&Request::Close(Box::new(channel::Close {
        channel: channel::ChannelName::Scid(ShortChannelId::new(103, 1, 0)),
        unilateral_timeout_s: Some(30),
        destination: Some(ScriptBuf::new()),
        fee_range: Some((FeerateChoice::PerKw(253), FeerateChoice::Urgent)),
    })));
}

#[test]
fn failures_carry_what_programs_need() {
    let part = SendPayInfo {
        created_index: 1,
        updated_index: Some(1),
        group_id: 1,
        part_id: 0,
        payment_hash: PaymentHash([1; 32]),
        status: PayStatus::Failed,
        amount_msat: Some(Msat(10)),
        amount_sent_msat: Msat(11),
        destination: None,
        created_at_s: 1_700_000_000,
        completed_at: None,
        label: None,
        bolt11: None,
        description: None,
        preimage: None,
        error_onion: None,
        message: None,
    };
    let error = RequestError::new(RequestError::PAY_UNPARSEABLE_ONION, "Malformed error reply")
        .with_data(ErrorData::OnionReply { reply: vec![1, 2, 3], part: Some(Box::new(part)) });
    round_trip(&error);
    assert_eq!(error.to_string(), "Malformed error reply (code 202)");
}
