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
    /// After a reconnection the signature is said again, and the updates that it is for are not.
    UpdatesNotRepeated,
    /// A second `channel_reestablish` on a connection closes the channel.
    SecondReestablishFails,
    /// Whoever reestablishes a channel that nobody knows gets no answer.
    SilentOnUnknownChannel,
    /// A feerate counts for our own commitment before the peer may use it.
    EarlyFee,
    /// In our own commitments outputs of equal amount stand in the wrong order.
    OutputOrder,
    /// A `channel_ready` that was lost is not said again.
    ReadyNotRepeated,
    /// A feerate that makes too much dust ends the connection.
    CutOnDust,
    /// A feerate of the peer that is far from our own estimate is refused.
    StrictFeeBounds,
    /// Nobody waits for the answer to a ping.
    NoPongDeadline,
    /// A preimage that comes with the deadline closes the channel before the peer has heard of it.
    NoGraceAtDeadline,
    /// Of a payment in parts only the first is claimed.
    OnePartClaimed,
    /// Parts that never left are taken for under way after a restart.
    PartsOutliveRestart,
    /// Parts that are held are not given back before they expire.
    HeldTooLong,
    /// A node that is stopped tells its peers by an error.
    ErrorOnStop,
    /// An opening is not given up with its connection.
    OpeningOutlivesConnection,
    /// After a reconnection `shutdown` is not said again.
    ShutdownNotRepeated,
    /// No closing fee but our own is good enough.
    StubbornClosing,
    /// A new connection never takes the place of an old one.
    OldConnectionStays,
    /// Pings that are not to be answered are answered.
    OddPingsAnswered,
    /// Blocks that are taken back are still counted.
    HeightOnlyGrows,
    /// What clients hold is judged anew after a restart.
    AcceptedForgotten,
    /// Whoever cannot be reached is called again without a pause.
    NoBackOff,
    /// Closing fees that do not suit both close the channel on chain.
    DisjointFeesFail,
    /// A closing fee that did not suit both is not talked about again.
    NoSecondTalk,
    /// Whatever is wrong with the chain's backend, nobody is told.
    BackendTroubleHidden,
    /// A closing transaction that the backend refuses is not said again.
    RefusedForEver,
    /// What clients hold is settled however late it is.
    LateSettle,
}

impl Mutation {
    /// All of them, with their names.
    pub const ALL: [(Mutation, &'static str); 37] = [
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
        (Mutation::UpdatesNotRepeated, "updates_not_repeated"),
        (Mutation::SecondReestablishFails, "second_reestablish_fails"),
        (Mutation::SilentOnUnknownChannel, "silent_on_unknown_channel"),
        (Mutation::EarlyFee, "early_fee"),
        (Mutation::OutputOrder, "output_order"),
        (Mutation::ReadyNotRepeated, "ready_not_repeated"),
        (Mutation::CutOnDust, "cut_on_dust"),
        (Mutation::StrictFeeBounds, "strict_fee_bounds"),
        (Mutation::NoPongDeadline, "no_pong_deadline"),
        (Mutation::NoGraceAtDeadline, "no_grace_at_deadline"),
        (Mutation::OnePartClaimed, "one_part_claimed"),
        (Mutation::PartsOutliveRestart, "parts_outlive_restart"),
        (Mutation::HeldTooLong, "held_too_long"),
        (Mutation::ErrorOnStop, "error_on_stop"),
        (Mutation::OpeningOutlivesConnection, "opening_outlives_connection"),
        (Mutation::ShutdownNotRepeated, "shutdown_not_repeated"),
        (Mutation::StubbornClosing, "stubborn_closing"),
        (Mutation::OldConnectionStays, "old_connection_stays"),
        (Mutation::OddPingsAnswered, "odd_pings_answered"),
        (Mutation::HeightOnlyGrows, "height_only_grows"),
        (Mutation::AcceptedForgotten, "accepted_forgotten"),
        (Mutation::NoBackOff, "no_back_off"),
        (Mutation::DisjointFeesFail, "disjoint_fees_fail"),
        (Mutation::NoSecondTalk, "no_second_talk"),
        (Mutation::BackendTroubleHidden, "backend_trouble_hidden"),
        (Mutation::RefusedForEver, "refused_for_ever"),
        (Mutation::LateSettle, "late_settle"),
    ];

    /// The ten that runs drawn from seeds must find; the others belong to single scenarios.
    pub const SOAK: [Mutation; 10] = [
        Mutation::PersistAfterSend,
        Mutation::RetransmissionOrder,
        Mutation::ForgottenHtlcOnRestart,
        Mutation::OffByOneDust,
        Mutation::DoubleForward,
        Mutation::WrongFeeDirection,
        Mutation::LostPreimage,
        Mutation::StaleTimer,
        Mutation::QueueLeak,
        Mutation::WrongReserve,
    ];
}

/// Is this bug in the node?
#[cfg(not(feature = "mutations"))]
#[inline]
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
