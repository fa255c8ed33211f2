//! The playground's folder: what it holds, whether it is kept, and that no other playground is in it.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::chain::SharedChain;
use crate::chain::embedded::OpenError;
use crate::daemon::{CHAIN_FILE, make_folder};

/// Says what the folder is.
const MARK_FILE: &str = "playground.toml";
const FORMAT: u32 = 1;

/// How many nodes there are when nobody says.
const NODES_DEFAULT: usize = 3;
/// A system's path to a socket has 108 bytes, with a zero at its end.
const SOCKET_PATH_MAX: usize = 107;

/// What the folder is.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
struct Mark {
    format: u32,
    /// How many nodes stand in the line.
    nodes: usize,
    /// Is it kept when the playground ends?
    kept: bool,
    /// Have all channels been opened?
    set_up: bool,
}

/// A folder that is this playground's alone.
pub(super) struct Folder {
    path: PathBuf,
    mark: Mark,
    /// All nodes' chain. Its file is locked, and with it the folder.
    pub(super) chain: SharedChain,
    /// What was wrong and is mended.
    pub(super) warning: Option<String>,
}

impl Folder {
    /// Opens the folder, or makes it. Without a name it is the usual one and goes at the end.
    pub(super) fn open(dir: Option<&Path>, nodes: Option<usize>) -> Result<Folder, String> {
        let (path, kept) = match dir {
            Some(dir) => (std::path::absolute(dir).map_err(|e| format!("--dir {}: {e}", dir.display()))?, true),
            None => (leyden_rpc::cli::playground_folder(), false),
        };
        let mut found = read_mark(&path)?;
        if found.as_ref().is_some_and(|mark| !mark.kept) {
            // The last playground here was killed, unless it lives: then the chain's file is locked.
            drop(open_chain(&path)?);
            fs::remove_dir_all(&path).map_err(|e| format!("cannot remove the old {}: {e}", path.display()))?;
            found = None;
        }
        let mark = match (found, nodes) {
            (Some(mark), Some(nodes)) if nodes != mark.nodes => {
                return Err(format!(
                    "{} holds a playground of {} nodes: leave --nodes out, or choose another --dir",
                    path.display(),
                    mark.nodes
                ));
            }
            (Some(mark), _) => mark,
            (None, nodes) => Mark { format: FORMAT, nodes: nodes.unwrap_or(NODES_DEFAULT), kept, set_up: false },
        };
        let longest = path.join("A").join("regtest").join(leyden_rpc::SOCKET_NAME).as_os_str().len();
        if longest > SOCKET_PATH_MAX {
            return Err(format!(
                "the path {} is too long: a socket's path may have {SOCKET_PATH_MAX} bytes, these would have {longest}; \
                 choose a shorter --dir",
                path.display()
            ));
        }
        make_folder(&path).map_err(|e| format!("{e}; choose another place with --dir"))?;
        let (chain, warning) = open_chain(&path)?;
        let folder = Folder { path, mark, chain, warning };
        folder.write_mark()?;
        Ok(folder)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// How many nodes stand in the line.
    pub(super) fn nodes(&self) -> usize {
        self.mark.nodes
    }

    /// Is it kept?
    pub(super) fn is_kept(&self) -> bool {
        self.mark.kept
    }

    /// Have all channels been opened, now or at an earlier start?
    pub(super) fn is_set_up(&self) -> bool {
        self.mark.set_up
    }

    /// They have.
    pub(super) fn mark_set_up(&mut self) -> Result<(), String> {
        self.mark.set_up = true;
        self.write_mark()
    }

    /// The end: what is not kept goes.
    pub(super) fn close(self) -> Result<(), String> {
        if self.mark.kept {
            return Ok(());
        }
        fs::remove_dir_all(&self.path).map_err(|e| format!("cannot remove {}: {e}", self.path.display()))
    }

    fn write_mark(&self) -> Result<(), String> {
        let path = self.path.join(MARK_FILE);
        let text = toml::to_string(&self.mark).map_err(|e| e.to_string())?;
        let draft = path.with_extension("new");
        let written = fs::write(&draft, text).and_then(|()| fs::rename(&draft, &path));
        written.map_err(|e| format!("cannot write {}: {e}", path.display()))
    }
}

/// What the folder says it is; `None` if there is nothing.
fn read_mark(dir: &Path) -> Result<Option<Mark>, String> {
    let path = dir.join(MARK_FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            // Nobody's files shall be among ours, least of all when ours are removed.
            let is_empty = fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none());
            return match is_empty {
                true => Ok(None),
                false => Err(format!(
                    "{} is not empty and holds no playground; choose an empty folder with --dir",
                    dir.display()
                )),
            };
        }
        Err(e) => return Err(format!("cannot read {}: {e}", path.display())),
    };
    let other = |what: String| {
        format!("{} is a playground of another version of leydend ({what}); choose another --dir", dir.display())
    };
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    match toml::from_str::<Format>(&text) {
        Ok(Format { format: FORMAT }) => toml::from_str(&text).map(Some).map_err(|e| other(e.to_string())),
        Ok(Format { format }) => Err(other(format!("format {format}, this one reads {FORMAT}"))),
        Err(e) => Err(other(e.to_string())),
    }
}

fn open_chain(dir: &Path) -> Result<(SharedChain, Option<String>), String> {
    SharedChain::open(&dir.join(CHAIN_FILE), super::now()).map_err(|error| match error {
        OpenError::Locked { .. } => {
            format!("a playground runs in {} already: use it, stop it, or start another one with --dir", dir.display())
        }
        error => error.to_string(),
    })
}
