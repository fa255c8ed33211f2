//! What an operator chooses. Plain data: it enters the core once, at start.

use crate::address::NetAddr;
use crate::amount::{Msat, Sat};

/// The chain a node lives on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub enum Network {
    /// The real one.
    Mainnet,
    /// The fourth public test network.
    Testnet4,
    /// The signed public test network.
    Signet,
    /// A private one.
    Regtest,
}

impl Network {
    /// All of them.
    pub const ALL: [Network; 4] = [Network::Mainnet, Network::Testnet4, Network::Signet, Network::Regtest];

    /// As folders, flags and `getinfo` call it. Core Lightning's clients know the main network as `bitcoin`.
    pub fn name(self) -> &'static str {
        match self {
            Network::Mainnet => "bitcoin",
            Network::Testnet4 => "testnet4",
            Network::Signet => "signet",
            Network::Regtest => "regtest",
        }
    }

    /// The network of this name; `mainnet` is understood as well.
    pub fn from_name(name: &str) -> Option<Network> {
        if name == "mainnet" {
            return Some(Network::Mainnet);
        }
        Network::ALL.into_iter().find(|network| network.name() == name)
    }

    /// The `bitcoin` crate's name for it.
    pub fn bitcoin(self) -> bitcoin::Network {
        match self {
            Network::Mainnet => bitcoin::Network::Bitcoin,
            Network::Testnet4 => bitcoin::Network::Testnet4,
            Network::Signet => bitcoin::Network::Signet,
            Network::Regtest => bitcoin::Network::Regtest,
        }
    }

    /// BOLT 0: the genesis hash names the chain.
    pub fn chain_hash(self) -> crate::ids::ChainHash {
        crate::ids::ChainHash(bitcoin::constants::ChainHash::using_genesis_block(self.bitcoin()).to_bytes())
    }

    /// BOLT 1: the default port.
    pub fn default_port(self) -> u16 {
        match self {
            Network::Mainnet => 9735,
            Network::Testnet4 => 49735,
            Network::Signet => 39735,
            Network::Regtest => 19846,
        }
    }
}

/// What an operator chooses.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Config {
    /// The chain.
    pub network: Network,
    /// The name others see; at most 32 bytes of UTF-8.
    pub alias: String,
    /// The colour others see.
    pub color: [u8; 3],
    /// Where others can reach us.
    pub announce: Vec<NetAddr>,
    /// Where we listen, for `getinfo`.
    pub binding: Vec<NetAddr>,
    /// How we treat channels.
    pub channel: ChannelConfig,
    /// Shown by `getinfo`.
    pub version: String,
    /// Shown by `getinfo`.
    pub data_dir: String,
    /// Seconds to hold the parts of an incomplete payment; BOLT 4 wants at least 60.
    pub mpp_timeout_s: u32,
}

/// How we treat channels.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct ChannelConfig {
    /// The chain; repeated so that channels need no other configuration.
    pub network: Network,
    /// Confirmations we ask for before a channel that the peer funds is used.
    pub minimum_depth: u32,
    /// How long the peer must wait for its own money after a unilateral close, in blocks.
    pub to_self_delay: u16,
    /// The longest such wait that we accept.
    pub to_self_delay_max: u16,
    /// Outputs below this are left out of our commitments.
    pub dust_limit: Sat,
    /// Channels smaller than this are refused.
    pub funding_min: Sat,
    /// Channels larger than this are refused.
    pub funding_max: Sat,
    /// The share of a channel the peer must keep, in millionths.
    pub reserve_millionths: u32,
    /// HTLCs smaller than this are refused.
    pub htlc_minimum: Msat,
    /// What may be lost to fees if all dust HTLCs of a channel come to nothing (`max_dust_htlc_exposure_msat`).
    pub dust_exposure_max: Msat,
    /// What we charge for a forward.
    pub fee_base_msat: u32,
    /// What we charge for a forward, in millionths of it.
    pub fee_proportional_millionths: u32,
    /// How much earlier than the outgoing HTLC we want the incoming one not to end.
    pub cltv_expiry_delta: u16,
    /// May peers open channels to us?
    pub accept_channels: bool,
}

impl ChannelConfig {
    /// What most nodes do.
    pub fn default_for(network: Network) -> ChannelConfig {
        let main = network == Network::Mainnet;
        ChannelConfig {
            network,
            minimum_depth: if main { 3 } else { 1 },
            to_self_delay: 144,
            to_self_delay_max: 2016,
            dust_limit: Sat(354),
            funding_min: Sat(20_000),
            funding_max: Sat(1_000_000_000),
            reserve_millionths: 10_000,
            htlc_minimum: Msat(1),
            dust_exposure_max: Msat(50_000_000),
            fee_base_msat: 1_000,
            fee_proportional_millionths: 10,
            cltv_expiry_delta: 40,
            accept_channels: true,
        }
    }
}

impl Config {
    /// Defaults of a network.
    pub fn default_for(network: Network) -> Config {
        Config {
            network,
            alias: String::new(),
            color: [0x2f, 0x7f, 0xbf],
            announce: Vec::new(),
            binding: Vec::new(),
            channel: ChannelConfig::default_for(network),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            data_dir: String::new(),
            mpp_timeout_s: 60,
        }
    }
}
