//! One daemon: from settings to a loop that is ready to run.

use std::fs::DirBuilder;
use std::net::TcpListener;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use leyden_core::chain::Tip;
use leyden_core::clock::{Clock, Mono, Wall};
use leyden_core::command::Level;
use leyden_core::ids::NodeId;
use leyden_core::limits::{PEERS_MAX, WRITE_BUFFER_SIZE};
use leyden_core::node::{Boot, Node};
use leyden_core::recording::config_hash;
use leyden_core::signer::KeysSigner;
use leyden_core::store::{Row, Table};
use leyden_core::transport::read_buffer::READ_BUFFER_SIZE;
use leyden_persist::{Options, ReadError, Store};
use leyden_rpc::session::OUTPUT_SIZE_MAX;
use leyden_rpc::view::{self, View};

use crate::chain::{Driver, SharedChain, Start};
use crate::config::{Backend, Setting, Settings, Source};
use crate::control::SESSIONS_MAX;
use crate::descriptors;
use crate::listen::LISTENERS_MAX;
use crate::log::Log;
use crate::reactor::{End, Parts, Reactor};
use crate::recorder::{self, About, Recorder};
use crate::seed;

/// The file of a chain of one's own, in the node's folder.
pub const CHAIN_FILE: &str = "embedded-chain";

/// What a daemon may be given instead of making it itself.
#[derive(Default)]
pub struct Given {
    /// A chain that it shares with others of the process.
    pub chain: Option<SharedChain>,
    /// Sockets that listen already.
    pub listeners: Option<Vec<TcpListener>>,
}

/// A daemon that is ready to run.
pub struct Daemon {
    reactor: Reactor,
    /// Who it is.
    pub id: NodeId,
    /// Its control socket.
    pub control: PathBuf,
}

impl Daemon {
    /// Opens everything. `log` makes as many logs as are needed, all to the same place.
    pub fn start(settings: &Settings, given: Given, log: impl Fn() -> Log) -> Result<Daemon, String> {
        let mut lines = log();
        let dir = &settings.node_dir;
        make_folder(dir)?;
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        let clock = Clock { mono: Mono(0), wall: Wall(wall) };
        let mut say = |level, text: std::fmt::Arguments<'_>| lines.say(clock.wall, level, "node", text);

        let store = Store::open(&dir.join("store"), Options::default()).map_err(|error| error.to_string())?;
        if !store.freshness().is_proven() {
            return Err(format!(
                "the store in {} is not the latest ({:?}): publishing from an old one would lose money. \
                 Put the latest copy back; nothing was changed",
                dir.display(),
                store.freshness()
            ));
        }
        let has_rows = has_rows(&store).map_err(|error| error.to_string())?;
        let (words, origin) = seed::load(dir, !has_rows)?;
        let random = |e| format!("cannot read /dev/urandom: {e}");
        let mut signer =
            KeysSigner::new(*words, settings.core.network.bitcoin(), *seed::os_random::<32>().map_err(random)?);
        if origin == seed::Origin::Drawn {
            let path = dir.join(seed::FILE_NAME);
            say(Level::Info, format_args!("new seed in {}: copy it to a safe place", path.display()));
        }
        let (may_have, wanted) = (descriptors::raise(), descriptors::WANTED);
        if may_have < wanted {
            let text = format_args!(
                "the system allows {may_have} open files: peers beyond that are refused; allow {wanted} (ulimit -n)"
            );
            say(Level::Warn, text);
        }
        let boot = Boot { config: settings.core.clone(), rng_seed: *seed::os_random::<32>().map_err(random)?, clock };
        let node = restore(boot, &store, &mut signer)
            .map_err(|error| format!("the store in {} cannot be used: {error}", dir.display()))?;

        let chain = match (given.chain, &settings.backend) {
            (None, Backend::Embedded) => {
                let path = dir.join(CHAIN_FILE);
                let (chain, warning) = SharedChain::open(&path, clock.wall).map_err(|error| error.to_string())?;
                if let Some(warning) = warning {
                    say(Level::Warn, format_args!("{warning}"));
                }
                Some(chain)
            }
            (shared, _) => shared,
        };
        let driver = driver(settings, chain, &node)?;
        let listeners = match given.listeners {
            Some(listeners) => listeners,
            None => listen(&settings.listen)?,
        };
        let control = dir.join(leyden_rpc::SOCKET_NAME);
        let id = node.id();
        let view = view_of(settings);
        let about = About {
            network: settings.core.network,
            node_id: id,
            config_hash: config_hash(&settings.core),
            run: clock.wall,
        };
        let recorder = Recorder::new(&dir.join(recorder::DIR_NAME), settings.recorder, about);
        let parts = Parts { node, signer, store, driver, listeners, proxy: settings.proxy, view, log: log(), recorder };
        let reactor = Reactor::new(parts, &control)
            .map_err(|error| format!("cannot start with the control socket {}: {error}", control.display()))?;
        let (mib, clients) = (buffer_bytes_max() >> 20, SESSIONS_MAX);
        let text = format_args!(
            "at most {mib} MiB for the buffers of {PEERS_MAX} peers and {clients} control clients, if all are slow at once"
        );
        say(Level::Info, text);
        let text = format_args!(
            "ready: node {id} on {}, listening on {}, control socket {}",
            settings.core.network.name(),
            settings.listen.join(" and "),
            control.display()
        );
        say(Level::Info, text);
        Ok(Daemon { reactor, id, control })
    }

    /// Runs until it is asked to stop, or must.
    pub fn run(self) -> Result<(), String> {
        match self.reactor.run() {
            End::Asked => Ok(()),
            End::Store(error) => Err(format!("the store failed, nothing of the last turn was sent: {error}")),
            End::Rows(error) => Err(format!("the store cannot be read: {error}")),
            End::System(error) => Err(format!("the operating system failed: {error}")),
        }
    }
}

/// Makes a folder that is the owner's alone.
pub(crate) fn make_folder(dir: &Path) -> Result<(), String> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|e| format!("cannot make the folder {}: {e}", dir.display()))
}

fn driver(settings: &Settings, chain: Option<SharedChain>, node: &Node) -> Result<Driver, String> {
    let start = match node.tip() {
        Some(tip) => Start::At { tip, recent: node.recent_tips().collect::<Vec<Tip>>() },
        None => Start::Fresh,
    };
    let chain = match (chain, &settings.backend) {
        (Some(chain), _) => chain,
        (None, Backend::Bitcoind(config)) => {
            return Ok(Driver::bitcoind(config.clone(), settings.core.network, start));
        }
        (None, Backend::Embedded) => unreachable!("it was opened by the caller"),
    };
    // A bitcoind may be exchanged for the right one while the daemon runs; this chain may not.
    if let Start::At { tip, recent } = &start
        && !std::iter::once(tip).chain(recent).any(|known| chain.knows(known.hash))
    {
        return Err(format!(
            "the node in {} has seen block {} at height {}, which its embedded chain does not know: the chain's file was \
             replaced or removed. Put it back, or begin with an empty folder; nothing was changed",
            settings.node_dir.display(),
            tip.hash,
            tip.height
        ));
    }
    Ok(Driver::embedded(chain, start))
}

/// What all buffers of the loop take together at the worst: both of every peer, and what waits for a control client.
const fn buffer_bytes_max() -> usize {
    PEERS_MAX * (WRITE_BUFFER_SIZE + READ_BUFFER_SIZE) + SESSIONS_MAX * OUTPUT_SIZE_MAX
}

fn listen(addresses: &[String]) -> Result<Vec<TcpListener>, String> {
    if addresses.len() > LISTENERS_MAX {
        return Err(format!("{} addresses to listen on; at most {LISTENERS_MAX} are possible", addresses.len()));
    }
    let bind = |address: &String| {
        TcpListener::bind(address.as_str())
            .map_err(|error| format!("cannot listen on {address}: {error}; choose another with --listen"))
    };
    addresses.iter().map(bind).collect()
}

fn has_rows(store: &Store) -> Result<bool, ReadError> {
    Ok(store.snapshot()?.rows()?.next().transpose()?.is_some())
}

/// Builds the node from its rows, borrowed from their pages: history may be larger than memory.
fn restore(boot: Boot, store: &Store, signer: &mut KeysSigner) -> Result<Node, String> {
    let snapshot = store.snapshot().map_err(|error| error.to_string())?;
    let rows = snapshot.rows().map_err(|error| error.to_string())?;
    let mut failure = None;
    let rows = rows.map_while(|row| {
        let known = row.map_err(|error| error.to_string()).and_then(|row| match Table::from_number(row.table) {
            Some(table) => Ok(Row { table, key: row.key, value: row.value }),
            None => {
                Err(format!("a row in table {}, which this build does not know: written by a newer one?", row.table))
            }
        });
        known.map_err(|error| failure = Some(error)).ok()
    });
    let node = Node::restore(boot, rows, signer);
    match failure {
        Some(failure) => Err(failure),
        None => node.map_err(|error| error.to_string()),
    }
}

fn view_of(settings: &Settings) -> View {
    View {
        version: settings.core.version.clone(),
        data_dir: settings.node_dir.parent().unwrap_or(&settings.node_dir).display().to_string(),
        network: settings.core.network,
        binding: settings.core.binding.clone(),
        settings: settings.shown.iter().map(setting_view).collect(),
    }
}

fn setting_view(setting: &Setting) -> view::Setting {
    let value = match (setting.many, setting.numeric, setting.values.first()) {
        (true, _, _) => view::SettingValue::Texts(setting.values.clone()),
        (false, true, Some(text)) => view::SettingValue::Number(text.parse().unwrap_or(0)),
        (false, _, text) => view::SettingValue::Text(text.cloned().unwrap_or_default()),
    };
    let source = match setting.source {
        Source::CommandLine => "cmdline",
        Source::File => "config file",
        Source::Default => "default",
    };
    view::Setting { name: setting.name.to_owned(), value, source: source.to_owned() }
}
