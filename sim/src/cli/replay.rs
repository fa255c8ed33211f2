//! `leyden-sim replay`: recorded runs again.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Done;
use clap::Args;
use leyden_core::clock::Wall;
use leyden_core::command::{Command, Level};
use leyden_core::ids::NodeId;
use leyden_core::recording::BUILD_ID;
use leyden_sim::replay::retell::{self, retell};
use leyden_sim::replay::timeline::{self, Collector, Kind, Timeline};
use leyden_sim::replay::{
    At, Explained, Nobody, Replay, Rows, Run, Source, Step, Subject, Watcher, ask, explain, html, method_of, place,
    runs, text,
};

/// Files of one run are put together; those of several nodes are replayed each, and shown on one timeline with --trace.
#[derive(Args, Debug)]
pub(crate) struct ReplayArgs {
    /// Recordings: files of DIR/NETWORK/recorder, or what `leyden-cli dumprecording` made. A folder stands for its files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Show what the nodes said, down to this level: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", value_parser = level)]
    trace: Option<Level>,

    /// Stop behind this turn, or at this time (such as 2026-01-31T12:00:00.5Z)
    #[arg(long, value_name = "TURN|TIME", value_parser = until)]
    until: Option<Until>,

    /// Show the state at the end, as JSON: node, channel, payment, invoice, forward, peer, wallet, or a method's name
    #[arg(long, value_name = "TOPIC", num_args = 0..=1, default_missing_value = "node")]
    state: Option<String>,

    /// Check the peers' signatures and secrets again too, instead of taking over how that went. Takes longer
    #[arg(long)]
    verify: bool,

    /// Show all that touched a channel (its id or short id) or a payment (its hash), and why
    #[arg(long, value_name = "CHANNEL|PAYMENT_HASH", value_parser = subject)]
    explain: Option<Subject>,

    /// Write what all the nodes did as one page for a browser, with notes down to the level of --trace [default: debug]
    #[arg(long, value_name = "OUT.html", conflicts_with = "explain")]
    html: Option<PathBuf>,

    /// Write what happened as a story for `leyden-sim run` and `shrink`, with new keys, up to --until
    #[arg(long, value_name = "OUT.story", conflicts_with_all = ["explain", "html", "trace", "state"])]
    tape: Option<PathBuf>,
}

impl From<Until> for retell::Until {
    fn from(until: Until) -> retell::Until {
        match until {
            Until::Turn(turn) => retell::Until::Turn(turn),
            Until::Time(wall) => retell::Until::Time(wall),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Until {
    Turn(u64),
    Time(Wall),
}

impl Until {
    fn ends_before(self, turn: u64, wall: Wall) -> bool {
        match self {
            Until::Turn(last) => turn > last,
            Until::Time(end) => wall > end,
        }
    }
}

fn level(given: &str) -> Result<Level, String> {
    let known = [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace];
    let found = known.into_iter().find(|level| text::level(*level).eq_ignore_ascii_case(given));
    found.ok_or_else(|| "expected error, warn, info, debug or trace".to_owned())
}

fn until(given: &str) -> Result<Until, String> {
    let turn = given.parse().ok().map(Until::Turn);
    let wall = || text::parse_time(given).map(Until::Time);
    turn.or_else(wall).ok_or_else(|| "expected the number of a turn, or a time such as 2026-01-31T12:00:00Z".to_owned())
}

fn subject(given: &str) -> Result<Subject, String> {
    Subject::parse(given).ok_or_else(|| {
        "expected a channel id or a payment hash (64 hexadecimal digits), or a short channel id such as 103x1x0"
            .to_owned()
    })
}

/// Prints notes as they come.
struct Trace {
    level: Level,
    wall: Wall,
}

impl Watcher for Trace {
    fn step(&mut self, step: &Step<'_>) {
        self.wall = step.clock.wall;
    }

    fn command(&mut self, at: At, command: &Command<'_>) {
        if let Command::Note(note) = command
            && note.level >= self.level
        {
            say(&format!("{} [{}.{}] {}", text::time(self.wall), at.turn, at.step, text::note(note)));
        }
    }
}

/// Two that look on.
struct Both<'a, A, B>(&'a mut A, &'a mut B);

impl<A: Watcher, B: Watcher> Watcher for Both<'_, A, B> {
    fn step(&mut self, step: &Step<'_>) {
        self.0.step(step);
        self.1.step(step);
    }

    fn command(&mut self, at: At, command: &Command<'_>) {
        self.0.command(at, command);
        self.1.command(at, command);
    }
}

/// A line for people; a reader that has had enough (`| head`) ends the program.
fn say(line: &str) {
    if writeln!(std::io::stdout().lock(), "{line}").is_err() {
        std::process::exit(0);
    }
}

/// Where panics abort nothing else can say where it was.
fn install_hook() {
    std::panic::set_hook(Box::new(|info| match place() {
        Some(at) => eprintln!("leyden-sim: at {at} the node breaks: {info}"),
        None => eprintln!("leyden-sim: {info}"),
    }));
}

/// The whole sub-command: true if everything was replayed to its end, and all digests agree.
pub(crate) fn main(arguments: &ReplayArgs) -> Done {
    install_hook();
    let files = read(&arguments.files)?;
    let sources: Vec<Source<'_>> = files.iter().map(|(name, bytes)| Source { name, bytes }).collect();
    let mut whole = true;
    let runs = runs(&sources, |complaint| {
        whole = false;
        eprintln!("leyden-sim: {complaint}");
    });
    if runs.is_empty() {
        return Err("no recording was found".to_owned());
    }
    let mut nodes: Vec<_> = runs.iter().map(|run| run.node_id).collect();
    nodes.dedup();
    // The order is that of the arguments.
    let first_file = |node: &NodeId| {
        let segments = runs.iter().filter(|run| run.node_id == *node).flat_map(|run| &run.segments);
        segments.filter_map(|segment| files.iter().position(|(name, _)| name == segment.file)).min()
    };
    nodes.sort_by_key(first_file);
    if let Some(path) = &arguments.tape {
        whole &= tape(&runs, &nodes, arguments, path)?;
    } else if let Some(path) = &arguments.html {
        let level = arguments.trace.unwrap_or(Level::Debug);
        let timeline = merged(&runs, nodes, arguments, &mut whole, |node, run| Collector::whole(node, run, level));
        write_private(path, &html::page(&timeline))?;
        say(&format!("{} entries of {} nodes are in {}", timeline.entries.len(), timeline.nodes.len(), path.display()));
    } else if let Some(level) = arguments.trace.filter(|_| nodes.len() > 1 && arguments.explain.is_none()) {
        let timeline = merged(&runs, nodes, arguments, &mut whole, |node, run| Collector::new(node, run, level));
        show(&timeline);
    } else {
        for run in &runs {
            whole &= match (&arguments.explain, arguments.trace) {
                (Some(subject), _) => explained(run, subject.clone(), arguments),
                (None, Some(level)) => replay(run, arguments, &mut Trace { level, wall: Wall(0) }),
                (None, None) => replay(run, arguments, &mut Nobody),
            };
        }
    }
    Ok(whole)
}

/// Recordings are their owner's alone, and so is what is made of them.
fn write_private(path: &Path, text: &str) -> Result<(), String> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// Retells all runs as one story.
fn tape(runs: &[Run<'_>], nodes: &[NodeId], arguments: &ReplayArgs, path: &Path) -> Done {
    let mut whole = true;
    runs.iter().for_each(introduce);
    let tape = retell(runs, nodes, arguments.until.map(retell::Until::from), &mut |complaint| {
        whole = false;
        say(&complaint);
    })?;
    let text = tape.to_string();
    write_private(path, &text)?;
    for (note, count) in &tape.notes {
        say(&format!("not carried over: {note} ({count})"));
    }
    let (steps, payments) = (tape.story.steps.len(), tape.payments.len());
    say(&format!("{steps} steps with {payments} payments are in {0}: leyden-sim run {0} --log", path.display()));
    Ok(whole)
}

/// Replays all runs and puts them on one line.
fn merged(
    runs: &[Run<'_>],
    nodes: Vec<NodeId>,
    arguments: &ReplayArgs,
    whole: &mut bool,
    collector: impl Fn(usize, Wall) -> Collector,
) -> Timeline {
    let mut collected = Vec::new();
    for run in runs {
        let node = nodes.iter().position(|id| *id == run.node_id).expect("it is one of them");
        let mut collector = collector(node, run.started);
        *whole &= replay(run, arguments, &mut collector);
        collected.push(collector.finish());
    }
    timeline::merge(nodes, collected)
}

type NamedFile = (String, Vec<u8>);

fn read(paths: &[PathBuf]) -> Result<Vec<NamedFile>, String> {
    let mut files = Vec::new();
    for path in paths {
        let cannot = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
        let mut of_path = vec![path.clone()];
        if path.is_dir() {
            let entries = std::fs::read_dir(path).map_err(cannot)?;
            of_path = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(cannot)?;
            of_path.retain(|path| path.extension().is_some_and(|ending| ending == "rec"));
            of_path.sort();
        }
        for path in of_path {
            let bytes = std::fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            files.push((path.display().to_string(), bytes));
        }
    }
    Ok(files)
}

fn introduce(run: &Run<'_>) {
    let turns: usize = run.segments.iter().map(|segment| segment.turns.len()).sum();
    say(&format!(
        "node {}, run of {}: {} segments, {turns} turns, up to {}",
        run.node_id,
        text::time(run.started),
        run.segments.len(),
        text::time(run.last_wall())
    ));
    let mut others: Vec<&str> = run.segments.iter().map(|segment| segment.header.build.as_str()).collect();
    others.dedup();
    for build in others.into_iter().filter(|build| *build != BUILD_ID) {
        say(&format!(
            "recorded by build {build}, replayed by build {BUILD_ID}: where they decide differently is shown"
        ));
    }
}

/// Replays a run and tells how it went: true if all digests agree, to the end.
fn replay<W: Watcher>(run: &Run<'_>, arguments: &ReplayArgs, watcher: &mut W) -> bool {
    introduce(run);
    let begin = std::time::Instant::now();
    let mut replay = Replay::new(run).verifying(arguments.verify);
    let mut rows = Rows::default();
    let mut first = None;
    let mut whole = true;
    loop {
        let turn = match replay.next_turn() {
            Ok(Some(turn)) => turn,
            Ok(None) => break,
            Err((segment, obstacle)) => {
                whole = false;
                say(&format!("{}, segment {}: {obstacle}", segment.file, segment.header.sequence));
                continue;
            }
        };
        if arguments.until.is_some_and(|until| until.ends_before(turn.number, turn.clock.wall)) {
            break;
        }
        first = first.or(Some(turn.clock.mono));
        let taken = if arguments.state.is_some() {
            replay.take(&turn, &mut Both(watcher, &mut rows))
        } else {
            replay.take(&turn, watcher)
        };
        match taken {
            Ok(Ok(())) => {}
            Ok(Err(divergence)) => {
                whole = false;
                say(divergence.to_string().trim_end());
                break;
            }
            Err(obstacle) => {
                whole = false;
                let segment = replay.segment().map_or(0, |segment| segment.header.sequence);
                say(&format!("segment {segment}: {obstacle}"));
                replay.skip_segment();
            }
        }
    }
    let took = begin.elapsed();
    let (turns, events) = replay.counted;
    let recorded = Duration::from_millis(first.map_or(0, |first| replay.clock().mono.0.saturating_sub(first.0)));
    let times = recorded.as_millis() / took.as_millis().max(1);
    let verdict = if whole { "all digests agree" } else { "not all of it agrees" };
    say(&format!(
        "replayed {turns} turns with {events} events, {recorded:.1?} in {took:.1?} ({times} times as fast): {verdict}"
    ));
    if let Some(topic) = &arguments.state {
        whole &= show_state(run, &replay, &rows, topic);
    }
    whole
}

fn show_state(run: &Run<'_>, replay: &Replay<'_>, rows: &Rows, topic: &str) -> bool {
    let Some(node) = replay.node() else {
        say("there is no state before the first turn");
        return false;
    };
    let network = run.segments.last().expect("a run has segments").header.network;
    let answer = ask(node, rows, network, replay.clock(), method_of(topic), "{}");
    let json = answer.as_ref().ok().and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
    match (answer, json) {
        (_, Some(json)) => say(&format!("{json:#}")),
        (Ok(text) | Err(text), None) => say(&text),
    }
    true
}

/// What touched the subject.
fn explained(run: &Run<'_>, mut subject: Subject, arguments: &ReplayArgs) -> bool {
    introduce(run);
    resolve(run, &mut subject);
    let last = |turn: u64, wall: Wall| !arguments.until.is_some_and(|until| until.ends_before(turn, wall));
    let until = match arguments.until {
        Some(Until::Turn(turn)) => turn,
        _ => u64::MAX,
    };
    let (found, divergence) = explain(run, &mut subject, until);
    let shown: Vec<&Explained> = found.iter().filter(|one| last(one.at.turn, one.wall)).collect();
    for one in &shown {
        say(&format!("{} [{}.{}] {}", text::time(one.wall), one.at.turn, one.at.step, one.event));
        one.commands.iter().for_each(|command| say(&format!("    → {command}")));
        if one.rows > 0 {
            say(&format!("    → {} rows", one.rows));
        }
    }
    if shown.is_empty() {
        say("nothing in this run touched it");
    }
    if let Some(divergence) = &divergence {
        say(divergence.to_string().trim_end());
    }
    divergence.is_none()
}

/// A short channel id names the channel that the node says has it, at the beginning or at the end of the run.
fn resolve(run: &Run<'_>, subject: &mut Subject) {
    let scids: Vec<String> = subject.scids().map(|scid| scid.to_string()).collect();
    if scids.is_empty() {
        return;
    }
    let mut replay = Replay::new(run);
    let mut find = |replay: &Replay<'_>| {
        let Some(node) = replay.node() else { return };
        let network = run.segments[0].header.network;
        let text = ask(node, &Rows::default(), network, replay.clock(), "listpeerchannels", "{}");
        let Ok(json) = serde_json::from_str::<serde_json::Value>(&text.unwrap_or_default()) else { return };
        for channel in json["channels"].as_array().into_iter().flatten() {
            let is_it = scids.iter().any(|scid| channel["short_channel_id"] == scid.as_str());
            if let Some(id) = channel["channel_id"].as_str().filter(|_| is_it).and_then(|id| id.parse().ok()) {
                subject.add_channel(id);
            }
        }
    };
    let mut count = 0u64;
    while let Ok(Some(turn)) = replay.next_turn() {
        if !matches!(replay.take(&turn, &mut Nobody), Ok(Ok(()))) {
            break;
        }
        if count == 0 {
            find(&replay);
        }
        count += 1;
    }
    find(&replay);
}

fn show(timeline: &Timeline) {
    for (number, node) in timeline.nodes.iter().enumerate() {
        say(&format!("{} = {node}", text::letter(number)));
    }
    for entry in &timeline.entries {
        let from = match (entry.kind, entry.other_end) {
            (Kind::Received, Some(end)) => {
                let sender = &timeline.entries[end];
                format!("  (sent by {} at {}.{})", text::letter(sender.node), sender.at.turn, sender.at.step)
            }
            (Kind::Sent, Some(end)) => format!("  (to {})", text::letter(timeline.entries[end].node)),
            _ => String::new(),
        };
        let At { turn, step } = entry.at;
        say(&format!("{} {} [{turn}.{step}] {}{from}", text::time(entry.wall), text::letter(entry.node), entry.text));
    }
}
