//! The text of a story: one thing on a line, words between spaces, `#` before what is only for people. `docs/simulation.md`
//! lists all lines. What is printed can be read again.

use std::fmt;

use leyden_core::amount::{Msat, Sat};
use leyden_core::request::channel::ChannelState;
use leyden_core::request::invoice::InvoiceStatus;
use leyden_core::wire::MESSAGE_TYPES;

use super::{ChannelPlan, Count, Expectation, NodeOption, PayKind, Saying, Step, Story, Which};
use crate::net::{NodeIndex, Wire};
use crate::world::{Act, CrashPoint, Habit, Place, Refill, Trigger};

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

pub(super) const POINTS: [(CrashPoint, &str); 4] = [
    (CrashPoint::BeforeCommit, "before_commit"),
    (CrashPoint::AfterCommit, "after_commit"),
    (CrashPoint::AmidEffects, "amid_effects"),
    (CrashPoint::AfterEffects, "after_effects"),
];
pub(super) const PLACES: [(Place, &str); 3] =
    [(Place::Before, "before"), (Place::Inside, "inside"), (Place::After, "after")];
pub(super) const WHICH: [(Which, &str); 3] = [(Which::Own, "own"), (Which::Unknown, "unknown"), (Which::All, "all")];
pub(super) const STATES: [(ChannelState, &str); 10] = [
    (ChannelState::Opening, "opening"),
    (ChannelState::AwaitingLockin, "awaiting_lockin"),
    (ChannelState::Normal, "normal"),
    (ChannelState::ShuttingDown, "shutting_down"),
    (ChannelState::SigExchange, "sig_exchange"),
    (ChannelState::ClosingComplete, "closing_complete"),
    (ChannelState::AwaitingUnilateral, "awaiting_unilateral"),
    (ChannelState::FundingSpendSeen, "funding_spend_seen"),
    (ChannelState::Onchain, "onchain"),
    (ChannelState::Closed, "closed"),
];
pub(super) const STATUSES: [(InvoiceStatus, &str); 5] = [
    (InvoiceStatus::Unpaid, "unpaid"),
    (InvoiceStatus::Paid, "paid"),
    (InvoiceStatus::Expired, "expired"),
    (InvoiceStatus::Accepted, "accepted"),
    (InvoiceStatus::Cancelled, "cancelled"),
];
pub(super) const KINDS: [(PayKind, &str); 5] = [
    (PayKind::Invoice, "pay"),
    (PayKind::Route, "route"),
    (PayKind::Probe, "probe"),
    (PayKind::ProbeRoute, "probe_route"),
    (PayKind::Half, "half"),
];

fn named<T: Copy>(table: &[(T, &str)], word: &str) -> Option<T> {
    table.iter().find(|(_, name)| *name == word).map(|(value, _)| *value)
}

pub(super) fn name_of<T: Copy + PartialEq>(table: &[(T, &'static str)], value: T) -> &'static str {
    table.iter().find(|(known, _)| *known == value).expect("the table holds all of them").1
}

/// All words that may begin a line, follow `expect`, follow `say`, happen to a message, or name an option.
pub fn keywords() -> Vec<&'static str> {
    let mut all = vec![
        "title",
        "seed",
        "wire",
        "latency",
        "jitter",
        "nodes",
        "under_test",
        "heights_matter",
        "closes_allowed",
        "bad",
        "option",
        "channel",
        "circle",
        "connect",
        "disconnect",
        "open",
        "close",
        "wait",
        "mine",
        "reorg",
        "block",
        "cut",
        "stall",
        "part",
        "meet",
        "coins",
        "heal",
        "when",
        "perhaps",
        "crash",
        "halt",
        "start",
        "slow_store",
        "lag_chain",
        "chain_down",
        "chain_up",
        "chain_lacks",
        "proxy_down",
        "proxy_up",
        "mempool_minimum",
        "giant",
        "skew_clock",
        "feerate",
        "habit",
        "inject",
        "say",
        "again",
        "stop",
        "move",
        "vanish",
        "reindex",
        "invoice",
        "pay_invoice",
        "hold_invoice",
        "settle",
        "cancel",
        "expect",
        "always",
        "cut",
        "crash_sender",
        "crash_receiver",
        "stall",
        "drop",
        "twice",
        "replace",
        "spoil",
        "ahead",
        "paid",
        "failed",
        "refused",
        "pending",
        "status",
        "usable",
        "connected",
        "apart",
        "says",
        "gains",
        "connections",
        "channels",
        "holds",
        "channel_feerate",
        "said",
        "order",
        "cuts",
        "in_step",
        "warned",
        "dials",
        "content",
        "ping",
        "pong",
        "error",
        "warning",
        "channel_reestablish",
        "update_fee",
        "update_add_htlc",
        "update_fulfill_htlc",
        "revoke_and_ack",
    ];
    all.extend(KINDS.map(|(_, name)| name));
    all.extend(POINTS.map(|(_, name)| name));
    all.extend(PLACES.map(|(_, name)| name));
    all.extend(WHICH.map(|(_, name)| name));
    all.extend(STATUSES.map(|(_, name)| name));
    all.extend(STATES.map(|(_, name)| name));
    all.extend(NodeOption::ALL.map(|(_, name)| name));
    all
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

    fn kind_of_message(&mut self) -> Result<u16> {
        self.message_type()?.ok_or_else(|| "one kind of message is expected, not `any`".to_owned())
    }

    fn which(&mut self) -> Result<Which> {
        let word = self.next("`own`, `unknown` or `all`")?;
        named(&WHICH, word).ok_or_else(|| format!("`own`, `unknown` or `all` is expected, not `{word}`"))
    }

    fn count(&mut self) -> Result<Count> {
        let word = self.next("how many")?;
        let count = |digits: &str, count: fn(u64) -> Count| digits.parse().map(count);
        let found = match (word.strip_suffix('+'), word.strip_suffix('-')) {
            (Some(digits), _) => count(digits, Count::AtLeast),
            (_, Some(digits)) => count(digits, Count::AtMost),
            _ => count(word, Count::Exactly),
        };
        found.map_err(|_| format!("a count is like 3, 3+ or 3-, not `{word}`"))
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
        "coins" => {
            let coins = (words.node()?, words.sat()?);
            story.coins.push(coins);
        }
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
        "circle" => circle(words)?,
        "connect" => Step::Connect(words.node()?, words.node()?),
        "disconnect" => Step::Disconnect(words.node()?, words.node()?),
        "open" => Step::Open(channel(words)?),
        "close" => {
            let (from, with) = (words.node()?, words.node()?);
            let range = match words.rest.clone().next() {
                Some("between") => {
                    words.expect("between")?;
                    Some((words.number("the lowest feerate")?, words.number("the highest feerate")?))
                }
                _ => None,
            };
            let alone_s = match words.rest.next() {
                None => None,
                Some("alone_after") => Some(words.duration_ms()? / 1_000),
                Some(other) => return Err(format!("`alone_after` is expected, not `{other}`")),
            };
            match range {
                None => Step::Close(from, with, alone_s),
                Some((low, high)) => Step::CloseBetween { from, with, low, high, alone_s },
            }
        }
        "wait" => match words.rest.clone().next() {
            Some("quiet") => {
                words.expect("quiet")?;
                Step::WaitQuiet
            }
            _ => Step::Wait(words.duration_ms()?),
        },
        "mine" => Step::Mine(words.number("the number of blocks")?),
        "reorg" => {
            let depth = words.number("the number of blocks")?;
            match words.rest.next() {
                None => Step::Reorg(depth, Refill::Full),
                Some("empty") => Step::Reorg(depth, Refill::Empty),
                Some(other) => return Err(format!("`empty` is expected, not `{other}`")),
            }
        }
        "cut" => Step::Cut(words.node()?, words.node()?),
        "stall" => Step::Stall(words.node()?, words.node()?, words.duration_ms()?),
        "part" => Step::Part(words.node()?, words.node()?),
        "block" => Step::Block,
        "meet" => Step::Meet(words.node()?, words.node()?),
        "heal" => Step::Heal,
        "when" => Step::Must(trigger(words)?),
        "perhaps" => Step::Arm(trigger(words)?),
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
        "proxy_down" => Step::ProxyUp(words.node()?, false),
        "proxy_up" => Step::ProxyUp(words.node()?, true),
        "chain_lacks" => Step::ChainLacks(words.node()?),
        "mempool_minimum" => Step::MempoolMinimum(words.number("satoshi per 1,000 weight")?),
        "giant" => Step::Giant,
        "skew_clock" => Step::SkewClock(words.node()?, words.number("milliseconds")?),
        "feerate" => Step::Feerate(words.node()?, words.number("satoshi per 1,000 weight")?),
        "habit" => {
            let node = words.node()?;
            let word = words.next("a habit")?;
            let habit = named(&Habit::ALL, word).ok_or_else(|| format!("no habit is called `{word}`"))?;
            let percent: u64 = words.number("in how many of a hundred cases")?;
            if percent > 100 {
                return Err(format!("{percent} of a hundred cases are too many"));
            }
            Step::Habit(node, habit, percent)
        }
        "inject" => Step::Inject(words.node()?, words.node()?, words.hex()?),
        "say" => Step::Say(words.node()?, words.node()?, saying(words)?),
        "again" => Step::Again(words.node()?, words.node()?, words.kind_of_message()?),
        "stop" => Step::Stop(words.node()?),
        "move" => Step::Move(words.node()?),
        "vanish" => Step::Vanish(words.node()?, words.node()?),
        "reindex" => Step::Reindex(words.node()?, words.number("how many blocks")?),
        "invoice" => {
            let name = words.next("the invoice's name")?.to_owned();
            let (to, amount) = (words.node()?, words.amount()?);
            words.expect("expiry")?;
            Step::Invoice { name, to, amount, expiry_s: words.duration_ms()? / 1_000 }
        }
        "hold_invoice" => {
            let name = words.next("the invoice's name")?.to_owned();
            let (to, amount) = (words.node()?, words.amount()?);
            words.expect("expiry")?;
            let expiry_s = words.duration_ms()? / 1_000;
            words.expect("cltv")?;
            Step::HoldInvoice { name, to, amount, expiry_s, cltv: words.number("how many blocks")? }
        }
        "settle" => Step::Settle(words.next("the invoice's name")?.to_owned()),
        "cancel" => Step::Cancel(words.next("the invoice's name")?.to_owned()),
        "pay_invoice" => {
            let (name, from) = (words.next("the invoice's name")?.to_owned(), words.node()?);
            let part = match words.rest.next() {
                None => None,
                Some("part") => Some(words.amount()?),
                Some(other) => return Err(format!("`part` is expected, not `{other}`")),
            };
            Step::PayInvoice(name, from, part)
        }
        "expect" => Step::Expect(expectation(words)?),
        "always" => Step::Always(expectation(words)?),
        other => return Err(format!("no line begins with `{other}`")),
    })
}

/// `circle NAME FROM AMOUNT over NODE …`: over these and back.
fn circle(words: &mut Words<'_>) -> Result<Step> {
    let name = words.next("the payment's name")?.to_owned();
    let (from, amount) = (words.node()?, words.amount()?);
    words.expect("over")?;
    let mut over = vec![words.node()?];
    while words.rest.clone().next().is_some() {
        over.push(words.node()?);
    }
    let ends = [over[0], over[over.len() - 1]];
    if ends.contains(&from) || over.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err("each hop of a circle leads to another node".into());
    }
    Ok(Step::Circle { name, from, amount, over })
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
        "ahead" => Act::Ahead(words.kind_of_message()?),
        other => return Err(format!("`{other}` cannot happen to a message")),
    };
    Ok(Trigger { from, to, message_type, skip, place, act })
}

fn saying(words: &mut Words<'_>) -> Result<Saying> {
    Ok(match words.next("what is said")? {
        "ping" => Saying::Ping { num_pong_bytes: words.number("bytes of the pong")?, ignored: words.number("bytes")? },
        "pong" => Saying::Pong { ignored: words.number("bytes")? },
        "error" => Saying::Error(words.which()?, words.text()),
        "warning" => Saying::Warning(words.which()?, words.text()),
        "channel_reestablish" => {
            Saying::Reestablish(words.which()?, words.number("the next commitment")?, words.number("the revocation")?)
        }
        "update_fee" => Saying::Fee(words.which()?, words.number("satoshi per 1,000 weight")?),
        "update_add_htlc" => Saying::Add(words.which()?, words.number("the id")?, words.amount()?),
        "update_fulfill_htlc" => Saying::Fulfill(words.which()?, words.number("the id")?),
        "revoke_and_ack" => Saying::Revoke(words.which()?),
        other => return Err(format!("`{other}` cannot be made up")),
    })
}

fn expectation(words: &mut Words<'_>) -> Result<Expectation> {
    Ok(match words.next("what must be so")? {
        "paid" => Expectation::Paid(words.next("a payment")?.to_owned()),
        "failed" => Expectation::Failed(words.next("a payment")?.to_owned()),
        "refused" => Expectation::Refused(words.next("a payment")?.to_owned()),
        "pending" => Expectation::Pending(words.next("a payment")?.to_owned()),
        "status" => {
            let name = words.next("an invoice")?.to_owned();
            let word = words.next("a status")?;
            let status = named(&STATUSES, word).ok_or_else(|| format!("no invoice can be `{word}`"))?;
            Expectation::Status(name, status)
        }
        "usable" => Expectation::Usable(words.node()?, words.node()?, words.number("how many channels")?),
        "connected" => Expectation::Connected(words.node()?, words.node()?, true),
        "apart" => Expectation::Connected(words.node()?, words.node()?, false),
        "says" => Expectation::Says(words.node()?, words.text()),
        "gains" => Expectation::Gains(words.node()?, words.number("millisatoshi")?),
        "connections" => Expectation::Connections(words.node()?, words.node()?, words.number("how many")?),
        "channels" => {
            let (of, with) = (words.node()?, words.node()?);
            let word = words.next("a state")?;
            let state = named(&STATES, word).ok_or_else(|| format!("no channel can be `{word}`"))?;
            Expectation::Channels(of, with, state, words.number("how many")?)
        }
        "holds" => Expectation::Holds(words.node()?, words.node()?, words.number("how many HTLCs")?),
        "channel_feerate" => Expectation::ChannelFeerate(words.node()?, words.node()?, words.number("the feerate")?),
        "said" => Expectation::Said(words.node()?, words.node()?, words.kind_of_message()?, words.count()?),
        "order" => {
            let (from, to) = (words.node()?, words.node()?);
            Expectation::Order(from, to, words.kind_of_message()?, words.kind_of_message()?)
        }
        "cuts" => Expectation::Cuts(words.node()?, words.node()?, words.count()?),
        "dials" => Expectation::Dials(words.node()?, words.node()?, words.count()?),
        "warned" => Expectation::Warned(words.node()?, true),
        "content" => Expectation::Warned(words.node()?, false),
        "in_step" => Expectation::InStep(words.node()?),
        other => return Err(format!("nothing is known of `{other}`")),
    })
}
