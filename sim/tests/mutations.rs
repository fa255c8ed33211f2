//! Each scenario can fail: with the bug that `docs/mutations.md` names for it, the story breaks the promise that stands
//! there, and without it none.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;

use leyden_core::ids::NodeId;
use leyden_core::mutation::{Mutation, activate};
use leyden_sim::CrashPoint;
use leyden_sim::replay::retell::retell;
use leyden_sim::replay::{Source, runs};
use leyden_sim::story::{Outcome, Story, Variant, parse, run, run_recorded};

/// Crashes that are tried, one turn after the other, until a promise is broken.
const CRASHES_MAX: u64 = 60;

struct Row {
    scenario: String,
    name: String,
    story: Story,
    mutation: Mutation,
    is_crashing: bool,
    oracle: String,
}

fn rows() -> Vec<Row> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("../docs/mutations.md")).expect("the table is there");
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [scenario, name, mutation, told, oracle] = cells[..] else { panic!("five columns are expected: {line}") };
        let path = root.join("scenarios").join(name).with_extension("story");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let story = parse(&text).unwrap_or_else(|flaw| panic!("{name}: {flaw}"));
        let found = Mutation::ALL.iter().find(|(_, known)| *known == mutation);
        let (mutation, _) = *found.unwrap_or_else(|| panic!("no mutation is called {mutation}"));
        let is_crashing = told == "crashing";
        let (scenario, name, oracle) = (scenario.to_owned(), name.to_owned(), oracle.to_owned());
        Row { scenario, name, story, mutation, is_crashing, oracle }
    };
    // A story that belongs to no scenario has a dash there.
    let is_row = |line: &&str| line.starts_with("| S") || line.starts_with("| – ");
    text.lines().filter(is_row).filter(|line| !line.contains("Scenario")).map(row).collect()
}

fn breaks(outcome: &Outcome, oracle: &str) -> bool {
    outcome.violations.iter().any(|violation| violation.oracle.starts_with(oracle))
}

/// Tells the story with the bug. What was broken, if it was not what the table says.
fn tell(row: &Row) -> Option<String> {
    activate(Some(row.mutation));
    let mut seen = BTreeSet::new();
    let mut is_red = false;
    let mut see = |outcome: Outcome| {
        let short = |text: &str| text.chars().take(80).collect::<String>();
        seen.extend(outcome.violations.iter().map(|found| format!("{}: {}", found.oracle, short(&found.text))));
        is_red |= breaks(&outcome, &row.oracle);
        is_red
    };
    if row.is_crashing {
        let all = (0..CRASHES_MAX).flat_map(|turn| CrashPoint::ALL.map(|point| Variant::Crash { turn, point }));
        for variant in all {
            let outcome = run(&row.story, variant);
            let is_over = outcome.crash_never_came;
            if see(outcome) || is_over {
                break;
            }
        }
    } else {
        see(run(&row.story, Variant::AsWritten));
    }
    activate(None);
    let Row { scenario, name, mutation, oracle, .. } = row;
    (!is_red).then(|| format!("{scenario} {name} with {mutation:?}: {oracle} is expected, and {seen:?} is broken"))
}

#[test]
fn every_scenario_finds_its_bug() {
    let rows = rows();
    let (next, found) = (Mutex::new(0), Mutex::new(Vec::new()));
    // A bug that shows as a panic is caught by the runner: what it prints would only be in the way.
    std::panic::set_hook(Box::new(|_| {}));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let mut place = next.lock().expect("nobody panics with it");
                    let Some(row) = rows.get(*place) else { return };
                    *place += 1;
                    drop(place);
                    let mut flaws: Vec<String> = tell(row).into_iter().collect();
                    let sound = run(&row.story, Variant::AsWritten);
                    if !sound.violations.is_empty() {
                        flaws.push(format!("{} without a bug: {:?}", row.name, sound.violations));
                    }
                    found.lock().expect("nobody panics with it").extend(flaws);
                }
            });
        }
    });
    let _ = std::panic::take_hook();
    let found = found.into_inner().expect("nobody panics with it");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_scenario_has_a_bug_to_find() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let entries = std::fs::read_dir(folder).expect("the scenarios are there");
    let number = |name: &str| {
        let name = name.trim_end_matches(".story").trim_start_matches('s');
        name.split('-').next().map(str::to_owned).unwrap_or_default()
    };
    let wanted: BTreeSet<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".story"))
        .map(|name| number(&name))
        .collect();
    let rows = rows();
    let listed: BTreeSet<String> = rows.iter().map(|row| number(&row.name)).collect();
    assert_eq!(wanted, listed);
    let used: BTreeSet<Mutation> = rows.iter().map(|row| row.mutation).collect();
    for (mutation, name) in Mutation::ALL {
        assert!(used.contains(&mutation) || Mutation::SOAK.contains(&mutation), "nothing finds {name}");
    }
}

/// What nodes recorded while something went wrong, retold: it goes wrong again, in the same way, and only with the bug.
#[test]
fn a_tape_of_a_bug_shows_the_bug() {
    let mut flaws = Vec::new();
    let mut tried = 0;
    // The other rows are about what their stories expect, which nobody records; and in one, closes name feerates, which
    // tapes do not carry over.
    let is_carried = |row: &&Row| !row.is_crashing && row.name != "s49-disjoint-fees";
    let is_told = |row: &&Row| is_carried(row) && (row.oracle.starts_with('O') || row.oracle == "wire");
    for row in rows().iter().filter(is_told) {
        activate(Some(row.mutation));
        let (outcome, recordings) = run_recorded(&row.story);
        let names: Vec<String> = (0..recordings.len()).map(|node| node.to_string()).collect();
        let sources: Vec<Source<'_>> =
            names.iter().zip(&recordings).map(|(name, bytes)| Source { name, bytes }).collect();
        let runs = runs(&sources, |complaint| panic!("{complaint}"));
        let of = |name: &String| runs.iter().find(|run| run.segments[0].file == name).map(|run| run.node_id);
        let nodes: Vec<NodeId> = names.iter().filter_map(of).collect();
        let tape = retell(&runs, &nodes, None, &mut |complaint| panic!("{complaint}")).expect("a story");
        let story = parse(&tape.to_string()).unwrap_or_else(|flaw| panic!("{}: {flaw}", row.name));
        let again = run(&story, Variant::AsWritten);
        activate(None);
        let sound = run(&story, Variant::AsWritten);
        let seen = |outcome: &Outcome| outcome.violations.iter().map(|found| found.oracle).collect::<BTreeSet<_>>();
        if !breaks(&outcome, &row.oracle) || !breaks(&again, &row.oracle) || !sound.violations.is_empty() {
            let Row { name, mutation, oracle, .. } = row;
            let (first, again, sound) = (seen(&outcome), seen(&again), seen(&sound));
            flaws.push(format!("{name} with {mutation:?}, {oracle}: {first:?}, its tape {again:?}, without {sound:?}"));
        }
        tried += 1;
    }
    assert!(tried > 15, "only {tried} rows");
    assert!(flaws.is_empty(), "{}", flaws.join("\n"));
}
