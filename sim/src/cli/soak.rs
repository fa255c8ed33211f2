//! `leyden-sim soak`: seeds, one line of JSON for each, until one fails.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use leyden_sim::soak::{Faults, Plan, draw, shrink, with_bad_peer};
use leyden_sim::story::{Outcome, Story, Variant, run};
use leyden_sim::{Habit, Wire};

use super::{Done, hex, print_violations, quiet_panics};

#[derive(Clone, Copy, ValueEnum)]
enum FaultsArg {
    None,
    Swarm,
    All,
}

#[derive(Clone, Copy, ValueEnum)]
enum WireArg {
    Messages,
    Bytes,
}

/// The options of `soak`.
#[derive(Args)]
pub(crate) struct SoakArgs {
    /// Nodes of each run.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(2..=1000))]
    nodes: u16,
    /// Channels of each run; never fewer than connect all nodes.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    channels: u16,
    /// Payments of each run.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    payments: u32,
    /// What goes wrong: nothing, what each seed draws for itself, or everything.
    #[arg(long, value_enum, default_value = "swarm")]
    faults: FaultsArg,
    /// One node of each run does not keep the rules: it has this habit, or any that its seed draws.
    #[arg(long, value_name = "HABIT", value_parser = habit)]
    bad: Option<BadArg>,
    /// What travels: whole messages, or bytes through encryption and buffers.
    #[arg(long, value_enum, default_value = "messages")]
    wire: WireArg,
    /// One seed.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Seeds from A up to and without B, written A..B.
    #[arg(long, value_parser = seed_range)]
    seeds: Option<(u64, u64)>,
    /// Only every N-th seed, beginning with the I-th, written I/N (I from 1): to spread a sweep over machines.
    #[arg(long, value_parser = shard)]
    shard: Option<(u64, u64)>,
    /// Seeds that are run at the same time.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=512))]
    threads: u16,
    /// Run each seed twice and compare the digests.
    #[arg(long)]
    twice: bool,
    /// Go on after a failure, and shrink nothing.
    #[arg(long)]
    keep_going: bool,
    /// Runs that shrinking may take.
    #[arg(long, default_value_t = 2_000)]
    shrink_runs: u32,
    /// Where the shrunk story of a failure goes; without it, it is printed.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Break the node on purpose, to see whether that is found: the name of a mutation.
    #[cfg(feature = "mutations")]
    #[arg(long)]
    mutation: Option<String>,
}

#[derive(Clone, Copy)]
enum BadArg {
    Any,
    One(Habit),
}

fn habit(text: &str) -> Result<BadArg, String> {
    if text == "any" {
        return Ok(BadArg::Any);
    }
    let known = Habit::ALL.iter().find(|(_, name)| *name == text);
    known.map(|(habit, _)| BadArg::One(*habit)).ok_or_else(|| {
        let names: Vec<&str> = Habit::ALL.iter().map(|(_, name)| *name).collect();
        format!("no habit is called `{text}`; there are any, {}", names.join(", "))
    })
}

fn seed_range(text: &str) -> Result<(u64, u64), String> {
    let wrong = || format!("seeds are written A..B with A below B, not `{text}`");
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let (from, to) = (from.parse().map_err(|_| wrong())?, to.parse().map_err(|_| wrong())?);
    if from < to { Ok((from, to)) } else { Err(wrong()) }
}

fn shard(text: &str) -> Result<(u64, u64), String> {
    let wrong = || format!("a shard is written I/N with I from 1 to N, not `{text}`");
    let (index, count) = text.split_once('/').ok_or_else(wrong)?;
    let (index, count): (u64, u64) = (index.parse().map_err(|_| wrong())?, count.parse().map_err(|_| wrong())?);
    if (1..=count).contains(&index) { Ok((index, count)) } else { Err(wrong()) }
}

/// What a seed that failed left.
struct Failure {
    seed: u64,
    story: Story,
    outcome: Outcome,
}

/// What all threads share.
struct Shared {
    next: AtomicU64,
    stop: AtomicBool,
    failures: Mutex<Vec<Failure>>,
    bar: ProgressBar,
}

pub(crate) fn main(args: &SoakArgs) -> Done {
    quiet_panics();
    let (from, to) = match (args.seed, args.seeds) {
        (Some(seed), _) => (seed, seed.saturating_add(1)),
        (None, Some(range)) => range,
        (None, None) => (0, 1),
    };
    let (index, count) = args.shard.unwrap_or((1, 1));
    let first = from + index - 1;
    let runs = if first < to { (to - first).div_ceil(count) } else { 0 };
    let bar = ProgressBar::new(runs);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} seeds, {elapsed} gone, {eta} left");
    bar.set_style(style.map_err(|error| error.to_string())?);
    let shared =
        Shared { next: AtomicU64::new(0), stop: AtomicBool::new(false), failures: Mutex::new(Vec::new()), bar };
    std::thread::scope(|scope| {
        for _ in 0..args.threads {
            scope.spawn(|| {
                loop {
                    let number = shared.next.fetch_add(1, Ordering::Relaxed);
                    if number >= runs || shared.stop.load(Ordering::Relaxed) {
                        return;
                    }
                    one_seed(args, first + number * count, &shared);
                }
            });
        }
    });
    shared.bar.finish_and_clear();
    let mut failures = shared.failures.into_inner().map_err(|_| "a thread failed while it told of a failure")?;
    failures.sort_by_key(|failure| failure.seed);
    for failure in &failures {
        eprintln!("seed {} fails:", failure.seed);
        print_violations(&failure.outcome);
    }
    match failures.into_iter().next() {
        None => Ok(true),
        Some(_) if args.keep_going => Ok(false),
        Some(failure) => explain(args, &failure).map(|()| false),
    }
}

fn plan(args: &SoakArgs) -> Plan {
    Plan {
        nodes: usize::from(args.nodes),
        channels: usize::from(args.channels),
        payments: args.payments as usize,
        faults: match args.faults {
            FaultsArg::None => Faults::None,
            FaultsArg::Swarm => Faults::Swarm,
            FaultsArg::All => Faults::All,
        },
        wire: match args.wire {
            WireArg::Messages => Wire::Messages,
            WireArg::Bytes => Wire::Bytes,
        },
    }
}

/// Breaks the nodes of this thread as it was asked for.
#[cfg(feature = "mutations")]
fn activate(args: &SoakArgs) {
    use leyden_core::mutation::{Mutation, activate};
    let named = |name: &String| Mutation::ALL.iter().find(|(_, known)| known == name).map(|(mutation, _)| *mutation);
    activate(args.mutation.as_ref().and_then(named));
}

#[cfg(not(feature = "mutations"))]
fn activate(_args: &SoakArgs) {}

fn one_seed(args: &SoakArgs, seed: u64, shared: &Shared) {
    activate(args);
    let started = Instant::now();
    let story = draw(seed, &plan(args));
    let story = match args.bad {
        None => story,
        Some(BadArg::Any) => with_bad_peer(story, None),
        Some(BadArg::One(habit)) => with_bad_peer(story, Some(habit)),
    };
    let mut outcome = run(&story, Variant::AsWritten);
    let wall_ms = started.elapsed().as_millis();
    if args.twice {
        let again = run(&story, Variant::AsWritten);
        if again != outcome {
            let text = format!("two runs differ: {} and {}", hex(&outcome.digest[..8]), hex(&again.digest[..8]));
            let violation = leyden_sim::check::Violation { at_ms: 0, oracle: "O9 determinism", node: 0, text };
            outcome.violations.push(violation);
        }
    }
    let line = serde_json::json!({
        "seed": seed,
        "digest": hex(&outcome.digest),
        "events": outcome.counts.events,
        "messages": outcome.counts.messages,
        "crashes": outcome.counts.crashes,
        "reorgs": outcome.counts.reorgs,
        "payments": outcome.payments,
        "paid": outcome.paid,
        "kinds": outcome.kinds,
        "virtual_s": outcome.virtual_ms / 1_000,
        "wall_s": wall_ms as f64 / 1_000.0,
        "violations": outcome.violations.iter().map(|violation| violation.oracle).collect::<Vec<_>>(),
    });
    println!("{line}");
    shared.bar.inc(1);
    if !outcome.violations.is_empty() {
        if !args.keep_going {
            shared.stop.store(true, Ordering::Relaxed);
        }
        if let Ok(mut failures) = shared.failures.lock() {
            failures.push(Failure { seed, story, outcome });
        }
    }
}

/// Shrinks a failure and shows what is left of it.
fn explain(args: &SoakArgs, failure: &Failure) -> Result<(), String> {
    activate(args);
    let oracle = failure.outcome.violations[0].oracle;
    let bar = ProgressBar::new(u64::from(args.shrink_runs));
    let style = ProgressStyle::with_template("shrinking: {pos} runs, {msg} steps left, {elapsed} gone");
    bar.set_style(style.map_err(|error| error.to_string())?);
    let mut progress = |_: u32, steps: usize| {
        bar.inc(1);
        bar.set_message(steps.to_string());
    };
    let story = &failure.story;
    let shrunk = shrink(story, Variant::AsWritten, &failure.outcome, oracle, args.shrink_runs, &mut progress);
    bar.finish_and_clear();
    eprintln!(
        "seed {} shrunk from {} to {} steps in {} runs:",
        failure.seed,
        story.steps.len(),
        shrunk.story.steps.len(),
        shrunk.runs
    );
    print_violations(&shrunk.outcome);
    match &args.out {
        None => eprintln!("{}", shrunk.story),
        Some(path) => {
            std::fs::write(path, shrunk.story.to_string())
                .map_err(|error| format!("{} is not written: {error}", path.display()))?;
            eprintln!("tell it again with: leyden-sim run {}", path.display());
        }
    }
    Ok(())
}
