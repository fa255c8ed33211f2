//! Why a transaction is refused, with bitcoind's name for it.

use std::fmt;

use bitcoin::{OutPoint, Txid};

/// Why the mempool or a block refuses a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It has no inputs.
    NoInputs,
    /// It has no outputs.
    NoOutputs,
    /// Without its witnesses it is too large for any block.
    Oversize {
        /// What it weighs without witnesses.
        weight: u64,
    },
    /// An output is worth more than all coins.
    OutputTooLarge {
        /// Which output.
        vout: usize,
        /// What it is worth.
        value_sat: u64,
    },
    /// The outputs together are worth more than all coins.
    TotalTooLarge,
    /// Two inputs spend the same output.
    DuplicateInput(OutPoint),
    /// An input names no output though it is no coinbase, or a coinbase's script has a forbidden length.
    NullInput,
    /// A coinbase outside of a block.
    Coinbase,
    /// Its version is none that is relayed.
    Version(i32),
    /// It is heavier than what is relayed.
    Weight {
        /// What it weighs.
        weight: u64,
        /// What it may weigh.
        limit: u64,
    },
    /// It is so small that it could be mistaken for a node of the merkle tree.
    TooSmall {
        /// Its size without witnesses.
        size: usize,
    },
    /// An input's `scriptSig` is too long.
    ScriptSigSize {
        /// Which input.
        input: usize,
        /// How long it is.
        size: usize,
    },
    /// An input's `scriptSig` does more than push.
    ScriptSigNotPushOnly {
        /// Which input.
        input: usize,
    },
    /// An output pays to an unknown kind of script, or carries too much data.
    OutputScript {
        /// Which output.
        vout: usize,
    },
    /// An output pays to a bare multisig script, and policy does not permit that.
    BareMultisig {
        /// Which output.
        vout: usize,
    },
    /// More outputs are dust than a transaction may have.
    Dust {
        /// How many are dust.
        outputs: usize,
        /// How many may be.
        limit: usize,
    },
    /// It has a dust output and pays a fee: dust is allowed only where a miner gains nothing by mining it alone.
    DustPaysFee {
        /// The fee.
        fee_sat: u64,
    },
    /// More than one output carries data.
    MultiOpReturn {
        /// How many do.
        count: usize,
    },
    /// Its lock time has not come.
    NonFinal {
        /// The lock time as it is encoded.
        lock_time: u32,
        /// The height of the next block.
        height: u32,
        /// The median time that counts for the next block.
        mtp_s: u32,
    },
    /// The relative lock time of an input has not come (BIP 68).
    NonBip68Final {
        /// Which input.
        input: usize,
    },
    /// It is in the mempool already.
    AlreadyInMempool,
    /// It is in the mempool with other witnesses.
    SameTxidInMempool,
    /// It is in a block already, and some of its outputs are unspent.
    AlreadyKnown,
    /// An input does not exist, or is spent in a block.
    MissingInput(OutPoint),
    /// An input is spent by another transaction of the mempool, and policy does not replace.
    Conflict(OutPoint),
    /// A coinbase's output is spent too early.
    Immature {
        /// Which input.
        input: usize,
        /// How many blocks have been built on the coinbase, the next one included.
        depth: u32,
    },
    /// It pays out more than its inputs are worth.
    Inflation {
        /// What the inputs are worth.
        in_sat: u64,
        /// What the outputs are worth.
        out_sat: u64,
    },
    /// An input spends a kind of script that is not relayed.
    InputNonStandard {
        /// Which input.
        input: usize,
    },
    /// An input's witness is not of a shape that is relayed.
    WitnessNonStandard {
        /// Which input.
        input: usize,
    },
    /// Its signature operations cost too much.
    SigOps {
        /// What they cost.
        cost: u64,
        /// What they may cost.
        limit: u64,
    },
    /// It pays less than what is relayed at all.
    MinRelayFee {
        /// What it pays.
        fee_sat: u64,
        /// What it would have to pay.
        required_sat: u64,
    },
    /// It pays less than what a full mempool takes.
    MempoolMinFee {
        /// What it pays.
        fee_sat: u64,
        /// What it would have to pay.
        required_sat: u64,
    },
    /// It would have too many ancestors, or give an ancestor too many descendants.
    ChainTooLong {
        /// Which limit.
        limit: ChainLimit,
        /// What it would be.
        value: u64,
    },
    /// It breaks the rules of topologically restricted transactions (BIP 431).
    Truc(TrucViolation),
    /// It spends an output of a transaction that it would replace.
    SpendsConflict(Txid),
    /// It does not pay enough to replace what it conflicts with.
    InsufficientFee {
        /// Which rule, by BIP 125's numbers as bitcoind keeps them.
        rule: ReplaceRule,
        /// What it pays.
        fee_sat: u64,
        /// What it would have to pay.
        required_sat: u64,
    },
    /// It would replace too many transactions.
    TooManyReplacements {
        /// How many.
        count: u64,
        /// How many it may replace.
        limit: u64,
    },
    /// It replaces and spends an output of the mempool that the replaced ones did not spend.
    AddsUnconfirmed(OutPoint),
    /// It spends from a parent with a dust output, and leaves the dust unspent.
    EphemeralUnspent {
        /// The parent.
        parent: Txid,
    },
    /// An input's script does not allow it.
    Script {
        /// Which input.
        input: usize,
        /// What the interpreter says.
        detail: String,
    },
    /// The scripts allow it, but a signature's form is not relayed.
    ScriptPolicy {
        /// Which input.
        input: usize,
        /// Which rule.
        rule: &'static str,
    },
    /// It did not pay enough to stay in a mempool that is full.
    MempoolFull,
    /// The miner was asked for a transaction that waits nowhere.
    Unknown(Txid),
    /// The block would be too heavy.
    BlockWeight {
        /// What it would weigh.
        weight: u64,
        /// What it may weigh.
        limit: u64,
    },
    /// No coin that anyone can spend is large enough.
    FaucetDry {
        /// What was wanted.
        wanted_sat: u64,
    },
}

/// Limits of relationships in the mempool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainLimit {
    /// Number of ancestors, itself included.
    AncestorCount,
    /// Virtual size of ancestors, itself included.
    AncestorVsize,
    /// Number of an ancestor's descendants, that one included.
    DescendantCount,
    /// Virtual size of an ancestor's descendants, that one included.
    DescendantVsize,
}

/// Rules of replacement that are about money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplaceRule {
    /// Rule 3: not less than all that is replaced paid.
    TotalFee,
    /// Rule 4: the difference pays for its own relay.
    RelayFee,
    /// Rule 6: a higher feerate than each one that it conflicts with.
    Feerate,
    /// A package's feerate is above that of its parent alone.
    PackageFeerate,
    /// The mempool's feerate diagram improves.
    Diagram,
}

/// Rules of topologically restricted transactions (BIP 431).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrucViolation {
    /// A transaction of version 3 spends an unconfirmed output of another version.
    SpendsOther(Txid),
    /// A transaction of another version spends an unconfirmed output of version 3.
    SpentByOther(Txid),
    /// Larger than 10,000 vbytes.
    TooLarge {
        /// Its virtual size.
        vsize: u64,
    },
    /// A child larger than 1,000 vbytes.
    ChildTooLarge {
        /// Its virtual size.
        vsize: u64,
    },
    /// More than one unconfirmed ancestor.
    Ancestors {
        /// How many, itself included.
        count: u64,
    },
    /// The parent has a child already.
    Descendants {
        /// The parent.
        parent: Txid,
    },
}

impl Refused {
    /// Could an honest node not know better: was somebody else's transaction faster?
    pub fn is_a_race(&self) -> bool {
        matches!(self.reason(), "txn-mempool-conflict" | "bad-txns-inputs-missingorspent" | "txn-already-known")
    }

    /// Is a transaction there already that spends the same and pays no less?
    pub fn is_outbid(&self) -> bool {
        matches!(self, Refused::InsufficientFee { .. })
    }

    /// Does it wait for confirmations of what it spends? Those can be gone again after a reorganisation.
    pub fn is_too_early(&self) -> bool {
        matches!(self, Refused::NonBip68Final { .. })
    }

    /// bitcoind's reject reason.
    pub fn reason(&self) -> &'static str {
        match self {
            Refused::NoInputs => "bad-txns-vin-empty",
            Refused::NoOutputs => "bad-txns-vout-empty",
            Refused::Oversize { .. } => "bad-txns-oversize",
            Refused::OutputTooLarge { .. } => "bad-txns-vout-toolarge",
            Refused::TotalTooLarge => "bad-txns-txouttotal-toolarge",
            Refused::DuplicateInput(_) => "bad-txns-inputs-duplicate",
            Refused::NullInput => "bad-txns-prevout-null",
            Refused::Coinbase => "coinbase",
            Refused::Version(_) => "version",
            Refused::Weight { .. } => "tx-size",
            Refused::TooSmall { .. } => "tx-size-small",
            Refused::ScriptSigSize { .. } => "scriptsig-size",
            Refused::ScriptSigNotPushOnly { .. } => "scriptsig-not-pushonly",
            Refused::OutputScript { .. } => "scriptpubkey",
            Refused::BareMultisig { .. } => "bare-multisig",
            Refused::Dust { .. } | Refused::DustPaysFee { .. } => "dust",
            Refused::MultiOpReturn { .. } => "multi-op-return",
            Refused::NonFinal { .. } => "non-final",
            Refused::NonBip68Final { .. } => "non-BIP68-final",
            Refused::AlreadyInMempool => "txn-already-in-mempool",
            Refused::SameTxidInMempool => "txn-same-nonwitness-data-in-mempool",
            Refused::AlreadyKnown => "txn-already-known",
            Refused::MissingInput(_) => "bad-txns-inputs-missingorspent",
            Refused::Conflict(_) => "txn-mempool-conflict",
            Refused::Immature { .. } => "bad-txns-premature-spend-of-coinbase",
            Refused::Inflation { .. } => "bad-txns-in-belowout",
            Refused::InputNonStandard { .. } => "bad-txns-nonstandard-inputs",
            Refused::WitnessNonStandard { .. } => "bad-witness-nonstandard",
            Refused::SigOps { .. } => "bad-txns-too-many-sigops",
            Refused::MinRelayFee { .. } => "min relay fee not met",
            Refused::MempoolMinFee { .. } => "mempool min fee not met",
            Refused::ChainTooLong { .. } => "too-long-mempool-chain",
            Refused::Truc(_) => "TRUC-violation",
            Refused::SpendsConflict(_) => "bad-txns-spends-conflicting-tx",
            Refused::InsufficientFee { .. } => "insufficient fee",
            Refused::TooManyReplacements { .. } => "too many potential replacements",
            Refused::AddsUnconfirmed(_) => "replacement-adds-unconfirmed",
            Refused::EphemeralUnspent { .. } => "missing-ephemeral-spends",
            Refused::Script { .. } | Refused::ScriptPolicy { .. } => "mempool-script-verify-flag-failed",
            Refused::MempoolFull => "mempool full",
            Refused::Unknown(_) => "unknown-transaction",
            Refused::BlockWeight { .. } => "bad-blk-weight",
            Refused::FaucetDry { .. } => "faucet-dry",
        }
    }

    /// The number of the error with which bitcoind's `sendrawtransaction` fails.
    pub fn rpc_code(&self) -> i32 {
        const TRANSACTION_ERROR: i32 = -25;
        const TRANSACTION_REJECTED: i32 = -26;
        if matches!(self, Refused::MissingInput(_)) { TRANSACTION_ERROR } else { TRANSACTION_REJECTED }
    }

    /// Could a child that pays for it, in one package, change this?
    pub fn is_reconsiderable(&self) -> bool {
        matches!(self, Refused::MinRelayFee { .. } | Refused::MempoolMinFee { .. } | Refused::InsufficientFee { .. })
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {self:?}", self.reason())
    }
}

impl std::error::Error for Refused {}

/// Why a package is refused as a whole; transactions that were taken in on their own stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PackageRefused {
    /// More transactions than a package may have.
    TooMany {
        /// How many.
        count: usize,
    },
    /// Heavier than a package may be.
    TooHeavy {
        /// What it weighs.
        weight: u64,
    },
    /// A transaction is in it twice.
    Duplicates,
    /// Two of its transactions spend the same output.
    ConflictInPackage(OutPoint),
    /// It is not one child that comes last with its parents, or the parents depend on each other.
    NotChildWithParents,
    /// An unconfirmed parent of the child is missing from it.
    ParentMissing(OutPoint),
    /// It pays too little as a whole.
    Fee(Refused),
    /// Together they would exceed limits of relationships.
    Limits(ChainLimit),
    /// It may not replace.
    Replace(PackageReplace),
    /// One of its transactions is refused.
    Transaction(Txid, Refused),
}

/// Why a package may not replace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PackageReplace {
    /// Only one parent with one child may.
    NotOneParentOneChild,
    /// One of them has ancestors in the mempool.
    HasAncestors,
    /// Something that it conflicts with is related to more than one other transaction.
    Topology(Txid),
    /// One of the rules of single replacements.
    Rule(Refused),
}

impl PackageRefused {
    /// bitcoind's reject reason.
    pub fn reason(&self) -> &'static str {
        match self {
            PackageRefused::TooMany { .. } => "package-too-many-transactions",
            PackageRefused::TooHeavy { .. } => "package-too-large",
            PackageRefused::Duplicates => "package-contains-duplicates",
            PackageRefused::ConflictInPackage(_) => "conflict-in-package",
            PackageRefused::NotChildWithParents => "package-not-child-with-parents",
            PackageRefused::ParentMissing(_) => "package-not-child-with-unconfirmed-parents",
            PackageRefused::Limits(_) => "package-mempool-limits",
            PackageRefused::Replace(_) => "package RBF failed",
            PackageRefused::Fee(refused) | PackageRefused::Transaction(_, refused) => refused.reason(),
        }
    }
}

impl fmt::Display for PackageRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {self:?}", self.reason())
    }
}

impl std::error::Error for PackageRefused {}
