//! `leyden-sim shrink`: what is needed for a story to fail.

use std::path::PathBuf;

use clap::Args;
use leyden_sim::soak::shrink;
use leyden_sim::story::{Variant, run};

use super::{Done, print_violations, quiet_panics, read_story};

/// The options of `shrink`.
#[derive(Args)]
pub(crate) struct ShrinkArgs {
    /// A file with a story that fails as it is written.
    file: PathBuf,
    /// Runs that it may take.
    #[arg(long, default_value_t = 2_000)]
    runs: u32,
    /// Where the short story goes; without it, it is printed.
    #[arg(long)]
    out: Option<PathBuf>,
}

pub(crate) fn main(args: &ShrinkArgs) -> Done {
    quiet_panics();
    let story = read_story(&args.file)?;
    let failed = run(&story, Variant::AsWritten);
    let Some(violation) = failed.violations.first() else {
        return Err(format!("{} does not fail: there is nothing to shrink", args.file.display()));
    };
    let oracle = violation.oracle;
    let shrunk = shrink(&story, Variant::AsWritten, &failed, oracle, args.runs, &mut |_, _| {});
    eprintln!("from {} to {} steps in {} runs:", story.steps.len(), shrunk.story.steps.len(), shrunk.runs);
    print_violations(&shrunk.outcome);
    match &args.out {
        None => println!("{}", shrunk.story),
        Some(path) => std::fs::write(path, shrunk.story.to_string())
            .map_err(|error| format!("{} is not written: {error}", path.display()))?,
    }
    Ok(true)
}
