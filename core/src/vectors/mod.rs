//! The specification's vectors in `tests/vectors`: how tests read them, and that none lies there unread.

mod worked;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::ids::hex_array;

/// Files that no test reads yet, each with what must be built before one can.
const UNREAD: &[(&str, &str)] = &[
    ("bolt02/splicing-flows", "splicing is not offered"),
    ("bolt10/dns-examples", "peers are not looked up by DNS seeds"),
    ("bolt12/format-strings", "offers are not read"),
    ("bolt12/offers", "offers are not read"),
    ("bolt12/signatures", "neither offers nor their invoices are signed"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors")
}

/// A file of vectors, named as `bolt04/onion`.
pub(crate) fn file(name: &str) -> Value {
    let path = root().join(name).with_extension("json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("the vectors are JSON")
}

/// The cases of a file.
pub(crate) fn cases(name: &str) -> Vec<Value> {
    file(name)["cases"].as_array().expect("a file has cases").clone()
}

/// Bytes from their hex.
pub(crate) fn hex(text: &Value) -> Vec<u8> {
    let text = text.as_str().expect("hex");
    let byte = |at: usize| hex_array::<1>(&text[2 * at..2 * at + 2]).expect("hex")[0];
    (0..text.len() / 2).map(byte).collect()
}

/// All files below `dir` that end so.
fn below(dir: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("a directory of the checkout") {
        let path = entry.expect("it can be listed").path();
        if path.is_dir() {
            below(&path, extension, found);
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
}

#[test]
fn every_file_is_read_by_a_test_or_named_with_a_reason() {
    let mut sources = Vec::new();
    below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "rs", &mut sources);
    // This file names the unread ones.
    sources.retain(|path| !path.ends_with("vectors/mod.rs"));
    let sources: String =
        sources.iter().map(|path| std::fs::read_to_string(path).expect("a source of the checkout")).collect();
    let mut paths = Vec::new();
    below(&root(), "json", &mut paths);
    let name = |path: &PathBuf| {
        let relative = path.strip_prefix(root()).expect("it was found below").with_extension("");
        relative.to_str().expect("a plain name").to_owned()
    };
    let present: BTreeSet<String> = paths.iter().map(name).collect();
    assert!(present.len() >= 31, "the vectors are in the checkout");
    let unread: BTreeSet<String> = UNREAD.iter().map(|(name, _)| (*name).to_owned()).collect();
    let read: BTreeSet<String> =
        present.iter().filter(|name| sources.contains(&format!("\"{name}\""))).cloned().collect();
    assert_eq!(present, &read | &unread, "a file that no test reads is named with a reason");
    assert_eq!(read.intersection(&unread).next(), None, "a file that a test reads is not named as unread");
}
