//! Flags and the config file; flags win. A typo in either is an error that names it.

use std::path::{Path, PathBuf};

use clap::Parser;
use leyden_core::address::NetAddr;
use leyden_core::amount::{Msat, Sat};
use leyden_core::config::{Config, Network};
use serde::Deserialize;

use crate::log::Filter;
use crate::recorder::RecorderSettings;

/// A Lightning node.
#[derive(Parser, Clone, Debug, Default)]
#[command(name = "leydend", version, about = "A Lightning node: one pure state machine, explainable to the last msat")]
pub struct Flags {
    /// Folder for everything the node keeps; one sub-folder per network [default: ~/.leyden]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// bitcoin (or mainnet), testnet4, signet or regtest [default: bitcoin]
    #[arg(long, value_name = "NAME")]
    pub network: Option<String>,
    /// Address to listen on for other nodes; may be given several times [default: 0.0.0.0:<port of the network>]
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Vec<String>,
    /// Address to tell other nodes; may be given several times
    #[arg(long, value_name = "HOST:PORT")]
    pub announce: Vec<String>,
    /// SOCKS 5 proxy, such as Tor's, through which onion addresses are dialled
    #[arg(long, value_name = "IP:PORT")]
    pub proxy: Option<String>,
    /// Dial all other nodes through the proxy, and let it resolve their names: true or false [default: false]
    #[arg(long, value_name = "BOOL")]
    pub always_use_proxy: Option<bool>,
    /// Where the chain comes from: bitcoind, or embedded, which is a chain of this node's own (regtest only)
    /// [default: bitcoind]
    #[arg(long, value_name = "KIND")]
    pub chain: Option<String>,
    /// bitcoind's RPC, such as http://127.0.0.1:8332 [default: localhost, port of the network]
    #[arg(long, value_name = "URL")]
    pub bitcoind_url: Option<String>,
    /// bitcoind's cookie file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["bitcoind_user", "bitcoind_password"])]
    pub bitcoind_cookie: Option<PathBuf>,
    /// bitcoind's RPC user
    #[arg(long, value_name = "U", requires = "bitcoind_password")]
    pub bitcoind_user: Option<String>,
    /// bitcoind's RPC password
    #[arg(long, value_name = "P", requires = "bitcoind_user")]
    pub bitcoind_password: Option<String>,
    /// How often to ask bitcoind for a new block, in milliseconds [default: 500]
    #[arg(long, value_name = "MS")]
    pub bitcoind_poll_ms: Option<u64>,
    /// Name that other nodes see, at most 32 bytes
    #[arg(long, value_name = "NAME")]
    pub alias: Option<String>,
    /// Colour that other nodes see, six hexadecimal digits
    #[arg(long, value_name = "RRGGBB")]
    pub color: Option<String>,
    /// error, warn, info, debug or trace, for all parts or `part=level,…` [default: info]
    #[arg(long, value_name = "L")]
    pub log_level: Option<String>,
    /// Config file, TOML, the flags' names as keys [default: DIR/leydend.toml if it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Base fee for forwarding, msat [default: 1000]
    #[arg(long, value_name = "MSAT")]
    pub fee_base_msat: Option<u32>,
    /// Proportional fee for forwarding, millionths [default: 10]
    #[arg(long, value_name = "PPM")]
    pub fee_proportional_millionths: Option<u32>,
    /// CLTV delta for forwarding, blocks [default: 40]
    #[arg(long, value_name = "BLOCKS")]
    pub cltv_expiry_delta: Option<u16>,
    /// Smallest HTLC to accept, msat [default: 1]
    #[arg(long, value_name = "MSAT")]
    pub htlc_minimum_msat: Option<u64>,
    /// Confirmations before a channel that a peer funds is used [default: 3; on test networks 1]
    #[arg(long, value_name = "BLOCKS")]
    pub minimum_depth: Option<u32>,
    /// Smallest channel to accept or open, sat [default: 20000]
    #[arg(long, value_name = "SAT")]
    pub funding_min_sat: Option<u64>,
    /// Largest channel to accept or open, sat [default: 1000000000]
    #[arg(long, value_name = "SAT")]
    pub funding_max_sat: Option<u64>,
    /// Blocks the peer must wait for its money after closing on its own [default: 144]
    #[arg(long, value_name = "BLOCKS")]
    pub to_self_delay: Option<u16>,
    /// Most that dust HTLCs of one channel may lose to fees, msat [default: 50000000]
    #[arg(long, value_name = "MSAT")]
    pub dust_exposure_max_msat: Option<u64>,
    /// Seconds to wait for the missing parts of a payment [default: 60]
    #[arg(long, value_name = "SECONDS")]
    pub mpp_timeout_s: Option<u32>,
    /// Flight recorder, on or off [default: on]
    #[arg(long, value_name = "ON|OFF")]
    pub recorder: Option<String>,
    /// Size of one segment of the flight recording, MiB [default: 16]
    #[arg(long, value_name = "MIB")]
    pub recorder_segment_mib: Option<u64>,
    /// So many segments' worth of flight recording is kept [default: 16]
    #[arg(long, value_name = "COUNT")]
    pub recorder_segments: Option<u64>,
}

/// The same, as the config file spells it.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct File {
    data_dir: Option<PathBuf>,
    network: Option<String>,
    listen: Vec<String>,
    announce: Vec<String>,
    proxy: Option<String>,
    always_use_proxy: Option<bool>,
    chain: Option<String>,
    bitcoind_url: Option<String>,
    bitcoind_cookie: Option<PathBuf>,
    bitcoind_user: Option<String>,
    bitcoind_password: Option<String>,
    bitcoind_poll_ms: Option<u64>,
    alias: Option<String>,
    color: Option<String>,
    log_level: Option<String>,
    fee_base_msat: Option<u32>,
    fee_proportional_millionths: Option<u32>,
    cltv_expiry_delta: Option<u16>,
    htlc_minimum_msat: Option<u64>,
    minimum_depth: Option<u32>,
    funding_min_sat: Option<u64>,
    funding_max_sat: Option<u64>,
    to_self_delay: Option<u16>,
    dust_exposure_max_msat: Option<u64>,
    mpp_timeout_s: Option<u32>,
    recorder: Option<String>,
    recorder_segment_mib: Option<u64>,
    recorder_segments: Option<u64>,
}

/// Where a setting's value came from, for `listconfigs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A flag.
    CommandLine,
    /// The config file.
    File,
    /// Neither.
    Default,
}

/// One setting as it is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The flag's name, without dashes in front.
    pub name: &'static str,
    /// Its values; several where a flag may be repeated.
    pub values: Vec<String>,
    /// Is it a number?
    pub numeric: bool,
    /// May it be given several times?
    pub many: bool,
    /// Where it came from.
    pub source: Source,
}

/// Where the chain comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum Backend {
    /// Another process.
    Bitcoind(Bitcoind),
    /// This one.
    Embedded,
}

/// A SOCKS 5 proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Where it listens.
    pub address: std::net::SocketAddr,
    /// Are other addresses than onions dialled through it as well?
    pub for_all: bool,
}

/// How to reach bitcoind.
#[derive(Clone, PartialEq, Eq)]
pub struct Bitcoind {
    /// Host and port.
    pub address: String,
    /// How to prove who we are.
    pub auth: Auth,
    /// How often to ask for a new block.
    pub poll_ms: u64,
}

/// How to prove who we are to bitcoind.
#[derive(Clone, PartialEq, Eq)]
pub enum Auth {
    /// A file that bitcoind writes anew at each start.
    Cookie(PathBuf),
    /// Fixed credentials.
    Password {
        /// User.
        user: String,
        /// Password.
        password: String,
    },
}

/// Everything the daemon needs to start.
#[derive(Clone)]
pub struct Settings {
    /// `DIR/NETWORK`: all files of this node.
    pub node_dir: PathBuf,
    /// For the core.
    pub core: Config,
    /// Addresses to listen on.
    pub listen: Vec<String>,
    /// Through which proxy other nodes are dialled.
    pub proxy: Option<Proxy>,
    /// The backend.
    pub backend: Backend,
    /// What to log.
    pub log: Filter,
    /// What to keep of what happens.
    pub recorder: RecorderSettings,
    /// For `listconfigs`.
    pub shown: Vec<Setting>,
}

/// Why the settings cannot be used: one line that says what, where, and what would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(pub String);

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

fn error<T>(text: String) -> Result<T, ConfigError> {
    Err(ConfigError(text))
}

fn read_file(path: &Path) -> Result<File, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| ConfigError(format!("cannot read the config file {}: {e}", path.display())))?;
    toml::from_str(&text).map_err(|e| ConfigError(format!("in the config file {}: {e}", path.display())))
}

/// Takes the flag, else the file's value, else the default, and remembers which for `listconfigs`.
struct Merge {
    shown: Vec<Setting>,
}

impl Merge {
    fn one<T: Clone + ToString>(&mut self, name: &'static str, flag: &Option<T>, file: &Option<T>, default: T) -> T {
        let (value, source) = match (flag, file) {
            (Some(value), _) => (value.clone(), Source::CommandLine),
            (None, Some(value)) => (value.clone(), Source::File),
            (None, None) => (default, Source::Default),
        };
        let text = value.to_string();
        let numeric = text.parse::<u64>().is_ok() && name != "color" && name != "alias";
        self.shown.push(Setting { name, values: vec![text], numeric, many: false, source });
        value
    }

    fn many(&mut self, name: &'static str, flag: &[String], file: &[String], default: Vec<String>) -> Vec<String> {
        let (values, source) = match (flag, file) {
            ([], []) => (default, Source::Default),
            ([], values) => (values.to_vec(), Source::File),
            (values, _) => (values.to_vec(), Source::CommandLine),
        };
        self.shown.push(Setting { name, values: values.clone(), numeric: false, many: true, source });
        values
    }
}

/// `HOST:PORT`, or a host alone with the network's port.
pub fn parse_address(text: &str, default_port: u16) -> Result<NetAddr, ConfigError> {
    if let Ok(address) = text.parse::<std::net::SocketAddr>() {
        return Ok(match address {
            std::net::SocketAddr::V4(v4) => NetAddr::Ip4(v4.ip().octets(), v4.port()),
            std::net::SocketAddr::V6(v6) => NetAddr::Ip6(v6.ip().octets(), v6.port()),
        });
    }
    if let Ok(ip) = text.trim_matches(['[', ']']).parse::<std::net::IpAddr>() {
        return Ok(match ip {
            std::net::IpAddr::V4(v4) => NetAddr::Ip4(v4.octets(), default_port),
            std::net::IpAddr::V6(v6) => NetAddr::Ip6(v6.octets(), default_port),
        });
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => match port.parse() {
            Ok(port) => (host, port),
            Err(_) => return error(format!("'{text}' is no address: '{port}' is no port; expected HOST:PORT")),
        },
        None => (text, default_port),
    };
    if host.to_ascii_lowercase().ends_with(".onion") {
        let onion = leyden_rpc::address::parse_host(host, port);
        return onion.ok_or_else(|| ConfigError(format!("'{host}' is no onion address of version 3")));
    }
    let plausible = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.' || c == '_';
    if host.is_empty() || host.len() > 255 || !host.chars().all(plausible) {
        return error(format!("'{text}' is no address; expected HOST:PORT"));
    }
    Ok(NetAddr::Dns(host.to_owned(), port))
}

impl Flags {
    /// Flags over config file over defaults.
    pub fn settle(&self) -> Result<Settings, ConfigError> {
        let home = || std::env::var_os("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from);
        let default_dir = home().join(".leyden");
        let dir_of_flags = self.data_dir.clone().unwrap_or_else(|| default_dir.clone());
        let file = match &self.config {
            Some(path) => read_file(path)?,
            None => {
                let path = dir_of_flags.join("leydend.toml");
                if path.exists() { read_file(&path)? } else { File::default() }
            }
        };
        let mut merge = Merge { shown: Vec::new() };
        let path = |p: &Option<PathBuf>| p.as_ref().map(|p| p.display().to_string());

        let data_dir =
            merge.one("data-dir", &path(&self.data_dir), &path(&file.data_dir), default_dir.display().to_string());
        let name = merge.one("network", &self.network, &file.network, "bitcoin".to_owned());
        let Some(network) = Network::from_name(&name) else {
            return error(format!(
                "unknown network '{name}'; known are bitcoin (mainnet), testnet4, signet and regtest"
            ));
        };
        let node_dir = Path::new(&data_dir).join(network.name());

        let port = network.default_port();
        let listen = merge.many("listen", &self.listen, &file.listen, vec![format!("0.0.0.0:{port}")]);
        let announce = merge.many("announce", &self.announce, &file.announce, Vec::new());
        let addresses =
            |texts: &[String]| texts.iter().map(|text| parse_address(text, port)).collect::<Result<Vec<_>, _>>();

        let proxy = merge.one("proxy", &self.proxy, &file.proxy, String::new());
        let for_all = merge.one("always-use-proxy", &self.always_use_proxy, &file.always_use_proxy, false);
        let proxy = match (proxy.as_str(), proxy.parse()) {
            ("", _) if for_all => return error("always-use-proxy is true, and no --proxy is given".to_owned()),
            ("", _) => None,
            (_, Ok(address)) => Some(Proxy { address, for_all }),
            (_, Err(_)) => return error(format!("proxy is '{proxy}'; expected IP:PORT, such as 127.0.0.1:9050")),
        };

        let rpc_port = match network {
            Network::Mainnet => 8332,
            Network::Testnet4 => 48332,
            Network::Signet => 38332,
            Network::Regtest => 18443,
        };
        let url =
            merge.one("bitcoind-url", &self.bitcoind_url, &file.bitcoind_url, format!("http://127.0.0.1:{rpc_port}"));
        let chain = merge.one("chain", &self.chain, &file.chain, "bitcoind".to_owned());
        let bitcoind = Bitcoind {
            address: bitcoind_address(&url, rpc_port)?,
            auth: self.bitcoind_auth(&file, network, home())?,
            poll_ms: merge.one("bitcoind-poll-ms", &self.bitcoind_poll_ms, &file.bitcoind_poll_ms, 500).max(10),
        };
        let backend = match (chain.as_str(), network) {
            ("bitcoind", _) => Backend::Bitcoind(bitcoind),
            ("embedded", Network::Regtest) => Backend::Embedded,
            ("embedded", _) => {
                return error(format!(
                    "chain is 'embedded' and network is '{name}': a chain of one's own can be a regtest only; \
                     add --network regtest, or leave --chain out"
                ));
            }
            _ => return error(format!("unknown chain '{chain}'; known are bitcoind and embedded")),
        };

        let mut core = Config::default_for(network);
        core.alias = merge.one("alias", &self.alias, &file.alias, String::new());
        if core.alias.len() > 32 {
            return error(format!("the alias '{}' has {} bytes; at most 32 fit", core.alias, core.alias.len()));
        }
        let color = merge.one("color", &self.color, &file.color, "2f7fbf".to_owned());
        core.color = leyden_core::ids::hex_array(&color)
            .map_err(|_| ConfigError(format!("the color '{color}' is not six hexadecimal digits, such as 2f7fbf")))?;
        core.announce = addresses(&announce)?;
        core.binding = addresses(&listen)?;
        core.data_dir = data_dir.clone();
        core.mpp_timeout_s = merge.one("mpp-timeout-s", &self.mpp_timeout_s, &file.mpp_timeout_s, core.mpp_timeout_s);
        if core.mpp_timeout_s < 60 {
            return error("mpp-timeout-s is below 60, which the specification (BOLT 4) forbids".to_owned());
        }

        let channel = &mut core.channel;
        channel.fee_base_msat =
            merge.one("fee-base-msat", &self.fee_base_msat, &file.fee_base_msat, channel.fee_base_msat);
        channel.fee_proportional_millionths = merge.one(
            "fee-proportional-millionths",
            &self.fee_proportional_millionths,
            &file.fee_proportional_millionths,
            channel.fee_proportional_millionths,
        );
        channel.cltv_expiry_delta =
            merge.one("cltv-expiry-delta", &self.cltv_expiry_delta, &file.cltv_expiry_delta, channel.cltv_expiry_delta);
        if channel.cltv_expiry_delta < 34 {
            return error(format!(
                "cltv-expiry-delta is {}; below 34 blocks a forward can lose money (BOLT 2, cltv_expiry_delta selection)",
                channel.cltv_expiry_delta
            ));
        }
        channel.htlc_minimum = Msat(merge.one(
            "htlc-minimum-msat",
            &self.htlc_minimum_msat,
            &file.htlc_minimum_msat,
            channel.htlc_minimum.0,
        ));
        channel.minimum_depth =
            merge.one("minimum-depth", &self.minimum_depth, &file.minimum_depth, channel.minimum_depth);
        if channel.minimum_depth == 0 {
            return error("minimum-depth is 0; unconfirmed channels are not supported, use at least 1".to_owned());
        }
        channel.funding_min =
            Sat(merge.one("funding-min-sat", &self.funding_min_sat, &file.funding_min_sat, channel.funding_min.0));
        channel.funding_max =
            Sat(merge.one("funding-max-sat", &self.funding_max_sat, &file.funding_max_sat, channel.funding_max.0));
        channel.to_self_delay =
            merge.one("to-self-delay", &self.to_self_delay, &file.to_self_delay, channel.to_self_delay);
        channel.dust_exposure_max = Msat(merge.one(
            "dust-exposure-max-msat",
            &self.dust_exposure_max_msat,
            &file.dust_exposure_max_msat,
            channel.dust_exposure_max.0,
        ));

        let level = merge.one("log-level", &self.log_level, &file.log_level, "info".to_owned());
        let log = Filter::parse(&level).map_err(ConfigError)?;
        let recorder = self.recorder(&file, &mut merge)?;
        Ok(Settings { node_dir, core, listen, proxy, backend, log, recorder, shown: merge.shown })
    }

    fn recorder(&self, file: &File, merge: &mut Merge) -> Result<RecorderSettings, ConfigError> {
        let on = merge.one("recorder", &self.recorder, &file.recorder, "on".to_owned());
        let on = match on.as_str() {
            "on" => true,
            "off" => false,
            _ => return error(format!("recorder is '{on}'; it can be on or off")),
        };
        let mib = merge.one("recorder-segment-mib", &self.recorder_segment_mib, &file.recorder_segment_mib, 16);
        // A frame's length has 32 bits, and a segment should fit into memory when it is replayed.
        if !(1..=1_024).contains(&mib) {
            return error(format!("recorder-segment-mib is {mib}; from 1 to 1024 are possible"));
        }
        let segments = merge.one("recorder-segments", &self.recorder_segments, &file.recorder_segments, 16);
        if segments < 2 {
            return error(format!("recorder-segments is {segments}; at least 2 are needed: one is being written"));
        }
        Ok(RecorderSettings { on, segment_size: mib << 20, segments })
    }

    fn bitcoind_auth(&self, file: &File, network: Network, home: PathBuf) -> Result<Auth, ConfigError> {
        if let Some(cookie) = &self.bitcoind_cookie {
            return Ok(Auth::Cookie(cookie.clone()));
        }
        if let (Some(user), Some(password)) = (&self.bitcoind_user, &self.bitcoind_password) {
            return Ok(Auth::Password { user: user.clone(), password: password.clone() });
        }
        match (&file.bitcoind_cookie, &file.bitcoind_user, &file.bitcoind_password) {
            (Some(cookie), None, None) => Ok(Auth::Cookie(cookie.clone())),
            (None, Some(user), Some(password)) => Ok(Auth::Password { user: user.clone(), password: password.clone() }),
            (None, None, None) => {
                let mut cookie = home.join(".bitcoin");
                if network != Network::Mainnet {
                    cookie.push(network.name());
                }
                Ok(Auth::Cookie(cookie.join(".cookie")))
            }
            _ => error(
                "the config file must name either bitcoind-cookie, or both bitcoind-user and bitcoind-password"
                    .to_owned(),
            ),
        }
    }
}

/// The host and port in bitcoind's URL.
fn bitcoind_address(url: &str, default_port: u16) -> Result<String, ConfigError> {
    let Some(rest) = url.strip_prefix("http://") else {
        return error(format!("bitcoind-url '{url}' does not start with http:// (bitcoind speaks nothing else)"));
    };
    let address = rest.trim_end_matches('/');
    if address.is_empty() || address.contains(['/', '@', ' ']) {
        return error(format!("bitcoind-url '{url}' is not of the form http://HOST:PORT"));
    }
    match address.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => Ok(address.to_owned()),
        Some((_, port)) if !address.ends_with(']') => error(format!("bitcoind-url '{url}': '{port}' is no port")),
        _ => Ok(format!("{address}:{default_port}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(args: &[&str]) -> Flags {
        Flags::try_parse_from(std::iter::once(&"leydend").chain(args)).expect("these flags parse")
    }

    fn with_file(name: &str, text: &str, args: &[&str]) -> Result<Settings, ConfigError> {
        let path = std::env::temp_dir().join(format!("leyden-config-{}-{name}.toml", std::process::id()));
        std::fs::write(&path, text).expect("the temporary folder can be written");
        let mut flags = flags(args);
        flags.config = Some(path.clone());
        let settings = flags.settle();
        std::fs::remove_file(path).expect("it was just written");
        settings
    }

    #[test]
    fn flags_win_over_the_file() {
        let text = "network = \"regtest\"\nalias = \"of the file\"\nfee-base-msat = 7\n";
        let settings = with_file("win", text, &["--alias", "of the flag"]).expect("good settings");
        assert_eq!(settings.core.alias, "of the flag");
        assert_eq!(settings.core.channel.fee_base_msat, 7);
        assert_eq!(settings.core.network, Network::Regtest);
        assert!(settings.node_dir.ends_with("regtest"));
        let source = |name| settings.shown.iter().find(|s| s.name == name).map(|s| s.source);
        assert_eq!(source("alias"), Some(Source::CommandLine));
        assert_eq!(source("fee-base-msat"), Some(Source::File));
        assert_eq!(source("minimum-depth"), Some(Source::Default));
    }

    #[test]
    fn a_typo_in_the_file_is_named() {
        let problem = with_file("typo", "netwrok = \"regtest\"\n", &[]).err().expect("a typo");
        assert!(problem.0.contains("netwrok"), "{problem}");
        let problem = with_file("type", "fee-base-msat = \"much\"\n", &[]).err().expect("a wrong type");
        assert!(problem.0.contains("fee-base-msat"), "{problem}");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (args, word) in [
            (["--network", "florinnet"], "florinnet"),
            (["--cltv-expiry-delta", "10"], "cltv-expiry-delta"),
            (["--color", "blue"], "blue"),
            (["--listen", "host:port"], "host:port"),
            (["--bitcoind-url", "https://127.0.0.1"], "https"),
            (["--log-level", "loud"], "loud"),
            (["--minimum-depth", "0"], "minimum-depth"),
            (["--chain", "embedded"], "regtest"),
            (["--chain", "neutrino"], "neutrino"),
            (["--recorder", "maybe"], "recorder"),
            (["--recorder-segments", "1"], "recorder-segments"),
            (["--recorder-segment-mib", "0"], "recorder-segment-mib"),
        ] {
            let problem = flags(&args).settle().err().expect("refused");
            assert!(problem.0.contains(word), "{args:?}: {problem}");
        }
        assert!(Flags::try_parse_from(["leydend", "--datadir", "x"]).is_err());
    }

    #[test]
    fn addresses_of_all_kinds() {
        assert_eq!(parse_address("1.2.3.4:5", 9735), Ok(NetAddr::Ip4([1, 2, 3, 4], 5)));
        assert_eq!(parse_address("1.2.3.4", 9735), Ok(NetAddr::Ip4([1, 2, 3, 4], 9735)));
        assert_eq!(parse_address("example.org", 9735), Ok(NetAddr::Dns("example.org".to_owned(), 9735)));
        let v6 = NetAddr::Ip6(std::net::Ipv6Addr::LOCALHOST.octets(), 6);
        assert_eq!(parse_address("[::1]:6", 9735), Ok(v6));
    }
}
