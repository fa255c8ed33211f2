//! Feature bits (BOLT 9): which there are, what they need, where they may stand.

/// Where a feature may be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// `init`.
    Init,
    /// `node_announcement`.
    Node,
    /// `channel_announcement`.
    ChannelAnnouncement,
    /// BOLT 11 invoices.
    Invoice,
    /// `channel_type`.
    ChannelType,
    /// `allowed_features` of a blinded path.
    Blinded,
}

macro_rules! features {
    ($( $(#[$doc:meta])* $name:ident = $bit:literal $text:literal $contexts:literal [$($needs:ident),*]; )*) => {
        /// An assigned feature, by its even (compulsory) bit.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Feature { $( $(#[$doc])* $name = $bit, )* }

        impl Feature {
            /// All assigned features.
            pub const ALL: &'static [Feature] = &[ $( Feature::$name ),* ];

            /// Its compulsory bit; the optional one is the next.
            pub fn bit(self) -> usize {
                self as usize
            }

            /// The name BOLT 9 gives it.
            pub fn name(self) -> &'static str {
                match self { $( Feature::$name => $text ),* }
            }

            fn contexts(self) -> &'static str {
                match self { $( Feature::$name => $contexts ),* }
            }

            /// Features that must be set with it.
            pub fn needs(self) -> &'static [Feature] {
                match self { $( Feature::$name => &[ $( Feature::$needs ),* ] ),* }
            }
        }
    };
}

// The letters are BOLT 9's contexts: I init, N node_announcement, 9 invoice, T channel_type.
features! {
    /// The last two fields of `channel_reestablish` are there.
    DataLossProtect = 0 "option_data_loss_protect" "" [];
    /// A shutdown script is fixed at the opening.
    UpfrontShutdownScript = 4 "option_upfront_shutdown_script" "IN" [];
    /// Has useful gossip.
    GossipQueries = 6 "gossip_queries" "" [];
    /// Onions have TLV payloads.
    VarOnionOptin = 8 "var_onion_optin" "IN9" [];
    /// Timestamps and checksums in gossip queries.
    GossipQueriesEx = 10 "gossip_queries_ex" "IN" [];
    /// `to_remote` pays the bare `payment_basepoint`.
    StaticRemotekey = 12 "option_static_remotekey" "INT" [];
    /// Payments prove that they saw the invoice.
    PaymentSecret = 14 "payment_secret" "IN9" [VarOnionOptin];
    /// Payments in several parts.
    BasicMpp = 16 "basic_mpp" "IN9" [PaymentSecret];
    /// Channels of 2^24 satoshi and more.
    LargeChannels = 18 "option_support_large_channel" "IN" [];
    /// Anchors and HTLC transactions without fees.
    Anchors = 22 "option_anchors" "INT" [];
    /// Payments through blinded paths.
    RouteBlinding = 24 "option_route_blinding" "IN9" [];
    /// Shutdown scripts of any segwit version.
    ShutdownAnysegwit = 26 "option_shutdown_anysegwit" "IN" [];
    /// Channels that both fund.
    DualFund = 28 "option_dual_fund" "IN" [];
    /// `stfu`.
    Quiesce = 34 "option_quiesce" "IN" [];
    /// Hold times and attribution of failures.
    AttributionData = 36 "option_attribution_data" "IN9" [];
    /// Forwards onion messages.
    OnionMessages = 38 "option_onion_messages" "IN" [];
    /// Keeps a blob for its peers.
    ProvideStorage = 42 "option_provide_storage" "IN" [];
    /// Channels have an explicit type.
    ChannelType = 44 "option_channel_type" "IN" [];
    /// Channels are known by an alias only.
    ScidAlias = 46 "option_scid_alias" "INT" [];
    /// Metadata in invoices.
    PaymentMetadata = 48 "option_payment_metadata" "9" [];
    /// Channels that are used unconfirmed.
    Zeroconf = 50 "option_zeroconf" "INT" [ScidAlias];
    /// `closing_complete` and `closing_sig`.
    SimpleClose = 60 "option_simple_close" "IN" [ShutdownAnysegwit];
    /// Splicing.
    Splice = 62 "option_splice" "IN" [];
}

/// Features that every node has, whether it says so or not.
pub const ASSUMED: [Feature; 5] = [
    Feature::DataLossProtect,
    Feature::VarOnionOptin,
    Feature::StaticRemotekey,
    Feature::PaymentSecret,
    Feature::ChannelType,
];

impl Feature {
    /// May it stand there?
    pub fn allowed_in(self, context: Context) -> bool {
        let letter = match context {
            Context::Init => 'I',
            Context::Node => 'N',
            Context::Invoice => '9',
            Context::ChannelType => 'T',
            Context::ChannelAnnouncement | Context::Blinded => return false,
        };
        self.contexts().contains(letter)
    }

    /// The feature that this bit belongs to.
    pub fn of_bit(bit: usize) -> Option<Feature> {
        Feature::ALL.iter().copied().find(|feature| feature.bit() == bit & !1)
    }
}

/// A set of feature bits: bit `n` is bit `n % 8` of byte `n / 8`, so the order is the wire's reversed. No zero bytes at
/// the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub struct Features(Vec<u8>);

impl Features {
    /// No bit.
    pub fn new() -> Features {
        Features::default()
    }

    /// From a message, big-endian. The length is bounded by the message's.
    pub fn from_wire(bytes: &[u8]) -> Features {
        let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
        Features(bytes[start..].iter().rev().copied().collect())
    }

    /// For a message, big-endian, without zero bytes in front.
    pub fn to_wire(&self) -> Vec<u8> {
        self.0.iter().rev().copied().collect()
    }

    /// Is this bit set?
    pub fn bit(&self, bit: usize) -> bool {
        self.0.get(bit / 8).is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
    }

    /// Sets a bit.
    pub fn set_bit(&mut self, bit: usize) {
        if self.0.len() <= bit / 8 {
            self.0.resize(bit / 8 + 1, 0);
        }
        self.0[bit / 8] |= 1 << (bit % 8);
    }

    /// With the feature's optional bit.
    pub fn with_optional(mut self, feature: Feature) -> Features {
        self.set_bit(feature.bit() + 1);
        self
    }

    /// With the feature's compulsory bit.
    pub fn with_required(mut self, feature: Feature) -> Features {
        self.set_bit(feature.bit());
        self
    }

    /// Is either bit of the feature set, or is the feature everybody's?
    pub fn has(&self, feature: Feature) -> bool {
        ASSUMED.contains(&feature) || self.says(feature)
    }

    /// Is either bit of the feature set?
    pub fn says(&self, feature: Feature) -> bool {
        self.bit(feature.bit()) || self.bit(feature.bit() + 1)
    }

    /// Is the feature's compulsory bit set? Both bits count as compulsory.
    pub fn requires(&self, feature: Feature) -> bool {
        self.bit(feature.bit())
    }

    /// The bits that are set, ascending.
    pub fn bits(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.0.len() * 8).filter(|bit| self.bit(*bit))
    }

    /// Both sets together.
    pub fn union(&self, other: &Features) -> Features {
        let (mut long, short) =
            if self.0.len() >= other.0.len() { (self.clone(), other) } else { (other.clone(), self) };
        for (byte, more) in long.0.iter_mut().zip(&short.0) {
            *byte |= more;
        }
        long
    }

    /// Does each side have the feature?
    pub fn negotiated(&self, other: &Features, feature: Feature) -> bool {
        self.has(feature) && other.has(feature)
    }

    /// The first compulsory bit that is none of ours, ASSUMED ones excepted: the peer wants what we do not have.
    pub fn unknown_required(&self, ours: &Features) -> Option<usize> {
        self.bits().filter(|bit| bit % 2 == 0).find(|bit| {
            let known = Feature::of_bit(*bit).is_some_and(|feature| ours.has(feature));
            !known
        })
    }

    /// The first feature that is set while one that it needs is not (BOLT 9: the reader closes the connection).
    pub fn missing_dependency(&self) -> Option<(Feature, Feature)> {
        let set = Feature::ALL.iter().copied().filter(|feature| self.says(*feature));
        set.flat_map(|feature| feature.needs().iter().map(move |needed| (feature, *needed)))
            .find(|(_, needed)| !self.has(*needed))
    }

    /// Only what may stand in `context`.
    pub fn only(&self, context: Context) -> Features {
        let mut kept = Features::new();
        for bit in self.bits() {
            if Feature::of_bit(bit).is_some_and(|feature| feature.allowed_in(context)) {
                kept.set_bit(bit);
            }
        }
        kept
    }
}

/// The explicit type of a channel: even bits only.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct ChannelType(pub Features);

impl ChannelType {
    /// `option_static_remotekey` alone.
    pub fn static_remotekey() -> ChannelType {
        ChannelType(Features::new().with_required(Feature::StaticRemotekey))
    }

    /// `option_anchors`, which includes the former.
    pub fn anchors() -> ChannelType {
        ChannelType(ChannelType::static_remotekey().0.with_required(Feature::Anchors))
    }

    /// From a message. `None` when it has odd bits.
    pub fn from_wire(bytes: &[u8]) -> Option<ChannelType> {
        let features = Features::from_wire(bytes);
        let even = features.bits().all(|bit| bit % 2 == 0);
        even.then_some(ChannelType(features))
    }

    /// For a message.
    pub fn to_wire(&self) -> Vec<u8> {
        self.0.to_wire()
    }
}
