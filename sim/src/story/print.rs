//! The text of a story, printed: what is printed can be read again.

use std::fmt;

use leyden_core::wire::MESSAGE_TYPES;

use super::text::{KINDS, PLACES, POINTS, STATES, STATUSES, WHICH, name_of};
use super::{ChannelPlan, Count, Expectation, NodeOption, Saying, Step, Story};
use crate::net::{NodeIndex, Wire};
use crate::world::{Act, Habit, Refill, Trigger};

fn message_name(message_type: u16) -> &'static str {
    MESSAGE_TYPES.iter().find(|(known, _)| *known == message_type).map_or("any", |(_, name)| *name)
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Count::Exactly(count) => write!(f, "{count}"),
            Count::AtLeast(count) => write!(f, "{count}+"),
            Count::AtMost(count) => write!(f, "{count}-"),
        }
    }
}

/// Prints what belongs to a story's nodes.
struct Named<'a, T>(&'a Story, &'a T);

impl Story {
    /// A step as a line.
    pub fn line(&self, step: &Step) -> String {
        Named(self, step).to_string()
    }

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
        for (node, amount) in &self.coins {
            writeln!(f, "coins {} {}sat", self.name(*node), amount.0)?;
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
            Step::Circle { name: called, from, amount, over } => {
                write!(f, "circle {called} {} {}msat over", name(from), amount.0)?;
                over.iter().try_for_each(|node| write!(f, " {}", name(node)))
            }
            Step::Connect(a, b) => write!(f, "connect {} {}", name(a), name(b)),
            Step::Disconnect(a, b) => write!(f, "disconnect {} {}", name(a), name(b)),
            Step::Open(channel) => write!(f, "open {}", Named(story, channel)),
            Step::Close(a, b, None) => write!(f, "close {} {}", name(a), name(b)),
            Step::Close(a, b, Some(seconds)) => write!(f, "close {} {} alone_after {seconds}s", name(a), name(b)),
            Step::CloseBetween { from, with, low, high, alone_s } => {
                write!(f, "close {} {} between {low} {high}", name(from), name(with))?;
                alone_s.iter().try_for_each(|seconds| write!(f, " alone_after {seconds}s"))
            }
            Step::Wait(ms) => write!(f, "wait {ms}ms"),
            Step::WaitQuiet => write!(f, "wait quiet"),
            Step::Mine(count) => write!(f, "mine {count}"),
            Step::Block => write!(f, "block"),
            Step::Reorg(count, Refill::Full) => write!(f, "reorg {count}"),
            Step::Reorg(count, Refill::Empty) => write!(f, "reorg {count} empty"),
            Step::Cut(a, b) => write!(f, "cut {} {}", name(a), name(b)),
            Step::Stall(a, b, ms) => write!(f, "stall {} {} {ms}ms", name(a), name(b)),
            Step::Part(a, b) => write!(f, "part {} {}", name(a), name(b)),
            Step::Meet(a, b) => write!(f, "meet {} {}", name(a), name(b)),
            Step::Heal => write!(f, "heal"),
            Step::Must(trigger) => write!(f, "when {}", Named(story, trigger)),
            Step::Arm(trigger) => write!(f, "perhaps {}", Named(story, trigger)),
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
            Step::ProxyUp(node, true) => write!(f, "proxy_up {}", name(node)),
            Step::ProxyUp(node, false) => write!(f, "proxy_down {}", name(node)),
            Step::ChainLacks(node) => write!(f, "chain_lacks {}", name(node)),
            Step::MempoolMinimum(feerate_per_kw) => write!(f, "mempool_minimum {feerate_per_kw}"),
            Step::Giant => write!(f, "giant"),
            Step::SkewClock(node, ms) => write!(f, "skew_clock {} {ms}", name(node)),
            Step::Feerate(node, feerate_per_kw) => write!(f, "feerate {} {feerate_per_kw}", name(node)),
            Step::Habit(node, habit, percent) => {
                write!(f, "habit {} {} {percent}", name(node), name_of(&Habit::ALL, *habit))
            }
            Step::Inject(from, to, bytes) => write!(f, "inject {} {} {}", name(from), name(to), hex(bytes)),
            Step::Say(from, to, saying) => write!(f, "say {} {} {}", name(from), name(to), Named(story, saying)),
            Step::Again(from, to, message_type) => {
                write!(f, "again {} {} {}", name(from), name(to), message_name(*message_type))
            }
            Step::Stop(node) => write!(f, "stop {}", name(node)),
            Step::Move(node) => write!(f, "move {}", name(node)),
            Step::Vanish(a, b) => write!(f, "vanish {} {}", name(a), name(b)),
            Step::Reindex(node, blocks) => write!(f, "reindex {} {blocks}", name(node)),
            Step::Invoice { name: called, to, amount, expiry_s } => {
                write!(f, "invoice {called} {} {}msat expiry {expiry_s}s", name(to), amount.0)
            }
            Step::HoldInvoice { name: called, to, amount, expiry_s, cltv } => {
                write!(f, "hold_invoice {called} {} {}msat expiry {expiry_s}s cltv {cltv}", name(to), amount.0)
            }
            Step::Settle(called) => write!(f, "settle {called}"),
            Step::Cancel(called) => write!(f, "cancel {called}"),
            Step::PayInvoice(called, from, None) => write!(f, "pay_invoice {called} {}", name(from)),
            Step::PayInvoice(called, from, Some(part)) => {
                write!(f, "pay_invoice {called} {} part {}msat", name(from), part.0)
            }
            Step::Expect(expectation) => write!(f, "expect {}", Named(story, expectation)),
            Step::Always(expectation) => write!(f, "always {}", Named(story, expectation)),
        }
    }
}

impl fmt::Display for Named<'_, Trigger> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Named(story, Trigger { from, to, message_type, skip, place, act }) = self;
        let message = message_type.map_or("any", message_name);
        let (from, to, place) = (story.name(*from), story.name(*to), name_of(&PLACES, *place));
        write!(f, "{from} {to} {message} {} {place} ", skip + 1)?;
        match act {
            Act::Cut => write!(f, "cut"),
            Act::CrashSender => write!(f, "crash_sender"),
            Act::CrashReceiver => write!(f, "crash_receiver"),
            Act::Stall(ms) => write!(f, "stall {ms}ms"),
            Act::Drop => write!(f, "drop"),
            Act::Twice => write!(f, "twice"),
            Act::Replace(bytes) => write!(f, "replace {}", hex(bytes)),
            Act::Spoil(at) => write!(f, "spoil {at}"),
            Act::Ahead(message_type) => write!(f, "ahead {}", message_name(*message_type)),
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
            Expectation::Refused(payment) => write!(f, "refused {payment}"),
            Expectation::Pending(payment) => write!(f, "pending {payment}"),
            Expectation::Status(invoice, status) => write!(f, "status {invoice} {}", name_of(&STATUSES, *status)),
            Expectation::Usable(a, b, count) => write!(f, "usable {} {} {count}", name(a), name(b)),
            Expectation::Connected(a, b, true) => write!(f, "connected {} {}", name(a), name(b)),
            Expectation::Connected(a, b, false) => write!(f, "apart {} {}", name(a), name(b)),
            Expectation::Says(node, text) => write!(f, "says {} {text}", name(node)),
            Expectation::Connections(a, b, count) => write!(f, "connections {} {} {count}", name(a), name(b)),
            Expectation::Channels(a, b, state, count) => {
                write!(f, "channels {} {} {} {count}", name(a), name(b), name_of(&STATES, *state))
            }
            Expectation::Holds(a, b, count) => write!(f, "holds {} {} {count}", name(a), name(b)),
            Expectation::ChannelFeerate(a, b, feerate) => {
                write!(f, "channel_feerate {} {} {feerate}", name(a), name(b))
            }
            Expectation::Said(from, to, message_type, count) => {
                write!(f, "said {} {} {} {count}", name(from), name(to), message_name(*message_type))
            }
            Expectation::Order(from, to, first, second) => {
                let (first, second) = (message_name(*first), message_name(*second));
                write!(f, "order {} {} {first} {second}", name(from), name(to))
            }
            Expectation::Cuts(a, b, count) => write!(f, "cuts {} {} {count}", name(a), name(b)),
            Expectation::Dials(a, b, count) => write!(f, "dials {} {} {count}", name(a), name(b)),
            Expectation::Warned(node, true) => write!(f, "warned {}", name(node)),
            Expectation::Warned(node, false) => write!(f, "content {}", name(node)),
            Expectation::InStep(node) => write!(f, "in_step {}", name(node)),
            Expectation::Gains(node, msat) => write!(f, "gains {} {msat}", name(node)),
        }
    }
}

impl fmt::Display for Named<'_, Saying> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let which = |which| name_of(&WHICH, which);
        match self.1 {
            Saying::Ping { num_pong_bytes, ignored } => write!(f, "ping {num_pong_bytes} {ignored}"),
            Saying::Pong { ignored } => write!(f, "pong {ignored}"),
            Saying::Error(of, text) => write!(f, "error {} {text}", which(*of)),
            Saying::Warning(of, text) => write!(f, "warning {} {text}", which(*of)),
            Saying::Reestablish(of, commitment, revocation) => {
                write!(f, "channel_reestablish {} {commitment} {revocation}", which(*of))
            }
            Saying::Fee(of, feerate) => write!(f, "update_fee {} {feerate}", which(*of)),
            Saying::Add(of, id, amount) => write!(f, "update_add_htlc {} {id} {}msat", which(*of), amount.0),
            Saying::Fulfill(of, id) => write!(f, "update_fulfill_htlc {} {id}", which(*of)),
            Saying::Revoke(of) => write!(f, "revoke_and_ack {}", which(*of)),
        }
    }
}
