//! `channel_reestablish`: what both ends still have to send each other, and what it means if that does not add up.

use crate::command::Level;
use crate::ids::ConnId;
use crate::mutation::{Mutation, is_active};
use crate::side::Side;
use crate::wire::{self, Message};

use super::ledger::{Received, Step};
use super::{Channel, ChannelError, Cx, Link, Phase};

/// What the peer's numbers tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Both ends agree up to messages that were lost.
    InStep,
    /// The peer knows of a revocation that we never made: either our data is old, or the peer lies. The secret tells.
    ClaimsWeAreBehind,
    /// The peer has signed more than we have received and could not have lost, without any proof.
    Ahead,
    /// The peer has forgotten what it once had.
    PeerBehind,
}

/// Compares the peer's numbers with ours. Pure, so that every order of losses can be tried in a test.
pub(super) fn judge(ours: &Numbers, next_commitment: u64, next_revocation: u64) -> Verdict {
    // BOLT 2, message retransmission. `next_revocation` is the number of the commitment of ours whose secret the
    // peer waits for; we may have sent one `revoke_and_ack` that it did not get.
    if next_revocation > ours.revoked_local {
        return Verdict::ClaimsWeAreBehind;
    }
    if next_revocation + 1 < ours.revoked_local {
        return Verdict::PeerBehind;
    }
    // `next_commitment` is the number of the next commitment that the peer expects; one may have been lost, but only
    // if it was not acknowledged.
    if next_commitment > ours.signed_remote + 1 {
        return Verdict::Ahead;
    }
    let lost_one = next_commitment == ours.signed_remote && ours.signed_remote > ours.revoked_remote;
    if next_commitment == ours.signed_remote + 1 || lost_one { Verdict::InStep } else { Verdict::PeerBehind }
}

/// Our side of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) signed_remote: u64,
    pub(super) revoked_remote: u64,
    pub(super) revoked_local: u64,
}

impl Channel {
    /// The peer is here (again): `channel_reestablish` is the first message about this channel (BOLT 2).
    pub fn connected(&mut self, cx: &mut Cx<'_>, conn: ConnId) {
        assert_eq!(self.link, Link::Offline, "the old connection is gone before a new one comes");
        if self.row.phase == Phase::Closed {
            return;
        }
        self.link = Link::Reestablishing { conn };
        let received = self.ledger.received();
        let last_secret = match received.revokes.checked_sub(1) {
            Some(number) => self.secrets.get(number).expect("every revoked secret is kept").0,
            None => [0; 32],
        };
        let point = self.local_point(cx, self.ledger.latest_number(Side::Local));
        let reestablish = wire::ChannelReestablish {
            channel_id: self.row.id,
            next_commitment_number: received.commits + 1,
            next_revocation_number: received.revokes,
            your_last_per_commitment_secret: last_secret,
            my_current_per_commitment_point: point.0,
            next_funding: None,
            my_current_funding_locked: None,
        };
        if is_active(Mutation::QueueLeak) && self.ledger.awaiting_revoke() {
            self.send_commitment(cx);
        }
        self.send(cx, &Message::ChannelReestablish(reestablish));
        self.shutdown_unsent = self.row.shutdown.local.is_some() && !is_active(Mutation::ShutdownNotRepeated);
    }

    pub(super) fn receive_reestablish(
        &mut self,
        cx: &mut Cx<'_>,
        theirs: &wire::ChannelReestablish,
    ) -> Result<(), ChannelError> {
        let Link::Reestablishing { conn } = self.link else { return Ok(()) };
        let (next_commitment, next_revocation) = (theirs.next_commitment_number, theirs.next_revocation_number);
        let bad = ChannelError::BadReestablish { next_commitment, next_revocation };
        if self.row.behind {
            return Err(ChannelError::WeAreBehind {
                theirs: next_revocation,
                ours: self.ledger.oldest_number(Side::Local),
            });
        }
        if self.repeat_close(cx, conn) {
            return Ok(());
        }
        if matches!(self.row.phase, Phase::OnChain { .. }) {
            // A peer that knows of no close learns of it by this error, and can claim what is its own.
            return Err(ChannelError::Gone);
        }
        // BOLT 2: a zero can only mean that the peer wants the channel closed.
        if next_commitment == 0 {
            return Err(bad);
        }
        let numbers = Numbers {
            signed_remote: self.ledger.latest_number(Side::Remote),
            revoked_remote: self.ledger.oldest_number(Side::Remote),
            revoked_local: self.ledger.oldest_number(Side::Local),
        };
        let proof_holds = match next_revocation.checked_sub(1) {
            Some(number) => self.is_our_secret(cx, number, &theirs.your_last_per_commitment_secret),
            None => true,
        };
        match judge(&numbers, next_commitment, next_revocation) {
            Verdict::ClaimsWeAreBehind if proof_holds => {
                // It has a secret of ours that we do not remember giving away. What we would broadcast is revoked.
                self.row.behind = true;
                self.put_row(cx);
                let (ours, theirs) = (numbers.revoked_local, next_revocation);
                self.note(
                    cx,
                    Level::Error,
                    format_args!(
                        "the peer proved that the data of channel {} is old (we are at {ours}, it is at {theirs}): \
                         nothing will be broadcast; the peer was asked to close",
                        self.row.id
                    ),
                );
                Err(ChannelError::WeAreBehind { theirs, ours })
            }
            Verdict::ClaimsWeAreBehind => Err(bad),
            Verdict::Ahead => {
                // No proof, so we do not take our data for old; but neither can the channel go on.
                let ours = numbers.signed_remote;
                self.note(
                    cx,
                    Level::Error,
                    format_args!(
                        "the peer of channel {} expects commitment {next_commitment}, we have signed {ours}: \
                         if this node's data was restored from a copy, do not close the channel from here",
                        self.row.id
                    ),
                );
                Err(ChannelError::WeAreBehind { theirs: next_commitment, ours })
            }
            Verdict::PeerBehind => {
                // It may come back with its data; until then nothing of ours is at risk, so nothing is broadcast.
                Err(ChannelError::PeerBehind { next_commitment, ours: numbers.signed_remote })
            }
            Verdict::InStep if !proof_holds => Err(bad),
            Verdict::InStep => {
                self.link = Link::Live { conn };
                let received = Received { commits: next_commitment - 1, revokes: next_revocation };
                self.resume(cx, received)
            }
        }
    }

    /// Sends what the peer has missed, and goes on.
    fn resume(&mut self, cx: &mut Cx<'_>, theirs: Received) -> Result<(), ChannelError> {
        // BOLT 2: `channel_ready` is sent again while neither side has gone past the first commitment.
        let fresh = theirs.commits == 0 && self.ledger.received().commits == 0;
        if fresh && self.row.ready.local && !is_active(Mutation::ReadyNotRepeated) {
            self.send_ready(cx);
        }
        for step in self.ledger.retransmit(theirs) {
            match step {
                Step::SendRevoke => self.send_revoke(cx),
                Step::SendCommit => {
                    self.resend_updates(cx)?;
                    self.send_commitment(cx);
                }
                Step::RecvCommit | Step::RecvRevoke => {}
            }
        }
        self.check_depth(cx, cx.chain.height());
        self.resend_announcement(cx);
        self.dirty = true;
        self.tell_up(cx);
        if self.row.ready.local && self.row.ready.remote {
            cx.effects.push(super::Effect::UpdateDue { channel: self.key });
        }
        // BOLT 2: `shutdown` is sent again if it was sent before, and the talk about the fee begins anew.
        self.advance_close(cx);
        Ok(())
    }
}
