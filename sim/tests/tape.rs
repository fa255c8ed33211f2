//! What nodes recorded, told again as a story: it ends as it did.

use std::path::{Path, PathBuf};

use leyden_core::ids::NodeId;
use leyden_sim::replay::retell::{Tape, retell};
use leyden_sim::replay::{Source, runs};
use leyden_sim::story::{Outcome, Story, Variant, parse, run, run_recorded};

/// The recordings of a story's nodes, retold.
fn retold(recordings: &[Vec<u8>]) -> Tape {
    let names: Vec<String> = (0..recordings.len()).map(|node| format!("node {node}")).collect();
    let sources: Vec<Source<'_>> =
        names.iter().zip(recordings).map(|(name, bytes)| Source { name, bytes }).collect();
    let runs = runs(&sources, |complaint| panic!("{complaint}"));
    let mut nodes: Vec<NodeId> = Vec::new();
    for name in &names {
        nodes.extend(runs.iter().find(|run| run.segments[0].file == name).map(|run| run.node_id));
    }
    retell(&runs, &nodes, None, &mut |complaint| panic!("{complaint}")).expect("a story")
}

fn stories() -> Vec<(String, Story)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let entries = std::fs::read_dir(&folder).expect("the scenarios are there");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("it can be read").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "story"));
    paths.sort();
    let read = |path: PathBuf| {
        let name = path.file_stem().expect("it has a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("it can be read");
        (name.clone(), parse(&text).unwrap_or_else(|flaw| panic!("{name}: {flaw}")))
    };
    paths.into_iter().map(read).collect()
}

#[test]
fn explore() {
    let filter = std::env::var("F").unwrap_or_default();
    for (name, story) in stories() {
        if !name.contains(&filter) { continue }
        let (outcome, recordings) = run_recorded(&story);
        let tape = retold(&recordings);
        let text = tape.to_string();
        if std::env::var("SHOW").is_ok() { println!("{text}"); }
        let mut again = parse(&text).expect("it reads");
        again.closes_allowed |= story.closes_allowed;
        again.steps.extend(tape.expectations());
        let second = run(&again, Variant::AsWritten);
        let v = |outcome: &Outcome| outcome.violations.iter().take(4).map(|v| format!("{}: {}", v.oracle, v.text)).collect::<Vec<_>>();
        println!("{name}: {}/{} -> {}/{} {:?} {:?}", outcome.paid, outcome.payments, second.paid, second.payments, v(&outcome), v(&second));
        if std::env::var("SHOW").is_ok() { println!("{}\n-----\n{}", outcome.log, second.log); }
    }
}
