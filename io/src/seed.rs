//! The seed: twelve words with a checksum, drawn at the first start and read at every other.
//!
//! Everything the node owns can be derived from it, so it is its own small file, readable by its owner alone, and
//! never a row: backups of the rows carry no keys.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use bip39::Mnemonic;
use zeroize::Zeroizing;

/// The file's name in the node's folder.
pub const FILE_NAME: &str = "seed";

/// Where the seed came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Just drawn: a new node.
    Drawn,
    /// Read from the file.
    Read,
}

/// Random bytes of the operating system.
pub fn os_random<const N: usize>() -> std::io::Result<Zeroizing<[u8; N]>> {
    let mut bytes = Zeroizing::new([0; N]);
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes[..])?;
    Ok(bytes)
}

/// Reads the seed, or draws one if the folder has none. `may_draw` is false where rows exist: then a missing seed means
/// that their keys are gone, and a new one would hide it.
pub fn load(dir: &Path, may_draw: bool) -> Result<(Zeroizing<[u8; 64]>, Origin), String> {
    let path = dir.join(FILE_NAME);
    match fs::read_to_string(&path).map(Zeroizing::new) {
        Ok(words) => {
            let mnemonic = Mnemonic::parse(words.trim()).map_err(|e| {
                format!("{}: not a valid seed ({e}); put the right words back, nothing was changed", path.display())
            })?;
            Ok((Zeroizing::new(mnemonic.to_seed("")), Origin::Read))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && may_draw => {
            let entropy = os_random::<16>().map_err(|e| format!("cannot read /dev/urandom: {e}"))?;
            let mnemonic = Mnemonic::from_entropy(&entropy[..]).expect("16 bytes make 12 words");
            let words = Zeroizing::new(format!("{mnemonic}\n"));
            write_new(dir, &path, words.as_bytes()).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
            Ok((Zeroizing::new(mnemonic.to_seed("")), Origin::Drawn))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(format!(
            "{} is missing, but this node has rows: restore the seed file, without it the money cannot be moved",
            path.display()
        )),
        Err(e) => Err(format!("cannot read {}: {e}", path.display())),
    }
}

/// Whole or not at all: a half-written seed would be a lost one.
fn write_new(dir: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let draft = path.with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    fs::File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn folder(name: &str) -> std::path::PathBuf {
        let dir = std::env::temp_dir().join(format!("leyden-seed-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).expect("the temporary folder can be written");
        dir
    }

    #[test]
    fn a_seed_is_drawn_once_and_read_for_ever() {
        let dir = folder("once");
        let (drawn, origin) = load(&dir, true).expect("drawn");
        assert_eq!(origin, Origin::Drawn);
        let (read, origin) = load(&dir, false).expect("read");
        assert_eq!((read, origin), (drawn, Origin::Read));
        let mode = fs::metadata(dir.join(FILE_NAME)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::remove_dir_all(dir).expect("ours");
    }

    #[test]
    fn a_damaged_or_missing_seed_is_not_replaced() {
        let dir = folder("damaged");
        assert!(load(&dir, false).expect_err("missing").contains("missing"));
        let words = "abandon ".repeat(12);
        fs::write(dir.join(FILE_NAME), &words).expect("ours");
        assert!(load(&dir, true).expect_err("bad checksum").contains("not a valid seed"));
        assert_eq!(fs::read_to_string(dir.join(FILE_NAME)).expect("there"), words);
        fs::remove_dir_all(dir).expect("ours");
    }
}
