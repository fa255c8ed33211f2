//! The playground's nodes: each an ordinary daemon with its loop on a thread of its own.

use std::fs::OpenOptions;
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use leyden_core::ids::NodeId;

use super::client;
use crate::chain::SharedChain;
use crate::config::{Flags, Settings};
use crate::daemon::{Daemon, Given, make_folder};
use crate::log::Log;

/// A node that runs.
pub(super) struct Member {
    /// A, B, C …
    pub(super) name: String,
    /// Who it is.
    pub(super) id: NodeId,
    /// The port on which it listens for other nodes.
    pub(super) port: u16,
    /// Its control socket.
    pub(super) control: PathBuf,
    thread: JoinHandle<()>,
}

/// A node has ended.
pub(super) struct Ended {
    pub(super) name: String,
    pub(super) result: Result<(), String>,
}

/// Tells of a node's end, whatever ends it.
struct Farewell {
    name: String,
    sender: mpsc::Sender<Ended>,
    result: Option<Result<(), String>>,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        let result = self.result.take().unwrap_or_else(|| Err("it has panicked".to_owned()));
        // Nobody listens once the playground ends.
        let _ = self.sender.send(Ended { name: std::mem::take(&mut self.name), result });
    }
}

/// All nodes.
pub(super) struct Fleet {
    pub(super) members: Vec<Member>,
    sender: mpsc::Sender<Ended>,
    /// Tells of each node that ends.
    pub(super) ended: mpsc::Receiver<Ended>,
}

/// What is the same for all.
pub(super) struct Plan<'a> {
    pub(super) dir: &'a Path,
    pub(super) chain: &'a SharedChain,
    pub(super) base_port: Option<u16>,
    pub(super) log_level: &'a str,
}

/// The name of the node at a place of the line.
pub(super) fn name(place: usize) -> String {
    let letter = u8::try_from(place).ok().and_then(|place| b'A'.checked_add(place));
    char::from(letter.expect("there are no more nodes than letters")).to_string()
}

impl Fleet {
    /// Nobody yet.
    pub(super) fn new() -> Fleet {
        let (sender, ended) = mpsc::channel();
        Fleet { members: Vec::new(), sender, ended }
    }

    /// Starts the next node of the line, and waits until it can be asked.
    pub(super) fn start_next(&mut self, plan: &Plan<'_>) -> Result<(), String> {
        let place = self.members.len();
        let name = name(place);
        let listener = listen(plan.base_port, place)?;
        let address = listener.local_addr().map_err(|e| format!("node {name}: {e}"))?;
        let data_dir = plan.dir.join(&name);
        make_folder(&data_dir)?;
        let settings = settings(&data_dir, &name, &address.to_string(), plan.log_level)?;
        let log_path = data_dir.join("log");
        let log_file = OpenOptions::new().create(true).append(true).mode(0o600).open(&log_path);
        let log_file = log_file.map_err(|e| format!("cannot write {}: {e}", log_path.display()))?;

        let farewell = Farewell { name: name.clone(), sender: self.sender.clone(), result: None };
        let (ready, is_ready) = mpsc::channel();
        let chain = plan.chain.clone();
        // A loop is not made to be moved: its thread makes it.
        let body = move || {
            // All of it moves here, so that it is dropped when the thread ends.
            let mut farewell = farewell;
            let given = Given { chain: Some(chain), listeners: Some(vec![listener]) };
            let log = || match log_file.try_clone() {
                Ok(file) => Log::to_file(settings.log.clone(), file),
                // Without a descriptor there is still the terminal.
                Err(_) => Log::new(settings.log.clone()),
            };
            // Whoever started this thread waits to be told.
            farewell.result = Some(match Daemon::start(&settings, given, log) {
                Ok(daemon) => {
                    let _ = ready.send(Ok((daemon.id, daemon.control.clone())));
                    daemon.run()
                }
                Err(error) => {
                    let _ = ready.send(Err(error.clone()));
                    Err(error)
                }
            });
        };
        let thread = thread::Builder::new().name(format!("node {name}")).spawn(body);
        let thread = thread.map_err(|e| format!("node {name}: cannot start a thread: {e}"))?;
        let started = is_ready.recv().unwrap_or_else(|_| Err("its thread has ended".to_owned()));
        let (id, control) = started.map_err(|error| format!("node {name}: {error}"))?;
        self.members.push(Member { name, id, port: address.port(), control, thread });
        Ok(())
    }

    /// Asks all nodes to stop, and waits until they have. Returns what went wrong first.
    pub(super) fn stop(self) -> Result<(), String> {
        for member in &self.members {
            // One that has ended cannot be asked.
            let _ = client::call(&member.control, "stop", "[]");
        }
        let mut result = Ok(());
        for member in self.members {
            // Whether it has panicked is told by its farewell.
            let _ = member.thread.join();
        }
        for Ended { name, result: ended } in self.ended.try_iter() {
            result = result.and(ended.map_err(|error| format!("node {name}: {error}")));
        }
        result
    }
}

fn listen(base_port: Option<u16>, place: usize) -> Result<TcpListener, String> {
    let Some(base) = base_port else {
        return TcpListener::bind("127.0.0.1:0").map_err(|e| format!("no free port on 127.0.0.1: {e}"));
    };
    let port = u16::try_from(place).ok().and_then(|place| base.checked_add(place));
    let port = port.ok_or_else(|| format!("--base-port {base} leaves no port for node {}", name(place)))?;
    TcpListener::bind(("127.0.0.1", port)).map_err(|error| {
        format!(
            "cannot listen on 127.0.0.1:{port} for node {}: {error}; choose another --base-port, or leave it out to \
             get free ports",
            name(place)
        )
    })
}

fn settings(data_dir: &Path, name: &str, address: &str, log_level: &str) -> Result<Settings, String> {
    // The same flags that somebody would give who starts the node alone, so that `listconfigs` tells the truth.
    let flags = Flags {
        data_dir: Some(data_dir.to_path_buf()),
        network: Some("regtest".to_owned()),
        chain: Some("embedded".to_owned()),
        listen: vec![address.to_owned()],
        alias: Some(name.to_owned()),
        log_level: Some(log_level.to_owned()),
        ..Flags::default()
    };
    flags.settle().map_err(|error| format!("node {name}: {error}"))
}
