//! The subcommands. Each says whether all is well, or why it cannot say.

pub(crate) mod replay;
pub(crate) mod run;
pub(crate) mod shrink;
pub(crate) mod soak;

use std::path::Path;

use leyden_sim::story::{Outcome, Story, parse};

/// Whether all is well, or why that cannot be told.
pub(crate) type Done = Result<bool, String>;

/// A panic of a node is a finding like others, and said with it: nothing is printed where it happens. Where a panic ends
/// the process, it is said all the same, and how to have it otherwise.
pub(crate) fn quiet_panics() {
    if cfg!(panic = "unwind") {
        return std::panic::set_hook(Box::new(|_| {}));
    }
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        eprintln!("this build ends here; one made with `cargo build --profile simulation` tells the story of it");
    }));
}

pub(crate) fn read_story(path: &Path) -> Result<Story, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{} is not read: {error}", path.display()))?;
    parse(&text).map_err(|flaw| format!("{}: {flaw}", path.display()))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Says how a story failed.
pub(crate) fn print_violations(outcome: &Outcome) {
    for violation in &outcome.violations {
        eprintln!("  {} ms, node {}: {}: {}", violation.at_ms, violation.node, violation.oracle, violation.text);
    }
}
