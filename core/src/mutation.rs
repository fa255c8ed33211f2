//! Seeded bugs: proof that the scenarios and the soak can fail.
//!
//! Each place where a well-known bug could live has a hook that makes it so. Without the feature `mutations` no hook
//! ever acts, and nothing of them is left in what is built. `docs/mutations.md` says which test finds which bug.

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mutation {
    /// What a turn says leaves before what it wrote is kept.
    PersistAfterSend,
    /// After a reconnection, `commitment_signed` and `revoke_and_ack` come in the other order.
    RetransmissionOrder,
    /// HTLCs that waited for a decision are not handed in again after a restart.
    ForgottenHtlcOnRestart,
    /// Our own commitments leave out HTLCs that are exactly at the threshold.
    OffByOneDust,
    /// An HTLC that is offered onwards is decided once more after a restart.
    DoubleForward,
    /// A forward hands on what it should earn.
    WrongFeeDirection,
    /// A preimage that has not been signed for is forgotten with the connection.
    LostPreimage,
    /// The timer of an unanswered ping outlives its connection.
    StaleTimer,
    /// What waited for an old connection goes out at the beginning of the new one.
    QueueLeak,
    /// Our adds do not respect the reserve that the peer demands.
    WrongReserve,
}

impl Mutation {
    /// All of them, with their names.
    pub const ALL: [(Mutation, &'static str); 10] = [
        (Mutation::PersistAfterSend, "persist_after_send"),
        (Mutation::RetransmissionOrder, "retransmission_order"),
        (Mutation::ForgottenHtlcOnRestart, "forgotten_htlc_on_restart"),
        (Mutation::OffByOneDust, "off_by_one_dust"),
        (Mutation::DoubleForward, "double_forward"),
        (Mutation::WrongFeeDirection, "wrong_fee_direction"),
        (Mutation::LostPreimage, "lost_preimage"),
        (Mutation::StaleTimer, "stale_timer"),
        (Mutation::QueueLeak, "queue_leak"),
        (Mutation::WrongReserve, "wrong_reserve"),
    ];
}

/// Is this bug in the node?
#[cfg(not(feature = "mutations"))]
#[inline(always)]
pub const fn is_active(_mutation: Mutation) -> bool {
    false
}

#[cfg(feature = "mutations")]
thread_local! {
    static ACTIVE: std::cell::Cell<Option<Mutation>> = const { std::cell::Cell::new(None) };
}

/// Is this bug in the nodes of this thread?
#[cfg(feature = "mutations")]
pub fn is_active(mutation: Mutation) -> bool {
    ACTIVE.get() == Some(mutation)
}

/// From now on the nodes of this thread have this bug, or none.
#[cfg(feature = "mutations")]
pub fn activate(mutation: Option<Mutation>) {
    ACTIVE.set(mutation);
}
