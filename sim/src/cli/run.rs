//! `leyden-sim run`: the stories of files.

use std::path::PathBuf;

use clap::Args;
use leyden_sim::CrashPoint;
use leyden_sim::replay::method_of;
use leyden_sim::story::{Outcome, Story, Variant, run, states, variants};

use super::{Done, hex, print_violations, quiet_panics, read_story};

/// The options of `run`.
#[derive(Args)]
pub(crate) struct RunArgs {
    /// Files with stories.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// In all variants: slow stores, more and fewer blocks, a crash at every turn of the node under test.
    #[arg(long)]
    variants: bool,
    /// Show each node's state where the story's steps end, as JSON: node, channel, payment, invoice, forward, peer,
    /// wallet, or a method's name
    #[arg(long, value_name = "TOPIC", num_args = 0..=1, default_missing_value = "node")]
    state: Option<String>,
    /// Print the last lines that nodes said.
    #[arg(long)]
    log: bool,
}

pub(crate) fn main(args: &RunArgs) -> Done {
    quiet_panics();
    let mut is_well = true;
    for path in &args.files {
        let story = read_story(path)?;
        let name = path.display().to_string();
        let all = if args.variants { variants(&story) } else { vec![Variant::AsWritten] };
        for variant in all {
            is_well &= show(args, &name, variant, &run(&story, variant));
        }
        if let Some(topic) = &args.state {
            show_states(&story, topic);
        }
        if args.variants && story.under_test.is_some() {
            is_well &= CrashPoint::ALL.into_iter().all(|point| crashes(args, &name, &story, point));
        }
    }
    Ok(is_well)
}

/// What the nodes say of themselves when all steps are taken.
fn show_states(story: &Story, topic: &str) {
    for (name, state) in story.names.iter().zip(states(story, method_of(topic))) {
        let json = state.as_ref().ok().and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
        match (json, state) {
            (Some(json), _) => println!("{name}: {json:#}"),
            (None, Ok(text) | Err(text)) => println!("{name}: {text}"),
        }
    }
}

/// A crash at every turn, until there are no more.
fn crashes(args: &RunArgs, name: &str, story: &Story, point: CrashPoint) -> bool {
    let mut is_well = true;
    for turn in 0.. {
        let variant = Variant::Crash { turn, point };
        let outcome = run(story, variant);
        if !outcome.violations.is_empty() {
            is_well &= show(args, name, variant, &outcome);
        }
        if outcome.crash_never_came || !outcome.violations.is_empty() {
            println!("{name}, crashes {point:?}: {turn} turns");
            break;
        }
    }
    is_well
}

fn show(args: &RunArgs, name: &str, variant: Variant, outcome: &Outcome) -> bool {
    let is_well = outcome.violations.is_empty();
    let verdict = if is_well { "all is well" } else { "FAILS" };
    let (paid, payments) = (outcome.paid, outcome.payments);
    let digest = hex(&outcome.digest[..8]);
    println!("{name}, {variant:?}: {verdict}, {paid} of {payments} payments complete, digest {digest}");
    print_violations(outcome);
    if args.log {
        println!("{}", outcome.log);
    }
    is_well
}
