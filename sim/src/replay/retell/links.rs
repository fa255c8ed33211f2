//! Connections of recordings: which ends belong together, what was lost with them, who was to blame; and from this what
//! a story must break so that the same is lost.

use std::collections::{BTreeMap, BTreeSet};

use leyden_core::ids::NodeId;

use super::Plot;
use super::life::{Deed, Life, LinkEnd, Said};
use super::plot::Rank;
use crate::net::NodeIndex;
use crate::story::Step;
use crate::world::{Act, CrashPoint, Place, Trigger};

/// Clocks of two machines that differ by less are taken as they are.
const SAME_CLOCK_MS: i64 = 20;
/// Two ends of a connection see its beginning within this time.
const SAME_LINK_MS: i64 = 10_000;
/// A peer that notices the end of a connection so much later has not been told.
const UNTOLD_MS: i64 = 2_000;
/// A message that takes so much longer than others was held up.
const HELD_UP_MS: i64 = 100;
/// Somebody who dials by itself may do so a little earlier than it did.
const DIALS_EARLY_MS: i64 = 5;
/// Recordings that end within this time end together: nobody is missed.
const GOES_ON_MS: i64 = 10_000;
/// A store that is not slow takes less for a commit.
const SLOW_STORE_MS: i64 = 20;
/// A message that was sent so much longer before a connection ended than others take, and never came, was held up.
const LOST_MS: i64 = 20;
/// Clocks are read once per turn, and rounded.
const ROUNDING_MS: i64 = 1;

/// An end of a connection: its life, and its place there.
type EndAt = (usize, usize);

/// A connection whose two ends have recorded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Joined {
    pub(super) ends: [EndAt; 2],
}

/// A connection between two, whoever has told of it.
struct Seen {
    opened_ms: i64,
    lost_ms: Option<i64>,
    is_ours: bool,
    dialler: NodeIndex,
}

/// How far clocks are ahead of that of the first node, by what one node received of another: no message arrives before it
/// was sent.
pub(super) fn clocks(lives: &[Life], index: &BTreeMap<NodeId, NodeIndex>, count: usize) -> BTreeMap<NodeIndex, i64> {
    // How long messages took at least, by the clocks of both: of those that were sent once.
    let mut sent: BTreeMap<(NodeIndex, NodeIndex, u64), Option<i64>> = BTreeMap::new();
    let mut received = sent.clone();
    for life in lives.iter() {
        for link in &life.links {
            let Some(peer) = index.get(&link.peer) else { continue };
            let see = |table: &mut BTreeMap<_, _>, from: NodeIndex, to: NodeIndex, said: &Said| {
                let entry = table.entry((from, to, said.hash));
                entry.and_modify(|known| *known = None).or_insert(Some(said.at_ms));
            };
            link.sent.iter().for_each(|said| see(&mut sent, life.node, *peer, said));
            link.received.iter().for_each(|said| see(&mut received, *peer, life.node, said));
        }
    }
    let mut delays: BTreeMap<(NodeIndex, NodeIndex), i64> = BTreeMap::new();
    for ((from, to, hash), at_ms) in &sent {
        if let (Some(sent_ms), Some(Some(received_ms))) = (at_ms, received.get(&(*from, *to, *hash))) {
            let delay = received_ms - sent_ms;
            delays.entry((*from, *to)).and_modify(|known| *known = delay.min(*known)).or_insert(delay);
        }
    }
    let mut ahead: BTreeMap<NodeIndex, i64> = BTreeMap::new();
    for root in 0..count {
        if ahead.contains_key(&root) {
            continue;
        }
        ahead.insert(root, 0);
        let mut queue = vec![root];
        while let Some(node) = queue.pop() {
            for other in 0..count {
                if let (false, Some(there), Some(back)) =
                    (ahead.contains_key(&other), delays.get(&(node, other)), delays.get(&(other, node)))
                {
                    // Only what cannot be is corrected: messages may well take longer one way than the other.
                    let by = if *there < 0 || *back < 0 { (there - back) / 2 } else { 0 };
                    ahead.insert(other, ahead[&node] + if by.abs() > SAME_CLOCK_MS { by } else { 0 });
                    queue.push(other);
                }
            }
        }
    }
    ahead
}

/// Finds the two ends of connections.
pub(super) fn join(lives: &[Life], index: &BTreeMap<NodeId, NodeIndex>) -> Vec<Joined> {
    let mut ends: BTreeMap<(NodeIndex, NodeIndex), Vec<EndAt>> = BTreeMap::new();
    for (at, life) in lives.iter().enumerate() {
        for (number, link) in life.links.iter().enumerate() {
            if let Some(peer) = index.get(&link.peer) {
                ends.entry((life.node, *peer)).or_default().push((at, number));
            }
        }
    }
    let link = |place: EndAt| &lives[place.0].links[place.1];
    let mut joined = Vec::new();
    for ((a, b), own) in &ends {
        let Some(other) = ends.get(&(*b, *a)).filter(|_| a < b) else { continue };
        let mut candidates = Vec::new();
        for one in own {
            for two in other {
                let (x, y) = (link(*one), link(*two));
                let fits = x.is_outbound.is_none() || y.is_outbound.is_none() || x.is_outbound != y.is_outbound;
                let overlap = |x: &LinkEnd, y: &LinkEnd| x.closed_ms.is_none_or(|end| y.opened_ms <= end);
                let apart = (x.opened_ms - y.opened_ms).abs();
                // One that was there before the recording began can belong to any that began earlier.
                let is_old = x.is_outbound.is_none() || y.is_outbound.is_none();
                if fits && overlap(x, y) && overlap(y, x) && (is_old || apart < SAME_LINK_MS) {
                    candidates.push((apart, *one, *two));
                }
            }
        }
        candidates.sort();
        let mut taken = BTreeSet::new();
        for (_, one, two) in candidates {
            if !taken.contains(&one) && !taken.contains(&two) {
                taken.extend([one, two]);
                joined.push(Joined { ends: [one, two] });
            }
        }
    }
    joined
}

/// The messages of one direction that arrived, as pairs of places, and the first that did not.
fn arrived(sent: &[Said], received: &[Said]) -> (Vec<(usize, usize)>, usize) {
    let Some(last) = received.last() else { return (Vec::new(), 0) };
    let before = received.len().checked_sub(2).map(|at| received[at].hash);
    let is_last = |at: &usize| {
        sent[*at].hash == last.hash
            && sent[*at].at_ms <= last.at_ms + ROUNDING_MS
            && before.is_none_or(|before| *at == 0 || sent[*at - 1].hash == before)
    };
    let Some(end) = (0..sent.len()).rev().find(is_last) else { return (Vec::new(), sent.len()) };
    let pairs = (0..=end.min(received.len() - 1)).map(|back| (end - back, received.len() - 1 - back));
    let pairs = pairs.take_while(|(from, to)| sent[*from].hash == received[*to].hash);
    (pairs.collect(), end + 1)
}

pub(super) struct Links<'a> {
    pub(super) lives: &'a [Life],
    pub(super) index: &'a BTreeMap<NodeId, NodeIndex>,
    pub(super) joined: &'a [Joined],
    pub(super) latency_ms: i64,
    /// What else the messages of a node wait for: its store.
    pub(super) slow_ms: BTreeMap<NodeIndex, i64>,
    /// When the last recording ends.
    pub(super) ends_ms: i64,
}

/// How long messages take that nothing holds up.
pub(super) fn latency_ms(lives: &[Life], joined: &[Joined]) -> i64 {
    let mut delays = Vec::new();
    for Joined { ends } in joined {
        for (from, to) in [(ends[0], ends[1]), (ends[1], ends[0])] {
            let (sent, received) = (&lives[from.0].links[from.1].sent, &lives[to.0].links[to.1].received);
            let (pairs, _) = arrived(sent, received);
            delays.extend(pairs.iter().map(|(from, to)| received[*to].at_ms - sent[*from].at_ms));
        }
    }
    delays.sort_unstable();
    delays.get(delays.len() / 10).map_or(10, |middle| (*middle).clamp(1, 10_000))
}

/// Nodes whose messages all take longer than those of others: their stores are slow.
pub(super) fn slow_stores(lives: &[Life], joined: &[Joined], latency_ms: i64) -> BTreeMap<NodeIndex, i64> {
    let mut delays: BTreeMap<NodeIndex, Vec<i64>> = BTreeMap::new();
    for Joined { ends } in joined {
        for (from, to) in [(ends[0], ends[1]), (ends[1], ends[0])] {
            let (sent, received) = (&lives[from.0].links[from.1].sent, &lives[to.0].links[to.1].received);
            let (pairs, _) = arrived(sent, received);
            // Pings write nothing.
            let pairs = pairs.iter().filter(|(from, _)| !matches!(sent[*from].message_type, 16..=19));
            let of = delays.entry(lives[from.0].node).or_default();
            of.extend(pairs.map(|(from, to)| received[*to].at_ms - sent[*from].at_ms - latency_ms));
        }
    }
    let slow = |(node, mut delays): (NodeIndex, Vec<i64>)| {
        delays.sort_unstable();
        let usual = *delays.get(delays.len() / 4)?;
        (usual > SLOW_STORE_MS).then_some((node, usual))
    };
    delays.into_iter().filter_map(slow).collect()
}

impl Links<'_> {
    fn link(&self, place: EndAt) -> &LinkEnd {
        &self.lives[place.0].links[place.1]
    }

    /// When a connection ended for one of its ends: a process that died takes its connections with it.
    fn closed_ms(&self, place: EndAt) -> Option<i64> {
        let life = &self.lives[place.0];
        self.link(place).closed_ms.or_else(|| self.is_over(place.0).then_some(life.ended_ms))
    }

    fn next_life(&self, at: usize) -> Option<&Life> {
        self.lives.get(at + 1).filter(|next| next.node == self.lives[at].node)
    }

    /// Has this process ended before its node's recording does?
    fn is_over(&self, at: usize) -> bool {
        self.next_life(at).is_some() || self.lives[at].is_stopped || self.is_missed(at)
    }

    /// A process whose peers have all noticed its end, and gone on without it.
    fn is_missed(&self, at: usize) -> bool {
        let life = &self.lives[at];
        let mut ends = Vec::new();
        for Joined { ends: [one, two] } in self.joined {
            for (own, other) in [(one, two), (two, one)] {
                if own.0 == at && life.links[own.1].closed_ms.is_none() {
                    ends.push(self.link(*other).closed_ms);
                }
            }
        }
        !ends.is_empty()
            && ends.iter().all(|end| end.is_some_and(|end| end >= life.ended_ms))
            && self.ends_ms > life.ended_ms + GOES_ON_MS
    }

    /// Everything about connections and the lives of processes.
    pub(super) fn tell(&self, plot: &mut Plot) {
        let mut explained = BTreeSet::new();
        for at in 0..self.lives.len() {
            if self.is_over(at) {
                self.death(at, plot, &mut explained);
            }
        }
        for (number, joined) in self.joined.iter().enumerate() {
            self.stalls(joined, plot);
            if !explained.contains(&number) {
                self.cut(joined, plot);
            }
        }
        self.lonely_cuts(plot);
        self.reconnections(plot);
    }

    /// Connections with peers that have not recorded: whatever ends them, and is not this node, is a cut.
    fn lonely_cuts(&self, plot: &mut Plot) {
        let known: BTreeSet<EndAt> = self.joined.iter().flat_map(|joined| joined.ends).collect();
        for (at, life) in self.lives.iter().enumerate() {
            for (number, link) in life.links.iter().enumerate() {
                let Some(peer) = self.index.get(&link.peer).filter(|_| !known.contains(&(at, number))) else {
                    continue;
                };
                let Some(closed_ms) = link.closed_ms.filter(|_| !link.is_ours) else { continue };
                // The end of a process that is told of by itself takes its connections with it.
                let dies = self.lives.iter().enumerate().any(|(at, life)| {
                    let next_ms = self.next_life(at).map_or(i64::MAX, |next| next.started_ms);
                    self.is_over(at) && life.node == *peer && (life.ended_ms..=next_ms).contains(&closed_ms)
                });
                if !dies {
                    plot.step(closed_ms, Rank::Break, Step::Cut(life.node, *peer));
                }
            }
        }
    }

    /// A connection that ended without the end of a process.
    fn cut(&self, joined: &Joined, plot: &mut Plot) {
        let [one, two] = joined.ends;
        let (a, b) = (self.link(one), self.link(two));
        let nodes = [self.lives[one.0].node, self.lives[two.0].node];
        if a.is_ours || b.is_ours {
            // One that was lost, and which the other end gave up later, as it heard nothing.
            let half = [(a, b, nodes), (b, a, [nodes[1], nodes[0]])];
            for (lost, kept, [of, with]) in half {
                if let (Some(lost_ms), false, Some(kept_ms)) = (lost.closed_ms, lost.is_ours, kept.closed_ms)
                    && kept_ms > lost_ms + UNTOLD_MS
                {
                    plot.step(lost_ms, Rank::Break, Step::Vanish(of, with));
                }
            }
            return;
        }
        let (Some(a_ms), Some(b_ms)) = (a.closed_ms, b.closed_ms) else {
            // One recording ends before the other does.
            if let Some(at_ms) = a.closed_ms.or(b.closed_ms).filter(|at_ms| *at_ms < self.ends_ms - GOES_ON_MS) {
                plot.step(at_ms, Rank::Break, Step::Cut(nodes[0], nodes[1]));
            }
            return;
        };
        // It was cut at a message if one end had just said something when it noticed.
        for (from, to, own_ms, [of, with]) in [(a, b, a_ms, nodes), (b, a, b_ms, [nodes[1], nodes[0]])] {
            let Some(last) = from.sent.last().filter(|last| own_ms - last.at_ms <= ROUNDING_MS) else { continue };
            let (pairs, first_lost) = arrived(&from.sent, &to.received);
            let other_ms = if own_ms == a_ms { b_ms } else { a_ms };
            let is_told = other_ms > own_ms;
            let met = match from.sent.get(first_lost) {
                Some(lost) if own_ms - lost.at_ms <= ROUNDING_MS => Some((first_lost, Place::Before)),
                None if is_told && !pairs.is_empty() => Some((from.sent.len() - 1, Place::After)),
                _ => None,
            };
            if let Some((message, place)) = met {
                let said = from.sent[message];
                let others = from.sent[..message].iter();
                let same = others.filter(|other| other.at_ms >= said.at_ms && other.message_type == said.message_type);
                let (skip, message_type) = (same.count() as u32, Some(said.message_type));
                let trigger = Trigger { from: of, to: with, message_type, skip, place, act: Act::Cut };
                plot.step(last.at_ms.min(said.at_ms) - 1, Rank::Arm, Step::Arm(trigger));
                return;
            }
        }
        plot.step(a_ms.min(b_ms), Rank::Break, Step::Cut(nodes[0], nodes[1]));
    }

    /// The end of a process, and the beginning of the next.
    fn death(&self, at: usize, plot: &mut Plot, explained: &mut BTreeSet<usize>) {
        let life = &self.lives[at];
        let node = life.node;
        let next_ms = self.next_life(at).map(|next| next.started_ms);
        // What the peers noticed, and what of the last turn never came.
        let (mut noticed_ms, mut said, mut heard): (Option<i64>, usize, usize) = (None, 0, 0);
        let mut breaks = Vec::new();
        for (number, Joined { ends: [one, two] }) in self.joined.iter().enumerate() {
            for (own, other) in [(one, two), (two, one)] {
                let (own, other) = (*own, *other);
                if own.0 != at || life.links[own.1].closed_ms.is_some() {
                    continue;
                }
                explained.insert(number);
                let (ours, theirs) = (self.link(own), self.link(other));
                let (_, first_lost) = arrived(&ours.sent, &theirs.received);
                if let Some(closed_ms) = theirs.closed_ms.filter(|_| !theirs.is_ours) {
                    // Earlier than the process can have ended: the connection was lost before it.
                    let lost_before = ours.sent.get(first_lost).is_some_and(|lost| lost.turn < life.last_turn);
                    if closed_ms - self.latency_ms < life.ended_ms - ROUNDING_MS && lost_before {
                        breaks.push((closed_ms, self.lives[other.0].node));
                        continue;
                    }
                    noticed_ms = Some(noticed_ms.map_or(closed_ms, |known: i64| known.min(closed_ms)));
                }
                for (place, message) in ours.sent.iter().enumerate().filter(|(_, said)| said.turn == life.last_turn) {
                    said += 1;
                    // The recording of a peer that has ended says nothing of what came.
                    heard += usize::from(place < first_lost || self.lives[other.0].ended_ms < message.at_ms);
                }
            }
        }
        // Of connections that its recording has lost, its peers alone know when they ended.
        let noticed_ms = noticed_ms.or(self.noticed_alone_ms(life, next_ms));
        let latest_ms = next_ms.unwrap_or(i64::MAX);
        let alive_ms = self.alive_ms(at).min(latest_ms);
        let dies_ms = match noticed_ms {
            // Whoever lives takes in blocks; but not the recording that has lost its end.
            Some(noticed_ms)
                if alive_ms == life.ended_ms
                    && self.missed_block_ms(life).is_some_and(|block_ms| block_ms < noticed_ms) =>
            {
                life.ended_ms
            }
            Some(noticed_ms) => (noticed_ms - self.latency_ms).max(life.ended_ms),
            None if life.is_stopped || next_ms.is_none() => life.ended_ms,
            None => breaks.iter().map(|(at_ms, _)| *at_ms).max().unwrap_or(life.ended_ms).max(life.ended_ms),
        };
        let dies_ms = dies_ms.max(alive_ms).min(latest_ms);
        for (at_ms, peer) in breaks {
            plot.step(at_ms, Rank::Break, Step::Cut(node, peer));
        }
        let rank = if dies_ms == life.ended_ms { Rank::After } else { Rank::Die };
        let is_at_once = next_ms.is_some_and(|next_ms| next_ms - dies_ms <= ROUNDING_MS);
        if life.is_stopped {
            plot.step(life.ended_ms, Rank::Ask, Step::Stop(node));
        } else if is_at_once && dies_ms - life.ended_ms <= ROUNDING_MS && heard < said {
            let point = if heard == 0 { CrashPoint::AfterCommit } else { CrashPoint::AmidEffects };
            plot.step(life.ended_ms - 1, Rank::Arm, Step::CrashAt(node, 0, point));
        } else if is_at_once && dies_ms > life.ended_ms && self.is_lost_at(at, dies_ms) {
            // It ended in a turn that never happened.
            plot.step(dies_ms - 1, Rank::Arm, Step::CrashAt(node, 0, CrashPoint::BeforeCommit));
        } else if is_at_once {
            plot.step(dies_ms, rank, Step::Crash(node));
        } else {
            plot.step(dies_ms, rank, Step::Halt(node));
        }
        if let Some(next_ms) = next_ms.filter(|_| !is_at_once || life.is_stopped) {
            plot.step(next_ms, Rank::Start, Step::Start(node));
        }
    }

    /// When a process last showed that it lives, by its own recording or by what its peers have of it beyond that.
    fn alive_ms(&self, at: usize) -> i64 {
        let life = &self.lives[at];
        let known: BTreeSet<EndAt> = self.joined.iter().flat_map(|joined| joined.ends).collect();
        let next_ms = self.next_life(at).map_or(i64::MAX, |next| next.started_ms);
        let mut seen_ms = vec![life.ended_ms];
        for (other_at, other) in self.lives.iter().enumerate() {
            for (number, link) in other.links.iter().enumerate() {
                if self.index.get(&link.peer) == Some(&life.node) && !known.contains(&(other_at, number)) {
                    seen_ms.push(link.opened_ms);
                    seen_ms.extend(link.received.iter().map(|said| said.at_ms - self.latency_ms));
                }
            }
        }
        if self.is_cut_off(at) {
            for Joined { ends: [one, two] } in self.joined {
                for (_, other) in [(one, two), (two, one)].into_iter().filter(|(own, _)| own.0 == at) {
                    seen_ms.extend(self.link(*other).received.last().map(|said| said.at_ms - self.latency_ms));
                }
            }
        }
        seen_ms.into_iter().filter(|at_ms| *at_ms < next_ms).max().unwrap_or(life.ended_ms).max(life.ended_ms)
    }

    /// When a peer lost its connection with a process that itself told of none.
    fn noticed_alone_ms(&self, life: &Life, next_ms: Option<i64>) -> Option<i64> {
        let known: BTreeSet<EndAt> = self.joined.iter().flat_map(|joined| joined.ends).collect();
        let mut noticed = Vec::new();
        for (at, other) in self.lives.iter().enumerate() {
            for (number, link) in other.links.iter().enumerate() {
                let is_with = self.index.get(&link.peer) == Some(&life.node) && !known.contains(&(at, number));
                noticed.extend(link.closed_ms.filter(|_| is_with && !link.is_ours));
            }
        }
        let span = life.ended_ms..=next_ms.unwrap_or(i64::MAX);
        noticed.into_iter().filter(|at_ms| span.contains(at_ms)).min()
    }

    /// Have its peers received what this process' recording does not have?
    fn is_cut_off(&self, at: usize) -> bool {
        self.lives[at].is_lost
            || self.joined.iter().any(|Joined { ends: [one, two] }| {
                [(one, two), (two, one)].iter().any(|(own, other)| {
                    let last = self.link(**other).received.last().filter(|_| own.0 == at);
                    last.is_some_and(|last| self.link(**own).sent.iter().all(|said| said.hash != last.hash))
                })
            })
    }

    /// When the first block was found that this process did not live to see.
    fn missed_block_ms(&self, life: &Life) -> Option<i64> {
        let blocks = self.lives.iter().filter(|other| other.node != life.node).flat_map(|other| &other.deeds);
        let found = blocks.filter(|(at_ms, deed)| matches!(deed, Deed::Block(..)) && *at_ms > life.ended_ms);
        found.map(|(at_ms, _)| *at_ms).min()
    }

    /// Was something on its way to this process that would have come at this moment?
    fn is_lost_at(&self, at: usize, at_ms: i64) -> bool {
        self.joined.iter().any(|Joined { ends: [one, two] }| {
            [(one, two), (two, one)].iter().any(|(own, other)| {
                let sent = &self.link(**other).sent;
                let (_, first_lost) = arrived(sent, &self.link(**own).received);
                let lost = sent.get(first_lost).filter(|_| own.0 == at);
                lost.is_some_and(|lost| (lost.at_ms + self.latency_ms - at_ms).abs() <= ROUNDING_MS)
            })
        })
    }

    /// Messages that took longer than others.
    fn stalls(&self, joined: &Joined, plot: &mut Plot) {
        let mut held_until_ms = i64::MIN;
        let mut held = Vec::new();
        for (from, to) in [(joined.ends[0], joined.ends[1]), (joined.ends[1], joined.ends[0])] {
            let (sent, received) = (&self.link(from).sent, &self.link(to).received);
            let (pairs, first_lost) = arrived(sent, received);
            let times = pairs.iter().map(|(from, to)| (sent[*from].at_ms, received[*to].at_ms));
            // What had not come when the connection ended was held up until then.
            let slow_ms = self.slow_ms.get(&self.lives[from.0].node).copied().unwrap_or(0);
            let usual_ms = self.latency_ms + slow_ms;
            held.extend(times.filter(|(sent_ms, came_ms)| came_ms - sent_ms > usual_ms + HELD_UP_MS));
            // A recording that has lost its end says nothing of what came behind it.
            let life = &self.lives[to.0];
            let seen_ms = match (self.link(to).closed_ms, self.next_life(to.0)) {
                (Some(closed_ms), _) => closed_ms,
                (None, Some(next)) if !self.is_cut_off(to.0) => next.started_ms,
                (None, _) if self.is_over(to.0) => life.ended_ms,
                _ => continue,
            };
            let ends_ms = self.link(from).closed_ms.map_or(seen_ms, |closed_ms| closed_ms.max(seen_ms));
            let lost = sent[first_lost..].iter().filter(|said| seen_ms - said.at_ms > usual_ms + LOST_MS);
            held.extend(lost.map(|said| (said.at_ms, ends_ms + usual_ms + LOST_MS)));
        }
        held.sort_unstable();
        let nodes = joined.ends.map(|end| self.lives[end.0].node);
        for (sent_ms, came_ms) in held {
            if came_ms > held_until_ms + HELD_UP_MS {
                held_until_ms = came_ms;
                let begins_ms = sent_ms - 1;
                let ms = (came_ms - begins_ms) as u64;
                plot.step(begins_ms, Rank::Arm, Step::Stall(nodes[0], nodes[1], ms));
            }
        }
    }

    /// All connections between two, by the word of both ends, or of the one that has told of it.
    fn seen(&self) -> BTreeMap<[NodeIndex; 2], Vec<Seen>> {
        let mut all: BTreeMap<[NodeIndex; 2], Vec<Seen>> = BTreeMap::new();
        let mut known = BTreeSet::new();
        for joined in self.joined {
            known.extend(joined.ends);
            let [one, two] = joined.ends.map(|end| self.link(end));
            let nodes = joined.ends.map(|end| self.lives[end.0].node);
            let lost_ms = self.closed_ms(joined.ends[0]).zip(self.closed_ms(joined.ends[1]));
            all.entry(nodes).or_default().push(Seen {
                opened_ms: one.opened_ms.min(two.opened_ms),
                lost_ms: lost_ms.map(|(one_ms, two_ms)| one_ms.max(two_ms)),
                is_ours: one.is_ours || two.is_ours,
                dialler: if one.is_outbound == Some(true) { nodes[0] } else { nodes[1] },
            });
        }
        for (at, life) in self.lives.iter().enumerate() {
            for (number, link) in life.links.iter().enumerate().filter(|(number, _)| !known.contains(&(at, *number))) {
                let Some(peer) = self.index.get(&link.peer).copied() else { continue };
                all.entry([life.node.min(peer), life.node.max(peer)]).or_default().push(Seen {
                    opened_ms: link.opened_ms,
                    lost_ms: self.closed_ms((at, number)),
                    is_ours: link.is_ours,
                    dialler: if link.is_outbound == Some(true) { life.node } else { peer },
                });
            }
        }
        all.values_mut().for_each(|links| links.sort_by_key(|seen| seen.opened_ms));
        all
    }

    /// Between the end of a connection and the next one the two cannot reach each other: so the next one comes when it
    /// came.
    fn reconnections(&self, plot: &mut Plot) {
        for ([a, b], links) in self.seen() {
            for (at, seen) in links.iter().enumerate() {
                let Some(lost_ms) = seen.lost_ms.filter(|_| !seen.is_ours) else { continue };
                let Some(next) = links.get(at + 1) else {
                    if self.ends_ms > lost_ms + ROUNDING_MS {
                        plot.step(lost_ms, Rank::Part, Step::Part(a, b));
                        plot.step(self.ends_ms, Rank::Meet, Step::Meet(a, b));
                    }
                    continue;
                };
                let dials_ms = next.opened_ms - self.latency_ms;
                if dials_ms <= lost_ms + ROUNDING_MS {
                    continue;
                }
                plot.step(lost_ms, Rank::Part, Step::Part(a, b));
                // Whoever dials by itself just before would fail, and not try again for a while.
                let meets_ms = (dials_ms - self.latency_ms - DIALS_EARLY_MS).max(lost_ms + 1);
                plot.step(meets_ms, Rank::Meet, Step::Meet(a, b));
                // Whoever has just started dials by itself.
                let mut lives = self.lives.iter().filter(|life| life.node == next.dialler);
                if !lives.any(|life| (life.started_ms - dials_ms).abs() <= ROUNDING_MS) {
                    let peer = if next.dialler == a { b } else { a };
                    plot.step(dials_ms, Rank::Ask, Step::Connect(next.dialler, peer));
                }
            }
        }
    }
}
