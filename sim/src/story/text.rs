//! The text of a story: one thing on a line, words between spaces, `#` before what is only for people. `docs/simulation.md`
//! lists all lines. What is printed can be read again.

use std::fmt;

use leyden_core::amount::{Msat, Sat};
use leyden_core::wire::MESSAGE_TYPES;

use super::{ChannelPlan, Expectation, NodeOption, PayKind, Step, Story};
use crate::net::{NodeIndex, Wire};
use crate::world::{Act, CrashPoint, Place, Trigger};

/// Why a text is no story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// In which line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

impl std::error::Error for Flaw {}

type Result<T> = std::result::Result<T, String>;

const POINTS: [(CrashPoint, &str); 4] = [
    (CrashPoint::BeforeCommit, "before_commit"),
    (CrashPoint::AfterCommit, "after_commit"),
    (CrashPoint::AmidEffects, "amid_effects"),
    (CrashPoint::AfterEffects, "after_effects"),
];
const PLACES: [(Place, &str); 3] = [(Place::Before, "before"), (Place::Inside, "inside"), (Place::After, "after")];
const KINDS: [(PayKind, &str); 4] =
    [(PayKind::Invoice, "pay"), (PayKind::Route, "route"), (PayKind::Probe, "probe"), (PayKind::Half, "half")];

fn named<T: Copy>(table: &[(T, &str)], word: &str) -> Option<T> {
    table.iter().find(|(_, name)| *name == word).map(|(value, _)| *value)
}

fn name_of<T: Copy + PartialEq>(table: &[(T, &'static str)], value: T) -> &'static str {
    table.iter().find(|(known, _)| *known == value).expect("the table holds all of them").1
}

/// Reads a story.
pub fn parse(text: &str) -> std::result::Result<Story, Flaw> {
    let mut story = Story::new("", &[]);
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        if !line.is_empty() {
            take(&mut story, line).map_err(|reason| Flaw { line: number, reason })?;
        }
    }
    if story.names.is_empty() {
        return Err(Flaw { line: text.lines().count().max(1), reason: "a story needs a line `nodes NAME …`".into() });
    }
    Ok(story)
}

/// The words of a line that are not read yet.
struct Words<'a> {
    names: &'a [String],
    rest: std::str::SplitWhitespace<'a>,
}

impl<'a> Words<'a> {
    fn next(&mut self, what: &str) -> Result<&'a str> {
        self.rest.next().ok_or_else(|| format!("{what} is missing at the end"))
    }

    fn expect(&mut self, word: &str) -> Result<()> {
        let found = self.next(&format!("`{word}`"))?;
        if found == word { Ok(()) } else { Err(format!("`{word}` is expected, not `{found}`")) }
    }

    fn node(&mut self) -> Result<NodeIndex> {
        let word = self.next("a node")?;
        self.names.iter().position(|name| name == word).ok_or_else(|| format!("no node is called `{word}`"))
    }

    fn number<T: std::str::FromStr>(&mut self, what: &str) -> Result<T> {
        let word = self.next(what)?;
        word.parse().map_err(|_| format!("{what} is a number, not `{word}`"))
    }

    fn duration_ms(&mut self) -> Result<u64> {
        let word = self.next("a duration")?;
        let units = [("ms", 1), ("s", 1_000), ("min", 60_000), ("h", 3_600_000)];
        let found = units.iter().find_map(|(unit, ms)| Some(word.strip_suffix(unit)?.parse::<u64>().ok()? * ms));
        found.ok_or_else(|| format!("a duration is like 500ms, 30s, 5min or 2h, not `{word}`"))
    }

    fn amount(&mut self) -> Result<Msat> {
        let word = self.next("an amount")?;
        let units = [("msat", 1), ("sat", 1_000)];
        let found =
            units.iter().find_map(|(unit, msat)| word.strip_suffix(unit)?.parse::<u64>().ok()?.checked_mul(*msat));
        found.map(Msat).ok_or_else(|| format!("an amount is like 1000sat or 5msat, not `{word}`"))
    }

    fn sat(&mut self) -> Result<Sat> {
        let amount = self.amount()?;
        if amount.0 % 1_000 == 0 { Ok(Sat(amount.0 / 1_000)) } else { Err("whole satoshis are expected".into()) }
    }

    fn message_type(&mut self) -> Result<Option<u16>> {
        let word = self.next("a message's name")?;
        if word == "any" {
            return Ok(None);
        }
        let known = MESSAGE_TYPES.iter().find(|(_, name)| *name == word);
        known.map(|(number, _)| Some(*number)).ok_or_else(|| format!("no message is called `{word}`"))
    }

    fn hex(&mut self) -> Result<Vec<u8>> {
        let word = self.next("bytes in hexadecimal")?;
        let pair = |at: usize| u8::from_str_radix(word.get(at..at + 2)?, 16).ok();
        let bytes: Option<Vec<u8>> = (0..word.len()).step_by(2).map(pair).collect();
        bytes.ok_or_else(|| format!("bytes in hexadecimal are expected, not `{word}`"))
    }

    fn text(&mut self) -> String {
        self.rest.by_ref().collect::<Vec<_>>().join(" ")
    }

    fn end(&mut self) -> Result<()> {
        match self.rest.next() {
            None => Ok(()),
            Some(word) => Err(format!("nothing is expected after this, but there is `{word}`")),
        }
    }
}

fn take(story: &mut Story, line: &str) -> Result<()> {
    let names = std::mem::take(&mut story.names);
    let mut words = Words { names: &names, rest: line.split_whitespace() };
    let result = take_words(story, &mut words).and_then(|()| words.end());
    if story.names.is_empty() {
        story.names = names;
    }
    result
}

fn take_words(story: &mut Story, words: &mut Words<'_>) -> Result<()> {
    match words.next("a word")? {
        "title" => story.title = words.text(),
        "seed" => story.seed = words.number("the seed")?,
        "wire" => {
            story.wire = match words.next("`messages` or `bytes`")? {
                "messages" => Wire::Messages,
                "bytes" => Wire::Bytes,
                other => return Err(format!("a wire carries `messages` or `bytes`, not `{other}`")),
            }
        }
        "latency" => story.latency_ms = words.duration_ms()?,
        "jitter" => story.jitter_ms = words.duration_ms()?,
        "nodes" => {
            let names: Vec<String> = words.rest.by_ref().map(str::to_owned).collect();
            let twice = names.iter().enumerate().find(|(index, name)| names[..*index].contains(name));
            if let Some((_, name)) = twice {
                return Err(format!("two nodes are called `{name}`"));
            }
            if names.is_empty() || names.len() > 1_000 {
                return Err("a story has between 1 and 1,000 nodes".into());
            }
            if !words.names.is_empty() {
                return Err("the nodes are named already".into());
            }
            story.names = names;
        }
        "under_test" => story.under_test = Some(words.node()?),
        "heights_matter" => story.heights_matter = true,
        "closes_allowed" => story.closes_allowed = true,
        "bad" => story.bad.push(words.node()?),
        "option" => {
            let node = words.node()?;
            let word = words.next("an option")?;
            let option = named(&NodeOption::ALL, word).ok_or_else(|| format!("no option is called `{word}`"))?;
            story.options.push((node, option, words.number("the option's value")?));
        }
        "channel" => story.channels.push(channel(words)?),
        word => story.steps.push(step(word, words)?),
    }
    Ok(())
}

fn channel(words: &mut Words<'_>) -> Result<ChannelPlan> {
    let (from, to, amount) = (words.node()?, words.node()?, words.sat()?);
    let push_msat = match words.rest.next() {
        None => Msat(0),
        Some("push") => words.amount()?,
        Some(other) => return Err(format!("`push` is expected, not `{other}`")),
    };
    if from == to || push_msat > Msat(amount.0 * 1_000) {
        return Err("a channel joins two nodes and cannot push more than it holds".into());
    }
    Ok(ChannelPlan { from, to, amount, push_msat })
}

fn step(word: &str, words: &mut Words<'_>) -> Result<Step> {
    if let Some(kind) = named(&KINDS, word) {
        let name = words.next("the payment's name")?.to_owned();
        let (from, to, amount) = (words.node()?, words.node()?, words.amount()?);
        return Ok(Step::Pay { name, from, to, amount, kind });
    }
    Ok(match word {
        "connect" => Step::Connect(words.node()?, words.node()?),
        "disconnect" => Step::Disconnect(words.node()?, words.node()?),
        "open" => Step::Open(channel(words)?),
        "close" => {
            let (from, to) = (words.node()?, words.node()?);
            let alone = match words.rest.next() {
                None => None,
                Some("alone_after") => Some(words.duration_ms()? / 1_000),
                Some(other) => return Err(format!("`alone_after` is expected, not `{other}`")),
            };
            Step::Close(from, to, alone)
        }
        "wait" => match words.rest.clone().next() {
            Some("quiet") => {
                words.expect("quiet")?;
                Step::WaitQuiet
            }
            _ => Step::Wait(words.duration_ms()?),
        },
        "mine" => Step::Mine(words.number("the number of blocks")?),
        "reorg" => Step::Reorg(words.number("the number of blocks")?),
        "cut" => Step::Cut(words.node()?, words.node()?),
        "stall" => Step::Stall(words.node()?, words.node()?, words.duration_ms()?),
        "part" => Step::Part(words.node()?, words.node()?),
        "heal" => Step::Heal,
        "when" => Step::Arm(trigger(words)?),
        "crash" => {
            let node = words.node()?;
            match words.rest.next() {
                None => Step::Crash(node),
                Some(word) => {
                    let point = named(&POINTS, word).ok_or_else(|| format!("no place of a turn is called `{word}`"))?;
                    Step::CrashAt(node, words.number("which turn")?, point)
                }
            }
        }
        "halt" => Step::Halt(words.node()?),
        "start" => Step::Start(words.node()?),
        "slow_store" => Step::SlowStore(words.node()?, words.duration_ms()?),
        "lag_chain" => Step::LagChain(words.node()?, words.duration_ms()?),
        "chain_down" => Step::ChainUp(words.node()?, false),
        "chain_up" => Step::ChainUp(words.node()?, true),
        "skew_clock" => Step::SkewClock(words.node()?, words.number("milliseconds")?),
        "feerate" => Step::Feerate(words.node()?, words.number("satoshi per 1,000 weight")?),
        "inject" => Step::Inject(words.node()?, words.node()?, words.hex()?),
        "expect" => Step::Expect(expectation(words)?),
        "always" => Step::Always(expectation(words)?),
        other => return Err(format!("no line begins with `{other}`")),
    })
}

/// `when FROM TO MESSAGE N PLACE ACT …`: at the n-th of these messages from now on.
fn trigger(words: &mut Words<'_>) -> Result<Trigger> {
    let (from, to, message_type) = (words.node()?, words.node()?, words.message_type()?);
    let nth: u32 = words.number("which of them")?;
    let skip = nth.checked_sub(1).ok_or("the first message is number 1")?;
    let word = words.next("`before`, `inside` or `after`")?;
    let place =
        named(&PLACES, word).ok_or_else(|| format!("`before`, `inside` or `after` is expected, not `{word}`"))?;
    let act = match words.next("what happens")? {
        "cut" => Act::Cut,
        "crash_sender" => Act::CrashSender,
        "crash_receiver" => Act::CrashReceiver,
        "stall" => Act::Stall(words.duration_ms()?),
        "drop" => Act::Drop,
        "twice" => Act::Twice,
        "replace" => Act::Replace(words.hex()?),
        "spoil" => Act::Spoil(words.number("which byte from the end")?),
        other => return Err(format!("`{other}` cannot happen to a message")),
    };
    Ok(Trigger { from, to, message_type, skip, place, act })
}

fn expectation(words: &mut Words<'_>) -> Result<Expectation> {
    Ok(match words.next("what must be so")? {
        "paid" => Expectation::Paid(words.next("a payment")?.to_owned()),
        "failed" => Expectation::Failed(words.next("a payment")?.to_owned()),
        "pending" => Expectation::Pending(words.next("a payment")?.to_owned()),
        "usable" => Expectation::Usable(words.node()?, words.node()?, words.number("how many channels")?),
        "connected" => Expectation::Connected(words.node()?, words.node()?, true),
        "apart" => Expectation::Connected(words.node()?, words.node()?, false),
        "says" => Expectation::Says(words.node()?, words.text()),
        "gains" => Expectation::Gains(words.node()?, words.number("millisatoshi")?),
        other => return Err(format!("nothing is known of `{other}`")),
    })
}

/// Prints what belongs to a story's nodes.
struct Named<'a, T>(&'a Story, &'a T);

impl Story {
    fn name(&self, node: NodeIndex) -> &str {
        &self.names[node]
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "title {}\nseed {}", self.title, self.seed)?;
        let wire = if self.wire == Wire::Bytes { "bytes" } else { "messages" };
        writeln!(f, "wire {wire}\nlatency {}ms\njitter {}ms", self.latency_ms, self.jitter_ms)?;
        writeln!(f, "nodes {}", self.names.join(" "))?;
        if let Some(node) = self.under_test {
            writeln!(f, "under_test {}", self.name(node))?;
        }
        if self.heights_matter {
            writeln!(f, "heights_matter")?;
        }
        if self.closes_allowed {
            writeln!(f, "closes_allowed")?;
        }
        for node in &self.bad {
            writeln!(f, "bad {}", self.name(*node))?;
        }
        for (node, option, value) in &self.options {
            writeln!(f, "option {} {} {value}", self.name(*node), name_of(&NodeOption::ALL, *option))?;
        }
        for channel in &self.channels {
            writeln!(f, "channel {}", Named(self, channel))?;
        }
        self.steps.iter().try_for_each(|step| writeln!(f, "{}", Named(self, step)))
    }
}

impl fmt::Display for Named<'_, ChannelPlan> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Named(story, ChannelPlan { from, to, amount, push_msat }) = self;
        write!(f, "{} {} {}sat push {}msat", story.name(*from), story.name(*to), amount.0, push_msat.0)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Display for Named<'_, Step> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Named(story, step) = self;
        let name = |node: &NodeIndex| story.name(*node);
        match step {
            Step::Pay { name: called, from, to, amount, kind } => {
                write!(f, "{} {called} {} {} {}msat", name_of(&KINDS, *kind), name(from), name(to), amount.0)
            }
            Step::Connect(a, b) => write!(f, "connect {} {}", name(a), name(b)),
            Step::Disconnect(a, b) => write!(f, "disconnect {} {}", name(a), name(b)),
            Step::Open(channel) => write!(f, "open {}", Named(story, channel)),
            Step::Close(a, b, None) => write!(f, "close {} {}", name(a), name(b)),
            Step::Close(a, b, Some(seconds)) => write!(f, "close {} {} alone_after {seconds}s", name(a), name(b)),
            Step::Wait(ms) => write!(f, "wait {ms}ms"),
            Step::WaitQuiet => write!(f, "wait quiet"),
            Step::Mine(count) => write!(f, "mine {count}"),
            Step::Reorg(count) => write!(f, "reorg {count}"),
            Step::Cut(a, b) => write!(f, "cut {} {}", name(a), name(b)),
            Step::Stall(a, b, ms) => write!(f, "stall {} {} {ms}ms", name(a), name(b)),
            Step::Part(a, b) => write!(f, "part {} {}", name(a), name(b)),
            Step::Heal => write!(f, "heal"),
            Step::Arm(trigger) => write!(f, "{}", Named(story, trigger)),
            Step::Crash(node) => write!(f, "crash {}", name(node)),
            Step::CrashAt(node, turn, point) => {
                write!(f, "crash {} {} {turn}", name(node), name_of(&POINTS, *point))
            }
            Step::Halt(node) => write!(f, "halt {}", name(node)),
            Step::Start(node) => write!(f, "start {}", name(node)),
            Step::SlowStore(node, ms) => write!(f, "slow_store {} {ms}ms", name(node)),
            Step::LagChain(node, ms) => write!(f, "lag_chain {} {ms}ms", name(node)),
            Step::ChainUp(node, true) => write!(f, "chain_up {}", name(node)),
            Step::ChainUp(node, false) => write!(f, "chain_down {}", name(node)),
            Step::SkewClock(node, ms) => write!(f, "skew_clock {} {ms}", name(node)),
            Step::Feerate(node, feerate_per_kw) => write!(f, "feerate {} {feerate_per_kw}", name(node)),
            Step::Inject(from, to, bytes) => write!(f, "inject {} {} {}", name(from), name(to), hex(bytes)),
            Step::Expect(expectation) => write!(f, "expect {}", Named(story, expectation)),
            Step::Always(expectation) => write!(f, "always {}", Named(story, expectation)),
        }
    }
}

impl fmt::Display for Named<'_, Trigger> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Named(story, Trigger { from, to, message_type, skip, place, act }) = self;
        let message = match message_type {
            None => "any",
            Some(number) => MESSAGE_TYPES.iter().find(|(known, _)| known == number).map_or("any", |(_, name)| *name),
        };
        let (from, to, place) = (story.name(*from), story.name(*to), name_of(&PLACES, *place));
        write!(f, "when {from} {to} {message} {} {place} ", skip + 1)?;
        match act {
            Act::Cut => write!(f, "cut"),
            Act::CrashSender => write!(f, "crash_sender"),
            Act::CrashReceiver => write!(f, "crash_receiver"),
            Act::Stall(ms) => write!(f, "stall {ms}ms"),
            Act::Drop => write!(f, "drop"),
            Act::Twice => write!(f, "twice"),
            Act::Replace(bytes) => write!(f, "replace {}", hex(bytes)),
            Act::Spoil(at) => write!(f, "spoil {at}"),
        }
    }
}

impl fmt::Display for Named<'_, Expectation> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Named(story, expectation) = self;
        let name = |node: &NodeIndex| story.name(*node);
        match expectation {
            Expectation::Paid(payment) => write!(f, "paid {payment}"),
            Expectation::Failed(payment) => write!(f, "failed {payment}"),
            Expectation::Pending(payment) => write!(f, "pending {payment}"),
            Expectation::Usable(a, b, count) => write!(f, "usable {} {} {count}", name(a), name(b)),
            Expectation::Connected(a, b, true) => write!(f, "connected {} {}", name(a), name(b)),
            Expectation::Connected(a, b, false) => write!(f, "apart {} {}", name(a), name(b)),
            Expectation::Says(node, text) => write!(f, "says {} {text}", name(node)),
            Expectation::Gains(node, msat) => write!(f, "gains {} {msat}", name(node)),
        }
    }
}
