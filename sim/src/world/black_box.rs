//! Nodes with a flight recorder: what `leydend` records, a simulated node can record as well, and it replays the same.

use std::cell::{Cell, RefCell};

use leyden_core::clock::Clock;
use leyden_core::command::Sink;
use leyden_core::event::Event;
use leyden_core::node::Node;
use leyden_core::recording::{BUILD_ID, DigestSink, Digester, Header, RecordingSigner, Tape, config_hash};
use leyden_core::signer::Signer;

use super::World;
use super::node::SimNode;
use crate::net::NodeIndex;

/// The recorder of one node.
#[derive(Default)]
pub(super) struct BlackBox {
    tape: RefCell<Tape>,
    digest: Cell<Digester>,
    scratch: Vec<u8>,
    segments: u32,
    turn: u64,
    in_turn: bool,
}

impl BlackBox {
    fn record(
        &mut self,
        node: &mut Node,
        signer: &mut dyn Signer,
        clock: Clock,
        event: Option<Event<'_>>,
        out: &mut dyn Sink,
    ) {
        if !std::mem::replace(&mut self.in_turn, true) {
            self.digest.set(Digester::default());
            self.tape.get_mut().begin_turn(self.turn, clock);
        }
        match &event {
            Some(event) => self.tape.get_mut().event(event),
            None => self.tape.get_mut().start(),
        }
        let mut signer = RecordingSigner::new(signer, &self.tape, &self.digest);
        let mut sink = DigestSink::new(&self.digest, &mut self.scratch, out);
        match event {
            Some(event) => node.step(clock, event, &mut signer, &mut sink),
            None => node.start(clock, &mut signer, &mut sink),
        }
        self.tape.get_mut().end_step(self.digest.get().finish());
    }
}

impl SimNode {
    /// An event, or the start of a life, recorded if there is a recorder.
    pub(super) fn take(&mut self, clock: Clock, event: Option<Event<'_>>, out: &mut dyn Sink) {
        let SimNode { node, signer, black_box, .. } = self;
        match (black_box, event) {
            (Some(black_box), event) => black_box.record(node, signer, clock, event, out),
            (None, Some(event)) => node.step(clock, event, signer, out),
            (None, None) => node.start(clock, signer, out),
        }
    }

    /// A new stretch of the recording: everything about the node as it is now.
    pub(super) fn begin_segment(&mut self, now_ms: u64) {
        let clock = self.clock(now_ms);
        let SimNode { node, config, life, black_box: Some(black_box), .. } = self else { return };
        let header = Header {
            build: BUILD_ID.to_owned(),
            network: config.network,
            node_id: node.id(),
            config_hash: config_hash(config),
            run: leyden_core::clock::Wall(u64::from(*life)),
            sequence: black_box.segments,
            first_turn: black_box.turn,
            clock,
        };
        black_box.segments += 1;
        black_box.tape.get_mut().segment(&header, |out| node.snapshot(out));
    }

    /// The turn is over; one that was never committed never happened.
    pub(super) fn end_recorded_turn(&mut self, is_committed: bool) {
        let Some(black_box) = &mut self.black_box else { return };
        if !std::mem::take(&mut black_box.in_turn) {
            return;
        }
        if is_committed {
            let digest = black_box.digest.get().finish();
            black_box.tape.get_mut().end_turn(digest);
            black_box.turn += 1;
        } else {
            black_box.tape.get_mut().abandon_turn();
        }
    }
}

impl World {
    /// Every node records from now on.
    pub fn record(&mut self) {
        let now_ms = self.now_ms;
        for own in &mut self.nodes {
            own.black_box = Some(BlackBox::default());
            if !own.is_off {
                own.begin_segment(now_ms);
            }
        }
    }

    /// What a node has recorded.
    pub fn recording(&self, node: NodeIndex) -> Vec<u8> {
        let black_box = self.nodes[node].black_box.as_ref();
        black_box.map(|black_box| black_box.tape.borrow().bytes().to_vec()).unwrap_or_default()
    }
}
