//! The machine with a witness: the one place where events, answers and commands are recorded.

use leyden_core::clock::{Clock, Mono};
use leyden_core::command::Sink;
use leyden_core::event::Event;
use leyden_core::recording::{DigestSink, RecordingSigner};
use leyden_core::signer::Signer;

use super::{On, Recorder};
use crate::machine::Machine;

/// A machine whose turns are recorded, while the recorder is on.
pub(crate) struct Taped<'a, M> {
    machine: &'a mut M,
    recorder: &'a mut Recorder,
}

impl<'a, M: Machine> Taped<'a, M> {
    /// A turn begins.
    pub(crate) fn new(machine: &'a mut M, recorder: &'a mut Recorder, clock: Clock) -> Taped<'a, M> {
        recorder.begin_turn(clock);
        Taped { machine, recorder }
    }
}

/// One step, with its answers and its digest.
fn record<M: Machine>(
    machine: &mut M,
    on: &mut On,
    signer: &mut dyn Signer,
    out: &mut dyn Sink,
    step: impl FnOnce(&mut M, &mut dyn Signer, &mut dyn Sink),
) {
    on.events += 1;
    let mut signer = RecordingSigner::new(signer, &on.black_box.tape, &on.digest);
    let mut sink = DigestSink::new(&on.digest, &mut on.scratch, out);
    step(machine, &mut signer, &mut sink);
    on.black_box.tape.borrow_mut().end_step(on.digest.get().finish());
}

impl<M: Machine> Machine for Taped<'_, M> {
    fn start(&mut self, clock: Clock, signer: &mut dyn Signer, out: &mut dyn Sink) {
        let Some(on) = &mut self.recorder.on else { return self.machine.start(clock, signer, out) };
        on.black_box.tape.borrow_mut().start();
        record(self.machine, on, signer, out, |machine, signer, out| machine.start(clock, signer, out));
    }

    fn step(&mut self, clock: Clock, event: Event<'_>, signer: &mut dyn Signer, out: &mut dyn Sink) {
        let Some(on) = &mut self.recorder.on else { return self.machine.step(clock, event, signer, out) };
        on.black_box.tape.borrow_mut().event(&event);
        record(self.machine, on, signer, out, |machine, signer, out| machine.step(clock, event, signer, out));
    }

    fn next_deadline(&self) -> Option<Mono> {
        self.machine.next_deadline()
    }

    fn snapshot(&self, out: &mut Vec<u8>) {
        self.machine.snapshot(out);
    }
}
