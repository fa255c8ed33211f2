//! One node does not keep the rules. Whatever it does, the others lose nothing by it, break no promise among themselves,
//! and hold no more memory than they may.

use std::sync::Mutex;

use leyden_sim::soak::{Faults, Plan, draw, with_bad_peer};
use leyden_sim::story::{Story, Variant, parse, run};
use leyden_sim::{Habit, Wire};

/// Seeds of each habit.
const SEEDS: u64 = 12;

fn story(seed: u64, habit: Habit) -> Story {
    let wire = if seed.is_multiple_of(3) { Wire::Bytes } else { Wire::Messages };
    let plan = Plan { nodes: 5, channels: 7, payments: 40, faults: Faults::Swarm, wire };
    with_bad_peer(draw(seed, &plan), Some(habit))
}

#[test]
fn nobody_loses_by_a_peer_that_does_not_keep_the_rules() {
    let all: Vec<(u64, Habit, &str)> =
        Habit::ALL.iter().flat_map(|(habit, name)| (0..SEEDS).map(|seed| (seed, *habit, *name))).collect();
    let (next, found, paid) = (Mutex::new(all.into_iter()), Mutex::new(Vec::new()), Mutex::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some((seed, habit, name)) = next.lock().expect("nobody panics with it").next() else { return };
                    let story = story(seed, habit);
                    assert_eq!(parse(&story.to_string()).as_ref(), Ok(&story), "it is the same when it is printed");
                    let outcome = run(&story, Variant::AsWritten);
                    let tell = |violation: &leyden_sim::check::Violation| {
                        let (at_ms, node) = (violation.at_ms, violation.node);
                        format!(
                            "{name}, seed {seed}, at {at_ms} ms, node {node}: {}: {}",
                            violation.oracle, violation.text
                        )
                    };
                    *paid.lock().expect("nobody panics with it") += outcome.paid;
                    found.lock().expect("nobody panics with it").extend(outcome.violations.iter().take(2).map(tell));
                }
            });
        }
    });
    let found = found.into_inner().expect("nobody panics with it");
    assert!(found.is_empty(), "{} broken promises:\n{}", found.len(), found.join("\n"));
    assert!(paid.into_inner().expect("nobody panics with it") > 500, "they pay all the same");
}
