//! `leydend playground`: several nodes in one process, on a chain of their own, with open channels.
//!
//! Nothing in it is pretended but the chain: each node is the ordinary daemon with its loop, its store, its sockets. What
//! the playground wants of them it asks over their control sockets.

mod client;
mod fleet;
mod folder;
mod guide;
mod setup;

use std::io::Write;
use std::path::PathBuf;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use leyden_core::clock::Wall;

use signal_hook_mio::v1_0::Signals;

use crate::reactor::{SIGINT, SIGTERM};
use fleet::{Ended, Fleet, Plan};
use folder::Folder;

/// Fewer nodes have no channel; more have no letter.
const NODES_MIN: usize = 2;
const NODES_MAX: usize = 26;

/// Without a timer the playground just waits.
const IDLE: Duration = Duration::from_secs(3600);

/// Several nodes with open channels on a chain of their own, to try things out.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Playground {
    /// How many nodes stand in the line A–B–C… [default: 3, or as many as DIR holds]
    #[arg(long, value_name = "COUNT")]
    pub nodes: Option<usize>,
    /// Keep everything in this folder, and go on from there at the next start [default: ~/.leyden/playground, which is
    /// removed at the end]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Mine a block every so many seconds [default: only when asked, by dev-generate]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub mine_every: Option<u64>,
    /// Node A listens on this port, the others on those that follow [default: free ones]
    #[arg(long, value_name = "PORT")]
    pub base_port: Option<u16>,
    /// What the nodes' logs hold: error, warn, info, debug or trace, for all parts or `part=level,…`
    #[arg(long, value_name = "L", default_value = "info")]
    pub log_level: String,
}

/// Runs the playground until it is stopped.
pub fn run(flags: &Playground) -> Result<(), String> {
    if let Some(nodes) = flags.nodes.filter(|nodes| !(NODES_MIN..=NODES_MAX).contains(nodes)) {
        return Err(format!("--nodes {nodes}: a playground has {NODES_MIN} to {NODES_MAX} nodes"));
    }
    // From here on a signal does not end the process at once: the folder has to go, if it is not kept.
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(|error| format!("cannot listen for signals: {error}"))?;
    let mut folder = Folder::open(flags.dir.as_deref(), flags.nodes)?;
    if let Some(warning) = &folder.warning {
        eprintln!("leydend: {warning}");
    }
    let mut fleet = Fleet::new();
    let played = play(flags, &mut folder, &mut fleet, &mut signals);
    let stopped = fleet.stop();
    let closed = folder.close();
    played.and(stopped).and(closed)
}

fn play(flags: &Playground, folder: &mut Folder, fleet: &mut Fleet, signals: &mut Signals) -> Result<(), String> {
    let chain = folder.chain.clone();
    let plan = Plan { dir: folder.path(), chain: &chain, base_port: flags.base_port, log_level: &flags.log_level };
    for _ in 0..folder.nodes() {
        if signals.pending().next().is_some() {
            return Ok(());
        }
        fleet.start_next(&plan)?;
    }
    let begun = match signals.pending().next() {
        Some(_) => return Ok(()),
        None => setup::run(&fleet.members, folder.is_set_up()),
    };
    if let Err(error) = begun {
        // Whoever stops the process while it begins stops its nodes, and then nothing has failed.
        return match fleet.ended.try_recv() {
            Ok(Ended { result: Ok(()), .. }) => Ok(()),
            Ok(Ended { name, result: Err(error) }) => Err(format!("node {name}: {error}")),
            Err(_) => Err(error),
        };
    }
    folder.mark_set_up()?;
    say(&guide::text(&fleet.members, folder, flags.mine_every));

    let mut running = fleet.members.len();
    while running > 0 {
        match fleet.ended.recv_timeout(flags.mine_every.map_or(IDLE, Duration::from_secs)) {
            Ok(Ended { result: Ok(()), name }) => {
                running -= 1;
                say(&format!("node {name} has stopped\n"));
            }
            Ok(Ended { result: Err(error), name }) => return Err(format!("node {name}: {error}")),
            Err(RecvTimeoutError::Timeout) if flags.mine_every.is_some() => {
                chain.generate(1, None, now()).map_err(|error| error.to_string())?;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    Ok(())
}

fn now() -> Wall {
    Wall(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64))
}

/// Tells whoever looks; that nobody does is no failure.
fn say(text: &str) {
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
