//! Memory of HTLCs that have ended, for those that begin: a busy channel allocates nothing for an HTLC.

use super::ledger::{Detail, Htlc, Peeled};
use crate::limits::SPARE_HTLCS_MAX;
use crate::onion::ONION_SIZE;

/// What is left of HTLCs and onions. Nothing of their contents matters: only the memory stays.
// The boxes themselves are what is kept.
#[allow(clippy::vec_box)]
#[derive(Default)]
pub(super) struct Spare {
    htlcs: Vec<Box<Htlc>>,
    payloads: Vec<Vec<u8>>,
    onions: Vec<Box<[u8; ONION_SIZE]>>,
}

fn keep<T>(spare: &mut Vec<T>, thing: T) {
    if spare.len() < SPARE_HTLCS_MAX {
        spare.push(thing);
    }
}

impl Spare {
    /// Puts an HTLC into a box.
    pub(super) fn htlc(&mut self, htlc: Htlc) -> Box<Htlc> {
        match self.htlcs.pop() {
            Some(mut place) => {
                *place = htlc;
                place
            }
            None => Box::new(htlc),
        }
    }

    /// Copies an onion into a box.
    pub(super) fn onion(&mut self, onion: &[u8; ONION_SIZE]) -> Box<[u8; ONION_SIZE]> {
        match self.onions.pop() {
            Some(mut place) => {
                *place = *onion;
                place
            }
            None => Box::new(*onion),
        }
    }

    /// Copies the payload of an onion.
    pub(super) fn payload(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut place = self.payloads.pop().unwrap_or_default();
        place.clear();
        place.extend_from_slice(payload);
        place
    }

    /// This HTLC has ended.
    pub(super) fn keep_htlc(&mut self, mut htlc: Box<Htlc>) {
        if let Detail::Received { onion: Peeled::Payload { payload, .. } | Peeled::Blinded { payload, .. }, .. } =
            &mut htlc.detail
        {
            keep(&mut self.payloads, std::mem::take(payload));
        }
        keep(&mut self.htlcs, htlc);
    }

    /// Nobody needs this onion again.
    pub(super) fn keep_onion(&mut self, onion: Box<[u8; ONION_SIZE]>) {
        keep(&mut self.onions, onion);
    }
}
