//! Every bound of every queue, table and buffer, checked against each other at compile time.

use crate::amount::Sat;

/// BOLT 1: a message's length is a `u16`.
pub const MESSAGE_SIZE_MAX: usize = 65_535;
/// BOLT 8: an encrypted length with its tag, the message, its tag.
pub const FRAME_SIZE_MAX: usize = 18 + MESSAGE_SIZE_MAX + 16;
/// One peer's write buffer while it holds anything.
pub const WRITE_BUFFER_SIZE: usize = 512 * 1024;

/// HTLCs and onions whose memory is kept for others, a node.
pub const SPARE_HTLCS_MAX: usize = 256;

/// BOLT 2: no side may accept more HTLCs than this.
pub const HTLCS_OFFERED_MAX: u16 = 483;
/// What we tell a peer it may have in flight towards us (`max_accepted_htlcs`).
pub const HTLCS_ACCEPTED_MAX: u16 = 483;
/// How many of our own adds may wait for the peer's `revoke_and_ack`: all of them are sent again in one go
/// after a reconnection, so they must fit into an empty write buffer.
pub const ADDS_UNACKED_MAX: usize = 120;
/// How many of our own removals may wait for the peer's `revoke_and_ack`, for the same reason.
pub const REMOVALS_UNACKED_MAX: usize = 240;

const ADD_FRAME_SIZE: usize = 18 + 1452 + 35 + 16;
const FAIL_FRAME_SIZE: usize = 18 + 44 + 300 + 16;
const COMMIT_FRAME_SIZE: usize = 18 + 2 + 98 + 64 * 2 * HTLCS_OFFERED_MAX as usize + 36 + 16;
// Mandatory traffic fits by construction: a full retransmission, and one more answer of any kind.
const _: () = assert!(
    ADDS_UNACKED_MAX * ADD_FRAME_SIZE + REMOVALS_UNACKED_MAX * FAIL_FRAME_SIZE + COMMIT_FRAME_SIZE + FRAME_SIZE_MAX
        <= WRITE_BUFFER_SIZE
);
const _: () = assert!(2 * FRAME_SIZE_MAX <= WRITE_BUFFER_SIZE);

/// Connections, in either direction, known or not.
pub const PEERS_MAX: usize = 4_096;
/// Connections from nodes with which we share no channel.
pub const STRANGERS_MAX: usize = 1_024;
/// Channels in all phases but `Closed`.
pub const CHANNELS_MAX: usize = 16_384;
/// Channels with one peer.
pub const CHANNELS_PER_PEER_MAX: usize = 256;
/// Channels that peers opened to us and whose funding is not confirmed (a fake open costs its maker nothing).
pub const UNFUNDED_CHANNELS_MAX: usize = 256;
/// The same, with one peer.
pub const UNFUNDED_CHANNELS_PER_PEER_MAX: usize = 8;
/// BOLT 2: the fundee may forget a channel that is not funded after this many blocks.
pub const FUNDING_FORGET_BLOCKS: u32 = 2016;

/// Invoices that are neither paid nor expired.
pub const INVOICES_OPEN_MAX: usize = 100_000;
/// Outgoing payments in flight.
pub const PAYMENTS_IN_FLIGHT_MAX: usize = 20_000;
/// Outgoing payments that have found no room and wait for some.
pub const PAYMENTS_WAITING_MAX: usize = 10_000;
const _: () = assert!(PAYMENTS_WAITING_MAX <= PAYMENTS_IN_FLIGHT_MAX);
/// Peers whose channels one payment waits for.
pub const PEERS_WAITED_FOR_MAX: usize = 8;
/// Payments that are passed over when room has come that is too small for them.
pub const PASSED_OVER_MAX: usize = 16;
/// Commitments whose keys wait to be derived ahead of their use, and as many whose keys have been: an idle node has few
/// channels that move.
pub const KEYS_AHEAD_MAX: usize = 8;
/// Parts of one outgoing payment.
pub const PAYMENT_PARTS_MAX: usize = 64;
/// Requests that wait for something to happen (`waitsendpay`, `waitanyinvoice`, …).
pub const WAITERS_MAX: usize = 10_000;
/// Rows of stored history in one answer to the core.
pub const HISTORY_PAGE_ROWS: usize = 512;
/// Entries of stored history in one answer to a client.
pub const HISTORY_ANSWER_ROWS: usize = 100_000;

/// BOLT 4: no route may lock money for longer.
pub const HTLC_CLTV_MAX: u32 = 2016;
/// BOLT 2: the smallest `dust_limit_satoshis` either side may use.
pub const DUST_LIMIT_MIN: Sat = Sat(354);
/// The largest `dust_limit_satoshis` we accept: more would let a peer burn our money as fees.
pub const DUST_LIMIT_MAX: Sat = Sat(1_062);
/// BOLT 2: channels at or above this size need `option_support_large_channel`.
pub const FUNDING_LARGE: Sat = Sat(1 << 24);

/// Blocks before the expiry of an HTLC that we have fulfilled at which its channel goes on chain (BOLT 2,
/// `cltv_expiry_delta` selection: 18). What a client holds goes back when so many are left: a claim that begins later
/// could not be carried through.
pub const FULFILLED_DEADLINE_BLOCKS: u32 = 18;
