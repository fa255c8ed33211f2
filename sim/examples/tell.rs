//! Tells a story from a file, and says how it went: `cargo run --example tell -- FILE [all | TURN PLACE]`.
//!
//! Without a second word the story is told as it is written, and the last lines that its nodes said are shown. With
//! `all` it is told in every variant, and only what went wrong is shown. With a number and a place, such as
//! `3 BeforeCommit`, the node under test crashes there.

use std::process::ExitCode;

use leyden_sim::CrashPoint;
use leyden_sim::story::{Outcome, Story, Variant, parse, run, variants};

fn show(variant: Variant, outcome: &Outcome) {
    println!("{variant:?}: {} of {} payments, {} turns", outcome.paid, outcome.payments, outcome.counts.turns);
    for violation in &outcome.violations {
        println!("  at {} ms, node {}: {}: {}", violation.at_ms, violation.node, violation.oracle, violation.text);
    }
}

/// All crashes of the node under test, each place of a turn until there are no more turns.
fn crashes(story: &Story) -> Vec<(Variant, Outcome)> {
    let mut all = Vec::new();
    if story.under_test.is_none() {
        return all;
    }
    for point in CrashPoint::ALL {
        for turn in 0.. {
            let variant = Variant::Crash { turn, point };
            let outcome = run(story, variant);
            if outcome.crash_never_came {
                break;
            }
            all.push((variant, outcome));
        }
    }
    all
}

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let (Some(path), mode) = (words.next(), words.next()) else {
        eprintln!("tell FILE [all | TURN PLACE]");
        return ExitCode::FAILURE;
    };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("{path}: {error}");
            return ExitCode::FAILURE;
        }
    };
    let story = match parse(&text) {
        Ok(story) => story,
        Err(flaw) => {
            eprintln!("{path}: {flaw}");
            return ExitCode::FAILURE;
        }
    };
    let mut told: Vec<(Variant, Outcome)> = Vec::new();
    if mode.as_deref() == Some("all") {
        told.extend(variants(&story).into_iter().map(|variant| (variant, run(&story, variant))));
        told.extend(crashes(&story));
        let bad: Vec<_> = told.iter().filter(|(_, outcome)| !outcome.violations.is_empty()).collect();
        bad.iter().for_each(|(variant, outcome)| show(*variant, outcome));
        println!("{}: {} variants, {} of them broken", story.title, told.len(), bad.len());
    } else {
        let word = words.next();
        let point = CrashPoint::ALL.into_iter().find(|point| Some(format!("{point:?}")) == word);
        let turn = mode.and_then(|word| word.parse().ok());
        let variant = turn.zip(point).map_or(Variant::AsWritten, |(turn, point)| Variant::Crash { turn, point });
        let outcome = run(&story, variant);
        print!("{}", outcome.log);
        show(variant, &outcome);
        told.push((variant, outcome));
    }
    let fine = told.iter().all(|(_, outcome)| outcome.violations.is_empty());
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
