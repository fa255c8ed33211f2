use super::*;
use crate::net::Wire;
use crate::story::{Expectation, Step, Variant, parse, run};

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
