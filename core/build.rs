//! Names the build by what it is made of: a recording replays exactly only with the decisions that wrote it.

use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "the core does no I/O; a build does")]
fn main() {
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rerun-if-changed=../Cargo.lock");
    let mut files = vec![PathBuf::from("../Cargo.lock")];
    collect(Path::new("src"), &mut files);
    files.sort_unstable();
    // Names this source among its neighbours, and is no proof against anybody.
    let mut hasher = DefaultHasher::new();
    for file in &files {
        // A lock file that is not there (the crate alone, packed) names no dependencies.
        let Ok(bytes) = std::fs::read(file) else { continue };
        hasher.write(file.to_string_lossy().as_bytes());
        hasher.write_usize(bytes.len());
        hasher.write(&bytes);
    }
    println!("cargo::rustc-env=LEYDEN_BUILD_ID={}+{:016x}", env!("CARGO_PKG_VERSION"), hasher.finish());
}
