//! What the loop drives: the node, or in the loop's own tests a toy.

use leyden_core::clock::{Clock, Mono};
use leyden_core::command::Sink;
use leyden_core::event::Event;
use leyden_core::node::Node;
use leyden_core::signer::Signer;

/// A pure machine: events in, commands out.
pub trait Machine {
    /// Before the first event: what it wants from the start.
    fn start(&mut self, clock: Clock, signer: &mut dyn Signer, out: &mut dyn Sink);

    /// One event.
    fn step(&mut self, clock: Clock, event: Event<'_>, signer: &mut dyn Signer, out: &mut dyn Sink);

    /// When [`Event::Deadline`] is due.
    fn next_deadline(&self) -> Option<Mono>;

    /// Appends all that it is: where a recording begins. Called between turns.
    fn snapshot(&self, out: &mut Vec<u8>);
}

impl Machine for Node {
    fn start(&mut self, clock: Clock, signer: &mut dyn Signer, out: &mut dyn Sink) {
        Node::start(self, clock, signer, out);
    }

    fn step(&mut self, clock: Clock, event: Event<'_>, signer: &mut dyn Signer, out: &mut dyn Sink) {
        Node::step(self, clock, event, signer, out);
    }

    fn next_deadline(&self) -> Option<Mono> {
        Node::next_deadline(self)
    }

    fn snapshot(&self, out: &mut Vec<u8>) {
        Node::snapshot(self, out);
    }
}
