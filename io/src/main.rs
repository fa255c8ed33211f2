//! `leydend`: a Lightning node.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser;
use leyden_core::chain::Tip;
use leyden_core::clock::{Clock, Mono, Wall};
use leyden_core::command::Level;
use leyden_core::limits::{PEERS_MAX, WRITE_BUFFER_SIZE};
use leyden_core::node::{Boot, Node};
use leyden_core::signer::KeysSigner;
use leyden_core::store::{Row, Table};
use leyden_io::chain::{Driver, Start};
use leyden_io::config::{Flags, Setting, Settings, Source};
use leyden_io::log::Log;
use leyden_io::reactor::{End, Parts, Reactor};
use leyden_io::seed;
use leyden_persist::{Freshness, Options, ReadError, Store};
use leyden_rpc::view::{self, View};

fn main() -> ExitCode {
    match run(&Flags::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("leydend: {text}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> Result<(), String> {
    let settings = flags.settle().map_err(|error| error.to_string())?;
    let mut log = Log::new(settings.log.clone());
    let dir = &settings.node_dir;
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|e| format!("cannot make the folder {}: {e}", dir.display()))?;
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    let clock = Clock { mono: Mono(0), wall: Wall(wall) };

    let store = Store::open(&dir.join("store"), Options::default()).map_err(|error| error.to_string())?;
    let fresh = match store.freshness() {
        Freshness::New => true,
        Freshness::Current => false,
        old => {
            return Err(format!(
                "the store in {} is not the latest ({old:?}): publishing from an old one would lose money. \
                 Put the latest copy back; nothing was changed",
                dir.display()
            ));
        }
    };
    let (words, origin) = seed::load(dir, fresh)?;
    let random = |e| format!("cannot read /dev/urandom: {e}");
    let mut signer =
        KeysSigner::new(*words, settings.core.network.bitcoin(), *seed::os_random::<32>().map_err(random)?);
    if origin == seed::Origin::Drawn {
        let path = dir.join(seed::FILE_NAME);
        log.say(
            clock.wall,
            Level::Info,
            "node",
            format_args!("new seed in {}: copy it to a safe place", path.display()),
        );
    }
    let boot = Boot { config: settings.core.clone(), rng_seed: *seed::os_random::<32>().map_err(random)?, clock };
    let rows = read_rows(&store)?;
    let node =
        Node::restore(boot, rows.iter().map(|(table, key, value)| Row { table: *table, key, value }), &mut signer)
            .map_err(|error| format!("the store in {} cannot be used: {error}", dir.display()))?;

    let start = match node.tip() {
        Some(tip) => Start::At { tip, recent: node.recent_tips().collect::<Vec<Tip>>() },
        None => Start::Fresh,
    };
    let driver = Driver::new(settings.bitcoind.clone(), settings.core.network, start);
    let mut listeners = Vec::new();
    for address in &settings.listen {
        let listener = std::net::TcpListener::bind(address.as_str())
            .map_err(|e| format!("cannot listen on {address}: {e}; choose another with --listen"))?;
        listeners.push(listener);
    }
    let control = dir.join(leyden_rpc::SOCKET_NAME);
    log.say(
        clock.wall,
        Level::Info,
        "node",
        format_args!("node {} on {}, control socket {}", node.id(), settings.core.network.name(), control.display()),
    );
    let ceiling_mib = (PEERS_MAX * (WRITE_BUFFER_SIZE + 96 * 1024)) >> 20;
    log.say(
        clock.wall,
        Level::Info,
        "node",
        format_args!("buffers of all peers take at most {ceiling_mib} MiB, if all of them are slow at once"),
    );
    let view = view_of(&settings);
    let parts = Parts { node, signer, store, driver, listeners, view, log };
    let reactor = Reactor::new(parts, &control).map_err(|e| format!("cannot start: {e}"))?;
    let end = reactor.run();
    remove_socket(&control);
    match end {
        End::Asked => Ok(()),
        End::Store(error) => Err(format!("the store failed, nothing of the last turn was sent: {error}")),
        End::System(error) => Err(format!("the operating system failed: {error}")),
    }
}

fn remove_socket(path: &Path) {
    // A stale socket is replaced at the next start in any case.
    let _ = std::fs::remove_file(path);
}

/// One row as it stands in memory while the node is built.
type MemoryRow = (Table, Vec<u8>, Vec<u8>);

fn read_rows(store: &Store) -> Result<Vec<MemoryRow>, String> {
    let mut rows = Vec::new();
    store
        .visit(|row| {
            if let Some(table) = Table::from_number(row.table) {
                rows.push((table, row.key.to_vec(), row.value.to_vec()));
            }
            Ok::<(), ReadError>(())
        })
        .map_err(|error| error.to_string())?;
    Ok(rows)
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
