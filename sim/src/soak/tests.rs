use std::collections::BTreeMap;

use super::*;
use crate::net::Wire;
use crate::story::{Expectation, PayKind, Step, Variant, parse, run};
use crate::world::Refill;

fn small(faults: Faults) -> Plan {
    Plan { nodes: 4, channels: 5, payments: 25, faults, wire: Wire::Messages }
}

#[test]
fn a_seed_draws_the_same_story_and_its_text_tells_it_again() {
    for seed in 0..20 {
        let story = draw(seed, &small(Faults::All));
        assert_eq!(draw(seed, &small(Faults::All)), story);
        assert_eq!(parse(&story.to_string()), Ok(story));
    }
    assert_ne!(draw(1, &small(Faults::Swarm)).steps, draw(2, &small(Faults::Swarm)).steps);
}

#[test]
fn a_failing_story_shrinks_to_what_makes_it_fail() {
    let mut story = draw(3, &small(Faults::None));
    // Something that is never so, once the twentieth payment was tried.
    let never = Expectation::Gains(0, 123);
    story.steps.push(Step::Expect(never.clone()));
    let failed = run(&story, Variant::AsWritten);
    assert!(fails_alike(&failed, "expectation"), "{:?}", failed.violations);
    let mut told = 0;
    let shrunk = shrink(&story, Variant::AsWritten, &failed, "expectation", 400, &mut |_, _| told += 1);
    assert_eq!(shrunk.story.steps, [Step::Expect(never)]);
    assert!(shrunk.story.channels.is_empty() && shrunk.story.names.len() == 1, "{}", shrunk.story);
    assert_eq!(shrunk.runs, told);
}

/// What a step is called, of those kinds that not every seed has.
fn kind(step: &Step, nodes: usize) -> Option<&'static str> {
    Some(match step {
        Step::Circle { from, over, .. } => {
            assert!(!over.is_empty() && !over.contains(from) && over.len() < nodes, "{step:?}");
            if over.len() == 1 { "a circle over two channels with one peer" } else { "a circle over several" }
        }
        Step::Pay { kind: PayKind::Probe, .. } => "a probe",
        Step::Pay { kind: PayKind::ProbeRoute, .. } => "a probe along a route",
        Step::Pay { kind: PayKind::Half, .. } => "a half",
        Step::HoldInvoice { .. } => "a payment that is held",
        Step::Settle(_) => "a held payment is settled",
        Step::Cancel(_) => "a held payment is given back",
        Step::Reorg(1..=5, Refill::Full) => "a shallow reorganisation",
        Step::Reorg(1..=5, Refill::Empty) => "a shallow reorganisation by empty blocks",
        Step::Reorg(_, Refill::Full) => "a deep reorganisation",
        Step::Reorg(_, Refill::Empty) => "a deep reorganisation by empty blocks",
        _ => return None,
    })
}

#[test]
fn all_that_is_drawn_is_drawn_by_some_seeds_and_not_by_all() {
    const SEEDS: u64 = 100;
    let plan = Plan { nodes: 8, channels: 12, payments: 300, faults: Faults::Swarm, wire: Wire::Messages };
    let mut seeds: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut spots, mut forgotten) = (0, 0);
    for seed in 0..SEEDS {
        let swarm = Swarm::of_seed(seed, plan.faults);
        let story = draw(seed, &plan);
        let found: std::collections::BTreeSet<&str> =
            story.steps.iter().filter_map(|step| kind(step, plan.nodes)).collect();
        assert_eq!(found.iter().any(|kind| kind.contains("probe")), swarm.probes, "seed {seed}");
        assert_eq!(found.iter().any(|kind| kind.contains("held")), swarm.holds, "seed {seed}");
        assert!(swarm.circles || !found.iter().any(|kind| kind.contains("circle")), "seed {seed}");
        assert!(swarm.reorgs || !found.iter().any(|kind| kind.contains("reorganisation")), "seed {seed}");
        for kind in found {
            *seeds.entry(kind).or_default() += 1;
        }
        // One is paid by far the most where one is a hot spot. With two that pay each other besides it may be one of them.
        let mut paid = vec![0u64; plan.nodes];
        for step in &story.steps {
            if let Step::Pay { to, .. } = step {
                paid[*to] += 1;
            }
        }
        paid.sort_unstable();
        let most_is_one = paid[plan.nodes - 1] > 3 * paid[plan.nodes - 2];
        assert!(most_is_one == swarm.spot || swarm.spot && swarm.hot, "seed {seed}: {paid:?}");
        spots += u64::from(most_is_one);
        forgotten += u64::from(swarm.holds && swarm.forgets);
    }
    assert_eq!(seeds.len(), 12, "{seeds:?}");
    assert!(seeds.values().all(|count| (3..SEEDS - 20).contains(count)), "{seeds:?}");
    assert!(spots > 5 && forgotten > 5, "{spots} hot spots, {forgotten} where holds are forgotten");
}

#[test]
fn what_is_drawn_happens() {
    let plan = Plan { nodes: 5, channels: 8, payments: 60, faults: Faults::Swarm, wire: Wire::Messages };
    let mut kinds: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    let mut reorgs = 0;
    for seed in 0..20 {
        let outcome = run(&draw(seed, &plan), Variant::AsWritten);
        assert_eq!(outcome.violations, [], "seed {seed}");
        for (kind, (begun, paid)) in outcome.kinds {
            let counted = kinds.entry(kind).or_default();
            *counted = (counted.0 + begun, counted.1 + paid);
        }
        reorgs += outcome.counts.reorgs;
    }
    for kind in ["pay", "route", "circle", "hold_invoice"] {
        let (begun, paid) = kinds[kind];
        assert!(paid > 10 && paid < begun, "{kind}: {paid} of {begun}");
    }
    for kind in ["probe", "probe_route", "half"] {
        assert!(kinds[kind].0 > 10 && kinds[kind].1 == 0, "{kind}: {:?}", kinds[kind]);
    }
    assert!(reorgs > 5, "{reorgs} reorganisations");
}
