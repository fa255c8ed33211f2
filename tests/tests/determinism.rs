//! What a simulation tells follows from its story alone: the same in this process, in another one, and in a build with
//! another optimisation and without assertions.
//!
//! `LEYDEN_SIM_OTHER` names the `leyden-sim` of that build (`cargo build -p leyden-sim --profile determinism`), as
//! `tests/run.sh` does. Without it the test builds it, which takes minutes the first time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use leyden_sim::Wire;
use leyden_sim::soak::{Faults, Plan, draw};
use leyden_sim::story::{Outcome, Variant, parse, run};
use leyden_tests::daemon::program_path;
use serde_json::Value;

const SEEDS: u64 = 6;
const NODES: usize = 5;
const CHANNELS: usize = 7;
const PAYMENTS: usize = 60;
/// With crashes, cuts at messages, closes, openings, feerates and blocks that are taken back.
const STORIES: [&str; 6] = [
    "s01-crash-between-revoke-and-commit",
    "s13-dust-by-fee",
    "s19-deadline-then-preimage",
    "s22-many-parts-slow-store",
    "s49-four-closes",
    "s59-chain-source-lies",
];

/// The build without assertions.
fn other_program() -> PathBuf {
    if let Some(path) = std::env::var_os("LEYDEN_SIM_OTHER") {
        return path.into();
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = program_path("leyden-sim").ancestors().nth(2).expect("target/debug/leyden-sim").to_path_buf();
    eprintln!("LEYDEN_SIM_OTHER is not set: building leyden-sim once more, with the profile `determinism`");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "-p", "leyden-sim", "--bin", "leyden-sim", "--profile", "determinism", "--locked"]);
    let status = build.arg("--target-dir").arg(&target).current_dir(root).status().expect("cargo can be run");
    assert!(status.success(), "the other build fails: {status}");
    target.join("determinism/leyden-sim")
}

fn said_by(program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{} cannot be run: {error}", program.display()));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{} {arguments:?}: {text}{}",
        program.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// What a run told, by its name: the digest and how much happened.
type Told = BTreeMap<String, String>;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn story_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../sim/scenarios").join(name).with_extension("story")
}

fn told_here() -> Told {
    let mut told = Told::new();
    for (name, wire) in [("messages", Wire::Messages), ("bytes", Wire::Bytes)] {
        for seed in 0..SEEDS {
            let plan = Plan { nodes: NODES, channels: CHANNELS, payments: PAYMENTS, faults: Faults::All, wire };
            let Outcome { digest, counts, paid, .. } = run(&draw(seed, &plan), Variant::AsWritten);
            let line = format!("{} {} {} {paid}", hex(&digest), counts.events, counts.messages);
            told.insert(format!("seed {seed}, {name}"), line);
        }
    }
    for name in STORIES {
        let text = std::fs::read_to_string(story_path(name)).expect("the scenario is there");
        let story = parse(&text).unwrap_or_else(|flaw| panic!("{name}: {flaw}"));
        told.insert(name.to_owned(), hex(&run(&story, Variant::AsWritten).digest[..8]));
    }
    told
}

fn told_by(program: &Path) -> Told {
    let mut told = Told::new();
    let (nodes, channels, payments) = (NODES.to_string(), CHANNELS.to_string(), PAYMENTS.to_string());
    let seeds = format!("0..{SEEDS}");
    for wire in ["messages", "bytes"] {
        let size = ["soak", "--nodes", &nodes, "--channels", &channels, "--payments", &payments];
        // Two threads: whoever runs beside a story must not matter either.
        let kind = ["--faults", "all", "--wire", wire, "--seeds", &seeds, "--threads", "2"];
        for line in said_by(program, &[&size[..], &kind[..]].concat()).lines() {
            let run: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
            let digest = run["digest"].as_str().expect("a digest");
            let line = format!("{digest} {} {} {}", run["events"], run["messages"], run["paid"]);
            told.insert(format!("seed {}, {wire}", run["seed"]), line);
        }
    }
    for name in STORIES {
        let path = story_path(name);
        let text = said_by(program, &["run", path.to_str().expect("text")]);
        let digest = text.trim().rsplit(' ').next().expect("a line");
        told.insert(name.to_owned(), digest.to_owned());
    }
    told
}

#[test]
fn neither_the_process_nor_the_build_matters() {
    let (own, other) = (program_path("leyden-sim"), other_program());
    // A binary that is not the other build would prove nothing.
    let how = if cfg!(debug_assertions) { ", with debug assertions" } else { ", without debug assertions" };
    for (program, how) in [(&own, how), (&other, ", without debug assertions")] {
        let version = said_by(program, &["--version"]);
        assert!(version.trim().ends_with(how), "{} is {version}", program.display());
    }
    let here = told_here();
    assert_eq!(here.len(), 2 * SEEDS as usize + STORIES.len());
    let differs = |there: &Told| {
        let all = here.keys().chain(there.keys()).filter(|name| here.get(*name) != there.get(*name));
        all.map(|name| format!("{name}: {:?} here, {:?} there", here.get(name), there.get(name))).collect::<Vec<_>>()
    };
    let found = differs(&told_by(&own));
    assert!(found.is_empty(), "another process tells otherwise:\n{}", found.join("\n"));
    let found = differs(&told_by(&other));
    assert!(found.is_empty(), "another build tells otherwise:\n{}", found.join("\n"));
}
