//! Clients that follow lists: numbers by creation and by change are in order, go on after a restart, and can be waited for.

mod common;

use common::*;
use leyden_core::amount::Msat;
use leyden_core::request::invoice::{InvoiceFilter, ListInvoices};
use leyden_core::request::node::{Grown, Subsystem, Wait};
use leyden_core::request::payment::{ListForwards, ListPays};
use leyden_core::request::{ListIndex, Page, Request, Response};
use leyden_sim::World;

fn updated(start: u64) -> Page {
    Page { index: Some(ListIndex::Updated), start, limit: Some(2) }
}

/// Numbers by change of the first two entries from `start` on: parts, payments, forwards, invoices.
fn numbers(world: &mut World, start: u64) -> [Vec<Option<u64>>; 4] {
    let pays = ListPays { page: updated(start), ..ListPays::default() };
    let parts = match world.call(0, Request::ListSendPays(pays.clone())) {
        Ok(Response::SendPays(parts)) => parts.iter().map(|part| part.updated_index).collect(),
        other => panic!("{other:?}"),
    };
    let pays = match world.call(0, Request::ListPays(pays)) {
        Ok(Response::Pays(pays)) => pays.iter().map(|pay| pay.updated_index).collect(),
        other => panic!("{other:?}"),
    };
    let forwards = ListForwards { page: updated(start), ..ListForwards::default() };
    let forwards = match world.call(1, Request::ListForwards(forwards)) {
        Ok(Response::Forwards(forwards)) => forwards.iter().map(|forward| forward.updated_index).collect(),
        other => panic!("{other:?}"),
    };
    let invoices = ListInvoices { filter: InvoiceFilter::All, page: updated(start) };
    let invoices = match world.call(2, Request::ListInvoices(invoices)) {
        Ok(Response::Invoices(invoices)) => invoices.iter().map(|invoice| invoice.updated_index).collect(),
        other => panic!("{other:?}"),
    };
    [parts, pays, forwards, invoices]
}

fn wait(world: &mut World, node: usize, subsystem: Subsystem, next: u64) -> leyden_core::ids::RequestId {
    world.request(node, Request::Wait(Wait { subsystem, index: ListIndex::Updated, next }))
}

#[test]
fn numbers_by_change_go_on_after_a_restart_and_can_be_waited_for() {
    let mut world = line(51, 3);
    // An invoice that nobody pays has a number by creation alone.
    invoice_for(&mut world, 2, Some(Msat(1)), "nobody pays it", 3600);
    let all = [(0, Subsystem::SendPays), (1, Subsystem::Forwards), (2, Subsystem::Invoices)];
    let waiting: Vec<_> = all.map(|(node, subsystem)| (wait(&mut world, node, subsystem, 2), subsystem)).into();
    for number in 0..2 {
        world.run_until_quiet();
        assert!(waiting.iter().all(|(id, _)| world.reply(*id).is_none()), "{number} changes are not two");
        pays(&mut world, 0, 2, Msat(1_000_000), &format!("payment {number}"));
    }
    for (id, subsystem) in waiting {
        let grown = Grown { subsystem, index: ListIndex::Updated, last: 2 };
        assert_eq!(world.reply(id), Some(Ok(Response::Grown(grown))));
    }
    assert_eq!(numbers(&mut world, 1), [(); 4].map(|()| vec![Some(1), Some(2)]));
    for node in 0..3 {
        world.halt(node);
        world.start(node);
    }
    world.run_for_ms(120_000);
    world.run_until_quiet();
    pays(&mut world, 0, 2, Msat(1_000_000), "after the restart");
    assert_eq!(numbers(&mut world, 2), [(); 4].map(|()| vec![Some(2), Some(3)]));
    for (node, subsystem) in all {
        let id = wait(&mut world, node, subsystem, 0);
        let last = match world.run_until_reply(id) {
            Ok(Response::Grown(grown)) => grown.last,
            other => panic!("{other:?}"),
        };
        assert_eq!(last, 3, "what was waited for is there already");
    }
}
