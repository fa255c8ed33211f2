//! Attribution data: the specification's, and what a liar leaves of them.

use quickcheck::quickcheck;

use super::super::crypto::Purpose;
use super::{hex, hex_array, vectors};
use crate::amount::Msat;
use crate::ids::BlockHeight;
use crate::onion::{ATTRIBUTION_SIZE, Attribution, Failure, attribute, hold_times, rewrap, unwrap, wrap};

/// The answers of the specification's nodes, the last node's first: it held the HTLC for the shortest time.
const TIMES: [u32; 5] = [1, 2, 3, 4, 5];

#[test]
fn the_attributed_answers_of_the_specification() {
    let file = vectors("attributable-errors");
    let (failed, fulfilled) = (&file["cases"][0], &file["cases"][1]);
    let hops = failed["hops_from_erring_node"].as_array().expect("hops");
    let fulfilling = fulfilled["hops_from_final_node"].as_array().expect("hops");
    let mut reason = hex(&failed["raw_error_packet"]);
    let (mut behind, mut behind_preimage) = (None, None);
    let mut secrets: Vec<[u8; 32]> = Vec::new();
    for ((hop, fulfilling), time) in hops.iter().zip(fulfilling).zip(TIMES) {
        let secret = hex_array(&hop["shared_secret"]);
        assert_eq!(Purpose::Ammag.key(&secret), hex_array(&hop["ammag_key"]));
        assert_eq!(rewrap(&secret, &vec![0; reason.len()]), hex(&hop["stream"]));
        let data = attribute(&secret, &reason, behind.as_deref(), time);
        assert_eq!(data[..], hex(&hop["attribution_data"]));
        behind = Some(data);
        let data = attribute(&secret, &[], behind_preimage.as_deref(), time);
        assert_eq!(data[..], hex(&fulfilling["attribution_data"]));
        behind_preimage = Some(data);
        reason = rewrap(&secret, &reason);
        assert_eq!(reason, hex(&hop["error_packet"]));
        secrets.insert(0, secret);
    }
    let (failed_data, fulfilled_data) = (behind.expect("five hops"), behind_preimage.expect("five hops"));
    assert_eq!(hold_times(&secrets, &reason, &failed_data), [5, 4, 3, 2, 1]);
    assert_eq!(hold_times(&secrets, &[], &fulfilled_data), [5, 4, 3, 2, 1]);
    let returned = unwrap(&secrets, &reason).expect("nobody spoilt it");
    assert_eq!(returned.hop, 4);
    let (htlc_msat, height) = (Msat(100), BlockHeight(800_000));
    assert_eq!(returned.failure, Ok(Failure::IncorrectOrUnknownPaymentDetails { htlc_msat, height }));
    assert!(hex(&failed["encoded_failure_message"]).starts_with(&returned.message));
}

/// What the sender gets when hop `failing` fails, and `liar` spoils the reason that it passes on.
fn answer(secrets: &[[u8; 32]], failing: usize, liar: Option<usize>) -> (Vec<u8>, Box<Attribution>) {
    let mut reason = rewrap(&secrets[failing], &wrap(&secrets[failing], &Failure::MppTimeout));
    let mut data: Option<Box<Attribution>> = None;
    for hop in (0..=failing).rev() {
        let attributed = attribute(&secrets[hop], &reason, data.as_deref(), hop as u32 + 10);
        reason = rewrap(&secrets[hop], &reason);
        if liar == Some(hop) {
            reason[40] ^= 1;
        }
        data = Some(attributed);
    }
    (reason, data.expect("there are hops"))
}

#[test]
fn a_liar_is_found_between_two_nodes() {
    let secrets = [[1; 32], [2; 32], [3; 32], [4; 32], [5; 32]];
    let (reason, data) = answer(&secrets, 4, Some(2));
    assert_eq!(unwrap(&secrets, &reason), None);
    assert_eq!(hold_times(&secrets, &reason, &data), [10, 11]);
}

quickcheck! {
    fn prop_all_hold_times_are_found(hops: u8, failing: u8) -> bool {
        let secrets: Vec<[u8; 32]> = (1..=hops % 20 + 1).map(|hop| [hop; 32]).collect();
        let failing = usize::from(failing) % secrets.len();
        let (reason, data) = answer(&secrets, failing, None);
        let times = hold_times(&secrets, &reason, &data);
        (0..=failing as u32).map(|hop| hop + 10).eq(times) && unwrap(&secrets, &reason).is_some()
    }

    fn prop_any_data_are_wrong(hops: u8, reason: Vec<u8>, byte: u8) -> bool {
        let secrets: Vec<[u8; 32]> = (0..hops % 30).map(|hop| [hop; 32]).collect();
        hold_times(&secrets, &reason, &[byte; ATTRIBUTION_SIZE]).is_empty()
    }
}
