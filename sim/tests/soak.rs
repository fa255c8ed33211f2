//! A fixed sweep of stories drawn from seeds: each is told twice, once over bytes, and once with every node's flight
//! recorder on, whose recordings must replay. `leyden-sim soak` tells thousands more.

// The test uses all cores; what it tests uses one.
#![allow(clippy::disallowed_methods)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use leyden_sim::Wire;
use leyden_sim::replay::{Nobody, Replay, Source, runs};
use leyden_sim::soak::{Faults, Plan, draw};
use leyden_sim::story::{Outcome, Variant, run, run_recorded};

const SEEDS: u64 = 24;
const THREADS: usize = 2;

fn plan(faults: Faults) -> Plan {
    Plan { nodes: 6, channels: 8, payments: 60, faults, wire: Wire::Messages }
}

/// Turns and steps that were replayed, or where and how the replay went another way.
fn replayed(bytes: &[u8]) -> Result<(u64, u64), String> {
    let mut trouble = Vec::new();
    let sources = [Source { name: "recording", bytes }];
    let runs = runs(&sources, |complaint| trouble.push(complaint));
    let mut counted = (0, 0);
    for run in &runs {
        let mut replay = Replay::new(run).verifying(true);
        loop {
            match replay.next_turn() {
                Ok(None) => break,
                Ok(Some(turn)) => match replay.take(&turn, &mut Nobody) {
                    Ok(Ok(())) => {}
                    Ok(Err(divergence)) => return Err(format!("{divergence:?}")),
                    Err(obstacle) => return Err(obstacle.to_string()),
                },
                Err((_, obstacle)) => return Err(obstacle.to_string()),
            }
        }
        counted = (counted.0 + replay.counted.0, counted.1 + replay.counted.1);
    }
    if trouble.is_empty() { Ok(counted) } else { Err(trouble.join("; ")) }
}

fn broken(outcome: &Outcome) -> Option<String> {
    let violation = outcome.violations.first()?;
    let (at_ms, node) = (violation.at_ms, violation.node);
    Some(format!("at {at_ms} ms, node {node}: {}: {}", violation.oracle, violation.text))
}

fn flaw(seed: u64) -> Option<String> {
    let faults = if seed.is_multiple_of(4) { Faults::All } else { Faults::Swarm };
    let story = draw(seed, &plan(faults));
    let first = run(&story, Variant::AsWritten);
    if let Some(text) = broken(&first) {
        return Some(text);
    }
    if run(&story, Variant::AsWritten) != first {
        return Some("told twice, it is another story".into());
    }
    let mut bytes = story.clone();
    bytes.wire = Wire::Bytes;
    if let Some(text) = broken(&run(&bytes, Variant::AsWritten)) {
        return Some(format!("over bytes: {text}"));
    }
    let (recorded, recordings) = run_recorded(&story);
    if recorded != first {
        return Some("with recorders on, it is another story".into());
    }
    let mut turns = 0;
    for (node, recording) in recordings.iter().enumerate() {
        match replayed(recording) {
            Ok(counted) => turns += counted.0,
            Err(text) => return Some(format!("the recording of node {node} does not replay: {text}")),
        }
    }
    (turns < 100).then(|| format!("only {turns} turns were replayed"))
}

#[test]
fn no_seed_of_the_sweep_breaks_a_promise() {
    let next = AtomicU64::new(0);
    let found = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= SEEDS {
                        return;
                    }
                    if let Some(text) = flaw(seed) {
                        found.lock().expect("nobody panics with it").push(format!("seed {seed}: {text}"));
                    }
                }
            });
        }
    });
    let found = found.into_inner().expect("nobody panics with it");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn what_was_found_once_stays_mended() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/found");
    let entries = std::fs::read_dir(&folder).expect("the stories are there");
    let paths: Vec<_> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
    assert!(!paths.is_empty());
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("it can be read");
        let story = leyden_sim::story::parse(&text).unwrap_or_else(|flaw| panic!("{}: {flaw}", path.display()));
        assert_eq!(broken(&run(&story, Variant::AsWritten)), None, "{}", path.display());
    }
}
