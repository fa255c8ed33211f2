//! A story from a seed: who is connected to whom, who pays whom, and what goes wrong.
//!
//! Each seed first draws a swarm: which kinds of faults and of traffic it has at all. Runs that have everything hide
//! what happens only where something else is missing.

use std::collections::{BTreeMap, BTreeSet};

use leyden_core::amount::{Msat, Sat};

use super::swarm::{Faults, Swarm};
use crate::draw::{Domain, Draw, Stream};
use crate::net::{NodeIndex, Wire};
use crate::story::{ChannelPlan, NodeOption, Step, Story};
use crate::world::Habit;

/// How large a run is.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Nodes.
    pub nodes: usize,
    /// Channels; at least one less than nodes, so that everybody is connected.
    pub channels: usize,
    /// Payments.
    pub payments: usize,
    /// What goes wrong.
    pub faults: Faults,
    /// What travels.
    pub wire: Wire,
}

/// Draws the story of a seed.
pub fn draw(seed: u64, plan: &Plan) -> Story {
    let keyed = Draw::new(seed);
    let swarm = Swarm::of_seed(seed, plan.faults);
    let names: Vec<String> = (0..plan.nodes).map(|node| format!("n{node}")).collect();
    let mut story = Story::new(&format!("soak, seed {seed}"), &[]);
    story.names = names;
    story.seed = seed;
    story.wire = plan.wire;
    let mut stream = keyed.stream(Domain::Topology, 0);
    story.latency_ms = stream.between(1, 60);
    story.jitter_ms = if stream.chance(50) { stream.between(0, 30) } else { 0 };
    topology(&mut story, plan, &mut stream);
    let spot = stream.below(plan.nodes as u64) as usize;
    let mut scene = Scene {
        plan,
        swarm,
        spot,
        held: BTreeMap::new(),
        forgotten: Vec::new(),
        channels: story.channels.clone(),
        traffic: keyed.stream(Domain::Traffic, 0),
        faults: keyed.stream(Domain::Faults, 0),
        off: BTreeSet::new(),
        blocks: 0,
        steps: Vec::new(),
    };
    for number in 0..plan.payments {
        scene.go_wrong();
        scene.end_holds(number);
        scene.pay(number);
        scene.wait();
    }
    scene.run_out();
    story.steps = scene.steps;
    story
}

/// One of the nodes, drawn from the seed, is a bad peer from the beginning: it has this habit, or one that is drawn.
pub fn with_bad_peer(mut story: Story, habit: Option<Habit>) -> Story {
    let mut stream = Draw::new(story.seed).stream(Domain::Habits, u64::MAX);
    let node = stream.below(story.names.len() as u64) as usize;
    let drawn = Habit::ALL[stream.below(Habit::ALL.len() as u64) as usize].0;
    let percent = [1, 5, 20, 100][stream.below(4) as usize];
    story.bad.push(node);
    story.steps.insert(0, Step::Habit(node, habit.unwrap_or(drawn), percent));
    story
}

fn topology(story: &mut Story, plan: &Plan, stream: &mut Stream) {
    for number in 0..plan.channels.max(plan.nodes.saturating_sub(1)) {
        // A tree first, then whatever comes.
        let (a, b) = if number + 1 < plan.nodes {
            (number + 1, stream.below(number as u64 + 1) as usize)
        } else {
            let a = stream.below(plan.nodes as u64) as usize;
            (a, (a + 1 + stream.below(plan.nodes as u64 - 1) as usize) % plan.nodes)
        };
        let (from, to) = if stream.chance(50) { (a, b) } else { (b, a) };
        let amount = Sat(stream.between(100, 2_000) * 1_000);
        let push_msat = Msat(amount.0 * stream.between(50, 900));
        story.channels.push(ChannelPlan { from, to, amount, push_msat });
    }
    for node in 0..plan.nodes {
        if stream.chance(20) {
            story.options.push((node, NodeOption::FeeBaseMsat, stream.between(0, 5_000)));
        }
        if stream.chance(20) {
            story.options.push((node, NodeOption::DustLimitSat, stream.between(354, 1_000)));
        }
        if stream.chance(10) {
            // Of the smallest channel this is as much as the largest dust limit: less is refused by whoever has it.
            story.options.push((node, NodeOption::ReserveMillionths, stream.between(10_000, 50_000)));
        }
        if stream.chance(15) {
            // As many blocks as come when all is healed, so that whatever is open then comes into use.
            story.options.push((node, NodeOption::MinimumDepth, stream.between(2, 3)));
        }
    }
}

/// A story that is being drawn.
pub(super) struct Scene<'a> {
    pub(super) plan: &'a Plan,
    pub(super) swarm: Swarm,
    /// Whom most pay, where there is one.
    pub(super) spot: NodeIndex,
    /// What becomes of payments that are held, and before which payment.
    pub(super) held: BTreeMap<usize, Vec<Step>>,
    /// Those of which nothing becomes.
    pub(super) forgotten: Vec<String>,
    pub(super) channels: Vec<ChannelPlan>,
    pub(super) traffic: Stream,
    pub(super) faults: Stream,
    pub(super) off: BTreeSet<NodeIndex>,
    pub(super) blocks: u64,
    pub(super) steps: Vec<Step>,
}
