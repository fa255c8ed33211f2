//! Recordings retold as a story of the simulator: what the nodes took in from outside happens again, in the same order and
//! at the same distances, to new nodes with new keys. Such a story can be run, changed, continued and shrunk.

mod begin;
mod chain;
mod life;
mod links;
mod pays;
mod plot;
mod requests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use leyden_core::clock::{Clock, Wall};
use leyden_core::config::Config;
use leyden_core::ids::NodeId;
use leyden_core::node::Node;
use leyden_core::recording::RecordedTurn;
use leyden_core::request::channel::PeerChannel;

pub use self::pays::{End, Paid};

use self::begin::{Beginning, channels_of, connections_of};
use self::life::Life;
use self::links::{Links, clocks, join, latency_ms, slow_stores};
use self::pays::Pays;
use self::plot::{Plot, Rank};
use super::engine::Replay;
use super::file::Run;
use super::text;
use crate::net::NodeIndex;
use crate::story::{Expectation, NodeOption, Step, Story};

/// Estimates of fees reach the channels within this time.
const FEES_SETTLE_MS: u64 = 5_000;

/// Where a story shall end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Behind this turn of the first node that has it.
    Turn(u64),
    /// At this time.
    Time(Wall),
}

/// Recordings, retold.
#[derive(Clone, Debug)]
pub struct Tape {
    /// The story, up to the point that was asked for.
    pub story: Story,
    /// What the recordings hold behind it, step by step.
    pub rest: Vec<Step>,
    /// Who stands for whom: an index into the story's names, and the node's id.
    pub nodes: Vec<NodeId>,
    /// How many of them have recorded.
    pub recorded: usize,
    /// The payments, and how they ended.
    pub payments: Vec<Paid>,
    /// The channels between two as they are at the end of the recordings.
    pub channels: Vec<Expectation>,
    /// When it begins and ends, by the clock of the first node.
    pub span: (Wall, Wall),
    /// What could not be carried over, and how often.
    pub notes: BTreeMap<String, u64>,
    /// When each step happens, in milliseconds since the beginning.
    times: Vec<u64>,
}

/// What is known of a node at the beginning.
struct Known {
    config: Config,
    channels: Vec<PeerChannel>,
    height: u32,
}

/// One run, gathered.
struct Gathered {
    life: Life,
    /// As the node stands when the story begins.
    known: Option<Known>,
    /// As it stands at the end.
    last: Vec<PeerChannel>,
}

/// Turns recordings into a story. `nodes` are in the order of their names. What cannot be used is told to `complain`.
pub fn retell(
    runs: &[Run<'_>],
    nodes: &[NodeId],
    until: Option<Until>,
    complain: &mut dyn FnMut(String),
) -> Result<Tape, String> {
    let index: BTreeMap<NodeId, NodeIndex> = nodes.iter().copied().zip(0..).collect();
    // Before anything can be said of the same moment for all, clocks of several machines must be understood.
    let mut ahead = BTreeMap::new();
    if nodes.len() > 1 {
        let mut lives = Vec::new();
        for (node, id) in nodes.iter().enumerate() {
            let mut jumped_ms = 0;
            for run in runs.iter().filter(|run| run.node_id == *id) {
                let mut life = gather(run, node, None, None, &mut |_| {}).0.life;
                let before_ms = jumped_ms;
                jumped_ms += life.jumped_ms();
                life.set_ahead(before_ms);
                lives.push(life);
            }
        }
        ahead = clocks(&lives, &index, nodes.len());
    }
    let ahead_ms = |node: NodeIndex| ahead.get(&node).copied().unwrap_or(0);
    let begins = beginning(runs, &|id| index.get(&id).map_or(0, |node| ahead_ms(*node)))?;
    let mut gathered: Vec<Gathered> = Vec::new();
    let mut cut_ms: Option<i64> = None;
    for (node, id) in nodes.iter().enumerate() {
        let (mut known, mut jumped_ms) = (false, 0);
        let own_begins = Wall(begins.0.saturating_add_signed(ahead_ms(node)));
        for run in runs.iter().filter(|run| run.node_id == *id) {
            let (mut one, turn_ms) = gather(run, node, (!known).then_some(own_begins), until, complain);
            known |= one.known.is_some();
            if one.life.is_empty() {
                continue;
            }
            let before_ms = jumped_ms;
            jumped_ms += one.life.jumped_ms();
            one.life.set_ahead(before_ms);
            one.life.shift(-ahead_ms(node));
            if let (Some(turn_ms), None) = (turn_ms, cut_ms) {
                cut_ms = Some(turn_ms - before_ms - ahead_ms(node));
            }
            gathered.push(one);
        }
    }
    if gathered.is_empty() {
        return Err("there is no turn to tell again".to_owned());
    }
    assemble(gathered, nodes, begins, until, cut_ms)
}

/// When all nodes are known: the latest of the first snapshots. A node that was new then is known before.
fn beginning(runs: &[Run<'_>], ahead_ms: &dyn Fn(NodeId) -> i64) -> Result<Wall, String> {
    let mut firsts: BTreeMap<NodeId, (Wall, bool)> = BTreeMap::new();
    let mut flaw = None;
    for run in runs {
        let Some(segment) = run.segments.iter().find(|segment| segment.snapshot.is_some()) else { continue };
        if firsts.contains_key(&run.node_id) {
            continue;
        }
        match Node::thaw(segment.snapshot.expect("it was just found")) {
            Ok(node) => {
                let is_new = channels_of(&node, segment.header.clock).is_empty();
                let wall = segment.header.clock.wall.0.min(1 << 50).saturating_add_signed(-ahead_ms(run.node_id));
                firsts.insert(run.node_id, (Wall(wall), is_new));
            }
            Err(error) => {
                let build = &segment.header.build;
                flaw = Some(format!("{}: its snapshot, of build {build}, cannot be used: {error}", segment.file));
            }
        }
    }
    let latest = firsts.values().filter(|(_, is_new)| !is_new).map(|(wall, _)| *wall).max();
    let first = latest.or_else(|| firsts.values().map(|(wall, _)| *wall).min());
    first.ok_or_else(|| flaw.unwrap_or_else(|| "no recording has a snapshot to begin with".to_owned()))
}

/// Replays a run and keeps what a story needs of it. Also: the time of the turn behind which the story shall end.
fn gather(
    run: &Run<'_>,
    node: NodeIndex,
    begins: Option<Wall>,
    until: Option<Until>,
    complain: &mut dyn FnMut(String),
) -> (Gathered, Option<i64>) {
    let mut replay = Replay::new(run);
    let mut life = Life::new(node);
    let (mut known, mut turn_ms) = (None, None);
    let mut segment = None;
    loop {
        let turn: RecordedTurn<'_> = match replay.next_turn() {
            Ok(Some(turn)) => turn,
            Ok(None) => break,
            Err((segment, obstacle)) => {
                complain(format!("{}, segment {}: {obstacle}", segment.file, segment.header.sequence));
                continue;
            }
        };
        // What a segment begins with that does not follow from what was replayed so far.
        let sequence = replay.segment().map(|segment| segment.header.sequence);
        if segment != sequence && replay.node().is_none() {
            let snapshot = replay.segment().and_then(|segment| segment.snapshot);
            if let Some(node) = snapshot.and_then(|snapshot| Node::thaw(snapshot).ok()) {
                life.connections(&connections_of(&node, turn.clock), turn.clock);
                if begins.is_some_and(|begins| turn.clock.wall >= begins) && known.is_none() {
                    known = Some(know(&node, turn.clock));
                }
            }
        }
        segment = sequence;
        if let Some(node) = replay.node().filter(|_| begins.is_some_and(|begins| turn.clock.wall >= begins))
            && known.is_none()
        {
            known = Some(know(node, turn.clock));
        }
        match replay.take(&turn, &mut life) {
            Ok(Ok(())) => {}
            Ok(Err(divergence)) => {
                complain(divergence.to_string().trim_end().to_owned());
                break;
            }
            Err(obstacle) => {
                complain(format!("segment {}: {obstacle}", sequence.unwrap_or_default()));
                replay.skip_segment();
            }
        }
        if until == Some(Until::Turn(turn.number)) {
            turn_ms = Some(life.ended_ms);
        }
    }
    // A process that was killed at once leaves the beginning of its recording, and no turn.
    if life.is_empty()
        && let Some(segment) = run.segments.iter().find(|segment| segment.snapshot.is_some())
        && let Some(node) = segment.snapshot.and_then(|snapshot| Node::thaw(snapshot).ok())
    {
        let clock = segment.header.clock;
        life.never_told(clock);
        if begins.is_some_and(|begins| clock.wall >= begins) {
            known = Some(know(&node, clock));
        }
    }
    let last = replay.node().map_or(Vec::new(), |node| channels_of(node, replay.clock()));
    (Gathered { life, known, last }, turn_ms)
}

fn know(node: &Node, clock: Clock) -> Known {
    let height = node.tip().map_or(0, |tip| tip.height.0);
    Known { config: node.config().clone(), channels: channels_of(node, clock), height }
}

/// All ids that the story has a node for: those that have recorded, and their peers.
fn cast(gathered: &[Gathered], nodes: &[NodeId]) -> Vec<NodeId> {
    let mut all = nodes.to_vec();
    for one in gathered {
        let known = one.known.iter().flat_map(|known| &known.channels).chain(&one.last);
        for peer in known.map(|channel| channel.peer_id) {
            if !all.contains(&peer) {
                all.push(peer);
            }
        }
    }
    all
}

fn assemble(
    mut gathered: Vec<Gathered>,
    nodes: &[NodeId],
    begins: Wall,
    until: Option<Until>,
    turn_ms: Option<i64>,
) -> Result<Tape, String> {
    let cast = cast(&gathered, nodes);
    let index: BTreeMap<NodeId, NodeIndex> = cast.iter().copied().zip(0..).collect();
    let lives: Vec<Life> = gathered.iter_mut().map(|one| std::mem::replace(&mut one.life, Life::new(0))).collect();
    let begins_ms = begins.0 as i64;
    let ends_ms = lives.iter().map(|life| life.ended_ms).max().unwrap_or(begins_ms).max(begins_ms);
    let cut_ms = match until {
        None => ends_ms,
        Some(Until::Time(wall)) => (wall.0 as i64).clamp(begins_ms, ends_ms),
        Some(Until::Turn(turn)) => turn_ms.ok_or_else(|| format!("no recording has a turn {turn}"))?.max(begins_ms),
    };

    let mut start = Beginning::default();
    let mut seen = BTreeSet::new();
    for (one, life) in gathered.iter().zip(&lives) {
        for channel in one.known.iter().flat_map(|known| &known.channels) {
            start.channel(life.node, index[&channel.peer_id], channel, &mut seen);
        }
    }
    for (one, life) in gathered.iter().zip(&lives) {
        for channel in one.known.iter().flat_map(|known| &known.channels).chain(&one.last) {
            let peer = index[&channel.peer_id];
            if peer >= nodes.len() {
                start.wishes(peer, channel);
            }
        }
        if let Some(known) = &one.known {
            start.config(life.node, &known.config);
        }
    }
    let mut plot = Plot::default();
    let joined = join(&lives, &index);
    let latency = latency_ms(&lives, &joined);
    let slow_ms = slow_stores(&lives, &joined, latency);
    for (node, ms) in &slow_ms {
        plot.step(begins_ms, Rank::Surroundings, Step::SlowStore(*node, *ms as u64));
    }
    Links { lives: &lives, index: &index, joined: &joined, latency_ms: latency, slow_ms, ends_ms }.tell(&mut plot);
    for (a, b) in &start.apart {
        plot.step(begins_ms, Rank::Part, Step::Part(*a, *b));
        let first = joined.iter().map(|joined| joined.ends.map(|end| &lives[end.0].links[end.1])).filter(|ends| {
            let pair = ends.map(|end| index[&end.peer]);
            (pair[0].min(pair[1]), pair[0].max(pair[1])) == (*a, *b) && ends[0].opened_ms >= begins_ms
        });
        let meets_ms = first.map(|ends| ends[0].opened_ms - latency).min().unwrap_or(ends_ms);
        plot.step(meets_ms.max(begins_ms), Rank::Meet, Step::Meet(*a, *b));
    }
    first_lives(&lives, &index, begins_ms, &start, &mut plot);
    let height = gathered.iter().filter_map(|one| one.known.as_ref()).map(|known| known.height).max().unwrap_or(0);
    chain::tell(&lives, begins_ms, height, start.feerates.clone(), &mut plot);
    let all_channels: Vec<(NodeIndex, &PeerChannel)> = gathered
        .iter()
        .zip(&lives)
        .flat_map(|(one, life)| {
            let known = one.known.iter().flat_map(|known| &known.channels).chain(&one.last);
            known.map(|channel| (life.node, channel))
        })
        .collect();
    let asked = requests::tell(&lives, &index, &all_channels, latency, &mut start, &mut plot);
    let mut pairs: BTreeSet<(NodeIndex, NodeIndex)> = start.channels.iter().map(|plan| (plan.from, plan.to)).collect();
    pairs.extend(asked.opened.iter().copied());
    let under_way = start.under_way();
    let pays = Pays { lives: &lives, index: &index, recorded: nodes.len(), joined: &pairs, under_way, begins_ms };
    let (steps, payments) = pays.steps(&mut plot.notes);
    steps.into_iter().for_each(|(at_ms, step)| plot.step(at_ms, Rank::Ask, step));

    let mut story = Story::new("", &[]);
    story.title = format!("recorded from {} to {}", text::time(begins), text::time(Wall(ends_ms.max(0) as u64)));
    let strangers = (1..).map(|number| format!("peer{number}"));
    let letters = (0..nodes.len()).map(|node| text::letter(node).to_lowercase());
    story.names = letters.chain(strangers).take(cast.len()).collect();
    story.latency_ms = latency as u64;
    story.options = start.options.iter().map(|((node, key), value)| (*node, NodeOption::ALL[*key].0, *value)).collect();
    story.coins = asked.coins.into_iter().collect();
    story.channels = start.channels.clone();
    let mut told: Vec<(i64, Step)> = Vec::new();
    for (node, feerate_per_kw) in &start.feerates {
        told.push((begins_ms, Step::Feerate(*node, *feerate_per_kw)));
    }
    if !start.feerates.is_empty() {
        told.push((begins_ms, Step::Wait(FEES_SETTLE_MS)));
    }
    for plan in &start.unconfirmed {
        told.push((begins_ms, Step::Connect(plan.from, plan.to)));
        told.push((begins_ms, Step::Open(plan.clone())));
    }
    for (by, with) in &start.closing {
        plot.step(begins_ms, Rank::Ask, Step::Close(*by, *with, None));
    }
    let notes = std::mem::take(&mut plot.notes);
    told.extend(plot.steps(begins_ms, ends_ms));
    let channels = channels_at_end(&gathered, &lives, &index);
    let split = told.iter().position(|(at_ms, _)| *at_ms > cut_ms).unwrap_or(told.len());
    let mut rest = told.split_off(split);
    if cut_ms < ends_ms {
        part_wait(&mut told, &mut rest, begins_ms, cut_ms);
    }
    let times = told.iter().map(|(at_ms, _)| (at_ms - begins_ms).max(0) as u64).collect();
    story.steps = told.into_iter().map(|(_, step)| step).collect();
    let span = (begins, Wall(cut_ms.max(0) as u64));
    let rest = rest.into_iter().map(|(_, step)| step).collect();
    Ok(Tape { story, rest, nodes: cast, recorded: nodes.len(), payments, channels, span, notes, times })
}

/// The wait over which the story ends is divided.
fn part_wait(told: &mut Vec<(i64, Step)>, rest: &mut [(i64, Step)], begins_ms: i64, cut_ms: i64) {
    let last_ms = told.last().map_or(begins_ms, |(at_ms, _)| *at_ms);
    if let Some((_, Step::Wait(ms))) = rest.first_mut() {
        let before = ((cut_ms - last_ms).max(0) as u64).min(*ms);
        *ms -= before;
        if before > 0 {
            told.push((cut_ms, Step::Wait(before)));
        }
    }
}

/// Nodes that start while the story runs, having lived before: until then they are off.
fn first_lives(
    lives: &[Life],
    index: &BTreeMap<NodeId, NodeIndex>,
    begins_ms: i64,
    start: &Beginning,
    plot: &mut Plot,
) {
    for node in 0..index.len() {
        let Some(life) = lives.iter().find(|life| life.node == node) else { continue };
        let has_channels = start.channels.iter().any(|plan| plan.from == node || plan.to == node);
        if !life.is_whole || !has_channels {
            continue;
        }
        if life.started_ms > begins_ms {
            plot.step(begins_ms, Rank::Die, Step::Halt(node));
            plot.step(life.started_ms, Rank::Start, Step::Start(node));
        } else if life.started_ms == begins_ms {
            plot.step(begins_ms, Rank::Die, Step::Crash(node));
        }
    }
}

/// How many channels two nodes have in which state, by the last word of the first of them.
fn channels_at_end(gathered: &[Gathered], lives: &[Life], index: &BTreeMap<NodeId, NodeIndex>) -> Vec<Expectation> {
    let mut last: BTreeMap<NodeIndex, &[PeerChannel]> = BTreeMap::new();
    for (one, life) in gathered.iter().zip(lives) {
        last.insert(life.node, &one.last);
    }
    let mut found = Vec::new();
    let mut pairs = BTreeSet::new();
    for (node, channels) in last {
        let mut counts: BTreeMap<(NodeIndex, u8), (leyden_core::request::channel::ChannelState, usize)> =
            BTreeMap::new();
        for channel in channels {
            let peer = index[&channel.peer_id];
            if !pairs.contains(&(peer, node)) {
                counts.entry((peer, channel.state as u8)).or_insert((channel.state, 0)).1 += 1;
            }
        }
        for ((peer, _), (state, count)) in counts {
            pairs.insert((node, peer));
            found.push(Expectation::Channels(node, peer, state, count));
        }
    }
    found
}

impl Tape {
    /// What the recordings say of the end, as steps that can stand at the end of the story.
    pub fn expectations(&self) -> Vec<Step> {
        let told = |name: &str| {
            self.story.steps.iter().any(|step| match step {
                Step::Pay { name: known, .. } | Step::Circle { name: known, .. } => known == name,
                Step::PayInvoice(known, ..) => known == name,
                _ => false,
            })
        };
        let payments = self.payments.iter().filter(|payment| told(&payment.name)).filter_map(|payment| {
            let name = payment.name.clone();
            match payment.end {
                End::Paid => Some(Step::Expect(Expectation::Paid(name))),
                End::Failed => Some(Step::Expect(Expectation::Failed(name))),
                End::Open => None,
            }
        });
        let channels = self.channels.iter().cloned().map(Step::Expect);
        if self.rest.is_empty() { payments.chain(channels).collect() } else { Vec::new() }
    }
}

impl fmt::Display for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# What happened to these nodes, retold with new keys:")?;
        for (node, id) in self.nodes.iter().enumerate() {
            let what = if node < self.recorded { "" } else { ", which has not recorded" };
            writeln!(f, "#   {} = {id}{what}", self.story.names[node])?;
        }
        for Paid { name, hash, end } in &self.payments {
            let end = match end {
                End::Paid => "paid",
                End::Failed => "failed",
                End::Open => "open",
            };
            writeln!(f, "#   {name} = {hash}, {end}")?;
        }
        for (note, count) in &self.notes {
            writeln!(f, "# Not carried over: {note} ({count})")?;
        }
        let head = Story { steps: Vec::new(), ..self.story.clone() };
        write!(f, "{head}")?;
        for (step, after_ms) in self.story.steps.iter().zip(&self.times) {
            let line = self.story.line(step);
            match step {
                Step::Wait(_) => writeln!(f, "{line} # {}", text::time(Wall(self.span.0.0 + after_ms)))?,
                _ => writeln!(f, "{line}")?,
            }
        }
        if !self.rest.is_empty() {
            writeln!(
                f,
                "# What comes here is yours. What was recorded behind it follows: take the # away to play it in."
            )?;
            for step in &self.rest {
                writeln!(f, "# {}", self.story.line(step))?;
            }
        }
        let expectations = self.expectations();
        if !expectations.is_empty() {
            writeln!(f, "# So it ended. Without the # a run fails that ends otherwise.")?;
            expectations.iter().try_for_each(|step| writeln!(f, "# {}", self.story.line(step)))?;
        }
        Ok(())
    }
}
