//! What the process knows and the core does not need to.

use leyden_core::address::NetAddr;
use leyden_core::config::Network;

/// What the process knows; the daemon fills it in once, at start.
#[derive(Clone, Debug)]
pub struct View {
    /// Shown by `getinfo`.
    pub version: String,
    /// The folder of this node's files.
    pub data_dir: String,
    /// The chain: decides which addresses are good.
    pub network: Network,
    /// Where the node listens.
    pub binding: Vec<NetAddr>,
    /// Shown by `listconfigs`.
    pub settings: Vec<Setting>,
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The flag's name, without dashes in front.
    pub name: String,
    /// What it is set to.
    pub value: SettingValue,
    /// Where that was said: `cmdline`, `default`, or a file's name.
    pub source: String,
}

/// What a setting is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingValue {
    /// A flag that is there or not.
    Flag(bool),
    /// A text.
    Text(String),
    /// A number.
    Number(u64),
    /// Several texts, of a flag that may be repeated.
    Texts(Vec<String>),
}
