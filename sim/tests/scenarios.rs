//! Every story of `scenarios/`, those that soaking has found included, as it is written, on both wires, and in all its variants. No variant may break a
//! promise, and told twice a story is the same.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use leyden_sim::story::{Outcome, Story, Variant, parse, run, variants};
use leyden_sim::{CrashPoint, Wire};

fn stories() -> Vec<(String, Story)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut paths: Vec<PathBuf> = Vec::new();
    for folder in [folder.join("found"), folder] {
        let entries = std::fs::read_dir(&folder).expect("the scenarios are there");
        paths.extend(entries.map(|entry| entry.expect("it can be read").path()));
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "story"));
    paths.sort();
    let read = |path: PathBuf| {
        let name = path.file_stem().expect("it has a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("it can be read");
        let story = parse(&text).unwrap_or_else(|flaw| panic!("{name}: {flaw}"));
        assert_eq!(parse(&story.to_string()).as_ref(), Ok(&story), "{name} is the same when it is printed");
        (name, story)
    };
    paths.into_iter().map(read).collect()
}

/// Works on all stories with two threads, which is what a small machine has. Returns what went wrong, by story.
fn on_all(work: impl Fn(&str, &Story) -> Vec<String> + Sync) -> Vec<String> {
    let stories = stories();
    let next = Mutex::new(0);
    let found = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let mut place = next.lock().expect("nobody panics with it");
                    let Some((name, story)) = stories.get(*place) else { return };
                    *place += 1;
                    drop(place);
                    let flaws = work(name, story);
                    found.lock().expect("nobody panics with it").extend(flaws);
                }
            });
        }
    });
    let mut found = found.into_inner().expect("nobody panics with it");
    found.sort();
    found
}

fn flaws(name: &str, variant: Variant, outcome: &Outcome) -> Vec<String> {
    let tell = |violation: &leyden_sim::check::Violation| {
        let (at_ms, node) = (violation.at_ms, violation.node);
        format!("{name}, {variant:?}, at {at_ms} ms, node {node}: {}: {}", violation.oracle, violation.text)
    };
    outcome.violations.iter().take(3).map(tell).collect()
}

fn assert_none(found: &[String]) {
    assert!(found.is_empty(), "{} broken promises:\n{}", found.len(), found.join("\n"));
}

#[test]
fn as_written_twice_and_on_both_wires() {
    let found = on_all(|name, story| {
        let first = run(story, Variant::AsWritten);
        let mut found = flaws(name, Variant::AsWritten, &first);
        if run(story, Variant::AsWritten).digest != first.digest {
            found.push(format!("{name} is not the same when it is told again"));
        }
        let other =
            Story { wire: if story.wire == Wire::Bytes { Wire::Messages } else { Wire::Bytes }, ..story.clone() };
        let second = run(&other, Variant::AsWritten);
        found.extend(flaws(&format!("{name} on the other wire"), Variant::AsWritten, &second));
        if (first.payments, first.paid) != (second.payments, second.paid) {
            found.push(format!("{name}: {} paid, and {} on the other wire", first.paid, second.paid));
        }
        found
    });
    assert_none(&found);
}

#[test]
fn slow_stores_and_shifted_blocks() {
    let found = on_all(|name, story| {
        let told = variants(story).into_iter().filter(|variant| *variant != Variant::AsWritten);
        told.flat_map(|variant| flaws(name, variant, &run(story, variant))).collect()
    });
    assert_none(&found);
}

#[test]
fn a_crash_at_every_place() {
    let found = on_all(|name, story| {
        if story.under_test.is_none() {
            return Vec::new();
        }
        let mut found = Vec::new();
        for point in CrashPoint::ALL {
            // Until the story has no more turns of the node under test that write something.
            for turn in 0.. {
                let variant = Variant::Crash { turn, point };
                let outcome = run(story, variant);
                if outcome.crash_never_came {
                    assert!(turn > 0, "{name}: the node under test writes nothing");
                    break;
                }
                found.extend(flaws(name, variant, &outcome));
            }
        }
        found
    });
    assert_none(&found);
}
