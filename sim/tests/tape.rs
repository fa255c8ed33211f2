//! What nodes recorded, told again as a story: it ends as it did, and goes on from there.

use std::path::{Path, PathBuf};

use leyden_core::clock::Wall;
use leyden_core::ids::NodeId;
use leyden_sim::Wire;
use leyden_sim::replay::retell::{End, Tape, Until, retell};
use leyden_sim::replay::{Source, runs};
use leyden_sim::soak::{Faults, Plan, draw};
use leyden_sim::story::{Outcome, Step, Story, Variant, parse, run, run_recorded, states};

/// Recordings, retold: in the order of the recordings.
fn told(recordings: &[&[u8]], until: Option<Until>) -> Result<Tape, String> {
    let names: Vec<String> = (0..recordings.len()).map(|node| format!("node {node}")).collect();
    let sources: Vec<Source<'_>> = names.iter().zip(recordings).map(|(name, bytes)| Source { name, bytes }).collect();
    let runs = runs(&sources, |complaint| panic!("{complaint}"));
    let of = |name: &String| runs.iter().find(|run| run.segments[0].file == name).map(|run| run.node_id);
    let nodes: Vec<NodeId> = names.iter().filter_map(of).collect();
    retell(&runs, &nodes, until, &mut |complaint| panic!("{complaint}"))
}

fn retold(recordings: &[Vec<u8>]) -> Tape {
    let slices: Vec<&[u8]> = recordings.iter().map(Vec::as_slice).collect();
    told(&slices, None).expect("a story")
}

/// The story as whoever opens the file finds it.
fn read(tape: &Tape) -> Story {
    parse(&tape.to_string()).unwrap_or_else(|flaw| panic!("{flaw}\n{tape}"))
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

fn broken(outcome: &Outcome) -> Vec<String> {
    let tell = |found: &leyden_sim::check::Violation| format!("{}: {}", found.oracle, found.text);
    outcome.violations.iter().take(3).map(tell).collect()
}

const LINE: &str = "nodes alice bob carol\nchannel alice bob 1000000sat push 500000sat\n\
    channel bob carol 1000000sat push 500000sat\n";

fn story(steps: &str) -> Story {
    parse(&format!("{LINE}{steps}")).expect("a story")
}

#[test]
fn every_scenario_ends_as_it_did() {
    let mut flaws = Vec::new();
    for (name, story) in stories() {
        // Nothing is expected of a bad peer, but of the honest one that stands for it; here its channel is closed.
        if ["s19-alice-does-not-answer", "s26-hold-on-chain"].contains(&name.as_str()) {
            continue;
        }
        let (outcome, recordings) = run_recorded(&story);
        let tape = retold(&recordings);
        let mut again = read(&tape);
        again.closes_allowed |= story.closes_allowed;
        again.steps.extend(tape.expectations());
        let second = run(&again, Variant::AsWritten);
        let flaw = broken(&second);
        if !flaw.is_empty() || second.paid != outcome.paid {
            flaws.push(format!("{name}: {} of {} paid, {flaw:?}", second.paid, outcome.paid));
        }
    }
    assert!(flaws.is_empty(), "{}", flaws.join("\n"));
}

#[test]
fn nearly_all_of_what_soaking_draws_ends_as_it_did() {
    let (mut ends, mut others) = (0, 0);
    for seed in 0..9 {
        let faults = [Faults::None, Faults::Swarm, Faults::All][seed as usize % 3];
        let plan = Plan { nodes: 5, channels: 6, payments: 40, faults, wire: Wire::Messages };
        let (_, recordings) = run_recorded(&draw(seed, &plan));
        let tape = retold(&recordings);
        let again = read(&tape);
        assert_eq!(broken(&run(&again, Variant::AsWritten)), Vec::<String>::new(), "seed {seed}");
        let expected = Story { steps: [again.steps, tape.expectations()].concat(), ..again };
        ends += tape.expectations().len();
        others += run(&expected, Variant::AsWritten).violations.len();
    }
    assert!(ends > 250 && others * 20 < ends, "{others} of {ends} end otherwise");
}

#[test]
fn a_tape_goes_on_where_the_recording_ends() {
    let story = story("pay tea alice carol 20000sat\nwait 45ms\ncut alice bob\ncrash bob\nwait 20s\n");
    let (_, recordings) = run_recorded(&story);
    let tape = retold(&recordings);
    let text = format!(
        "{tape}pay more a c 30000sat\npay back c b 10000sat\nwait 10s\nexpect paid more\nexpect paid back\n\
         crash c\nwait 30s\nclose a b\nclose b c\nwait 5s\nmine 3\nwait 10s\nexpect usable a b 0\n"
    );
    let on = parse(&text).expect("it is still a story");
    assert_eq!(broken(&run(&on, Variant::AsWritten)), Vec::<String>::new());
    // What the nodes say of themselves there.
    let states = states(&on, "listpays");
    assert!(states[0].as_ref().is_ok_and(|state| state.matches("\"complete\"").count() == 2), "{states:?}");
    // An expectation that does not hold is what `shrink` works on.
    let never = parse(&format!("{tape}expect failed p1\n")).expect("it is still a story");
    let failed = run(&never, Variant::AsWritten);
    let shrunk = leyden_sim::soak::shrink(&never, Variant::AsWritten, &failed, "expectation", 300, &mut |_, _| {});
    assert!(shrunk.story.steps.len() < never.steps.len() / 2, "{}", shrunk.story);
}

#[test]
fn a_tape_ends_where_it_shall_and_has_the_rest_beside_it() {
    let story = story("pay tea alice carol 20000sat\nwait 5s\npay cake alice carol 10000sat\nwait 5s\n");
    let (_, recordings) = run_recorded(&story);
    let slices: Vec<&[u8]> = recordings.iter().map(Vec::as_slice).collect();
    let whole = retold(&recordings);
    assert_eq!(whole.payments.iter().map(|payment| payment.end).collect::<Vec<_>>(), [End::Paid, End::Paid]);
    let part = told(&slices, Some(Until::Time(Wall(whole.span.0.0 + 2_000)))).expect("a story");
    let outcome = run(&read(&part), Variant::AsWritten);
    assert_eq!((outcome.payments, broken(&outcome)), (1, vec![]));
    // Nothing is lost, and no time either.
    let text = part.to_string();
    let (head, rest) = text.split_once("# What comes here is yours.").expect("there is more");
    let rest = rest.split_once('\n').expect("a line").1;
    let again = parse(&format!("{head}{}", rest.replace("# ", ""))).expect("it is a story");
    let waits = |story: &Story| {
        let wait = |step: &Step| if let Step::Wait(ms) = step { *ms } else { 0 };
        story.steps.iter().map(wait).sum::<u64>()
    };
    assert_eq!(waits(&again), waits(&whole.story));
    assert_eq!(run(&again, Variant::AsWritten).paid, 2);
    // By turns, as the first node counts them; and a turn that nobody has.
    let turn = told(&slices, Some(Until::Turn(3))).expect("a story");
    assert!(!turn.rest.is_empty() && turn.expectations().is_empty());
    assert!(told(&slices, Some(Until::Turn(1 << 40))).is_err_and(|error| error.contains("no recording has a turn")));
}

#[test]
fn one_recording_is_enough_and_its_peers_stand_beside_it() {
    let story = story(
        "pay tea alice carol 20000sat\npay cake carol bob 1000sat\nprobe pie alice carol 3000sat\nwait 5s\n\
         cut alice bob\nwait 5s\n",
    );
    let (_, recordings) = run_recorded(&story);
    let tape = told(&[&recordings[1]], None).expect("a story");
    assert_eq!((tape.recorded, tape.nodes.len()), (1, 3));
    let ends: Vec<End> = tape.payments.iter().map(|payment| payment.end).collect();
    assert_eq!(ends.iter().filter(|end| **end == End::Paid).count(), 2, "{tape}");
    assert_eq!(ends.iter().filter(|end| **end == End::Failed).count(), 1, "{tape}");
    let mut again = read(&tape);
    again.steps.extend(tape.expectations());
    assert_eq!(broken(&run(&again, Variant::AsWritten)), Vec::<String>::new(), "{tape}");
}

#[test]
fn whoever_pays_itself_does_so_again_and_so_do_probes() {
    let story = parse(
        "nodes alice bob carol\nchannel alice bob 1000000sat push 500000sat\nchannel bob carol 1000000sat push 500000sat\n\
         channel carol alice 1000000sat push 500000sat\ncircle tea alice 20000sat over bob carol\nwait 5s\n\
         probe_route cake alice carol 10000sat\nwait 5s\ncircle milk alice 700000sat over carol bob\nwait 5s\n",
    );
    let story = story.expect("it is well formed");
    let (outcome, recordings) = run_recorded(&story);
    assert_eq!((outcome.payments, outcome.paid), (3, 1));
    let tape = retold(&recordings);
    let mut again = read(&tape);
    again.steps.extend(tape.expectations());
    let second = run(&again, Variant::AsWritten);
    assert_eq!((broken(&second), second.kinds), (vec![], outcome.kinds), "{tape}");
}

/// The recording from its second segment on: what came before has gone the way of the oldest files.
fn later(recording: &[u8]) -> &[u8] {
    let mut places = recording.windows(8).enumerate().filter(|(_, window)| *window == b"LEYDNREC").skip(1);
    // The frame's kind and length stand before it.
    &recording[places.next().expect("a second segment").0 - 5..]
}

#[test]
fn what_was_under_way_at_the_beginning_is_made_again() {
    let story = story(
        "half tea alice carol 20000sat\nwait 2s\ncrash alice\ncrash bob\ncrash carol\nwait 5s\n\
         pay cake alice carol 10000sat\nwait 90s\n",
    );
    let (_, recordings) = run_recorded(&story);
    let slices: Vec<&[u8]> = recordings.iter().map(|recording| later(recording)).collect();
    let tape = told(&slices, None).expect("a story");
    // The balances are those without the HTLC, which is made again: 10,000 satoshi over Bob.
    assert_eq!(tape.payments.len(), 2, "{tape}");
    let amount = tape.story.steps.iter().find_map(|step| match step {
        Step::Pay { name, amount, .. } if *name == tape.payments[0].name => Some(amount.0),
        _ => None,
    });
    assert_eq!(amount, Some(10_000_000), "{tape}");
    let mut again = read(&tape);
    again.steps.extend(tape.expectations());
    assert_eq!(broken(&run(&again, Variant::AsWritten)), Vec::<String>::new(), "{tape}");
}

#[test]
fn clocks_that_are_apart_do_not_matter() {
    let story = story(
        "skew_clock bob 3600000\nwait 10ms\npay tea alice carol 20000sat\nwait 45ms\ncut alice bob\nwait 5s\ncrash bob\nwait 20s\n",
    );
    let (outcome, recordings) = run_recorded(&story);
    let tape = retold(&recordings);
    let mut again = read(&tape);
    again.steps.extend(tape.expectations());
    let second = run(&again, Variant::AsWritten);
    assert_eq!((second.paid, broken(&second)), (outcome.paid, vec![]), "{tape}");
    assert!(tape.span.1.0 - tape.span.0.0 < 3_600_000, "{tape}");
}

#[test]
fn clocks_that_were_apart_from_the_beginning_do_not_matter() {
    // Two lives of each node; of the first nothing is left, so the recordings begin with clocks an hour apart.
    let story = story(
        "skew_clock bob 3600000\nwait 1s\ncrash alice\ncrash bob\ncrash carol\nwait 20s\n\
         pay tea alice carol 20000sat\nwait 45ms\ncut alice bob\nwait 30s\npay cake carol alice 2000sat\nwait 5s\n",
    );
    let (_, recordings) = run_recorded(&story);
    let slices: Vec<&[u8]> = recordings.iter().map(|recording| later(recording)).collect();
    for order in [[0, 1, 2], [1, 2, 0]] {
        let tape = told(&order.map(|node| slices[node]), None).expect("a story");
        assert_eq!((tape.story.channels.len(), tape.payments.len()), (2, 2), "{tape}");
        let mut again = read(&tape);
        again.steps.extend(tape.expectations());
        assert_eq!(broken(&run(&again, Variant::AsWritten)), Vec::<String>::new(), "{tape}");
    }
}
