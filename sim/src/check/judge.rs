//! The judgement at a story's end: everything is healed and quiet, and now every promise must have been kept.

use std::collections::BTreeMap;

use leyden_core::amount::Msat;
use leyden_core::ids::ChannelId;
use leyden_core::request::channel::{ChannelState, PeerChannel};
use leyden_core::request::invoice::{InvoiceFilter, InvoiceInfo, InvoiceStatus, ListInvoices, WaitAnyInvoice};
use leyden_core::request::payment::{ForwardStatus, ListForwards, ListPays, PayInfo, PayStatus};
use leyden_core::request::{Request, Response};
use leyden_core::side::Side;

use crate::net::NodeIndex;
use crate::story::{PayKind, Payment, Telling, channels_of};
use crate::world::World;

/// What an opening or a close may cost whoever pays for it, in all: the promise is about payments.
const ON_CHAIN_COST_MSAT: u64 = 30_000_000;

/// An HTLC of so much has an output in every commitment that stories make.
const SURELY_NO_DUST: Msat = Msat(10_000_000);
/// So many blocks after its expiry an HTLC is gone, or its channel is on its way to the chain.
const DEADLINE_GRACE_BLOCKS: u32 = 4;

/// What one node says of itself at the end.
struct Books {
    channels: Vec<PeerChannel>,
    pays: Vec<PayInfo>,
    invoices: Vec<InvoiceInfo>,
    forward_fees_msat: u64,
    forwards_open: usize,
    wallet_msat: u64,
}

fn books(world: &mut World, node: NodeIndex) -> Books {
    let channels = channels_of(world, node);
    let Ok(Response::Pays(pays)) = world.call(node, Request::ListPays(ListPays::default())) else {
        panic!("node {node} does not list its payments");
    };
    let list = ListInvoices { filter: InvoiceFilter::All, page: Default::default() };
    let Ok(Response::Invoices(invoices)) = world.call(node, Request::ListInvoices(list)) else {
        panic!("node {node} does not list its invoices");
    };
    let list = ListForwards { status: None, in_channel: None, out_channel: None, page: Default::default() };
    let Ok(Response::Forwards(forwards)) = world.call(node, Request::ListForwards(list)) else {
        panic!("node {node} does not list its forwards");
    };
    let Ok(Response::Funds(funds)) = world.call(node, Request::ListFunds { spent: false }) else {
        panic!("node {node} does not list its funds");
    };
    let settled = forwards.iter().filter(|forward| forward.status == ForwardStatus::Settled);
    Books {
        channels,
        pays,
        invoices,
        forward_fees_msat: settled.filter_map(|forward| forward.fee_msat).map(|fee| fee.0).sum(),
        forwards_open: forwards.iter().filter(|forward| forward.status == ForwardStatus::Offered).count(),
        wallet_msat: funds.outputs.iter().map(|output| output.amount_sat.0 * 1_000).sum(),
    }
}

/// Judges a story that has come to its end.
pub(crate) fn judge(telling: &mut Telling<'_>) {
    let honest: Vec<NodeIndex> =
        (0..telling.world.len()).filter(|node| !telling.world.checks().is_bad(*node)).collect();
    let all: BTreeMap<NodeIndex, Books> = honest.iter().map(|node| (*node, books(&mut telling.world, *node))).collect();
    let mut found: Vec<(&'static str, NodeIndex, String)> = Vec::new();
    // What waits for a peer with a habit may wait until its HTLC expires.
    let is_patient = telling.story.has_habits();
    for (node, own) in &all {
        if !is_patient {
            terminal(*node, own, &mut found);
        }
        if let Err(text) = events(&mut telling.world, *node, own) {
            found.push(("O12 event stream", *node, text));
        }
    }
    for node in &honest {
        bounded(telling, *node, &all[node], &mut found);
    }
    channels(telling, &all, &mut found);
    opened(telling, &all, &mut found);
    for payment in telling.payments.clone() {
        judge_payment(telling, &payment, &all, &mut found);
    }
    conserved(telling, &all, &mut found);
    for (node, purpose, why) in std::mem::take(&mut telling.world.refused) {
        // Where both ends go on chain, one of them is outbid. Where blocks are gone, so are confirmations.
        let is_expected =
            why.is_a_race() || is_patient && why.is_outbid() || telling.world.counts().reorgs > 0 && why.is_too_early();
        if all.contains_key(&node) && !is_expected {
            found.push(("O11 standardness", node, format!("{purpose}: {why:?}")));
        }
    }
    for (oracle, node, text) in found {
        telling.world.violate(oracle, node, text);
    }
}

/// O5: whatever was begun has come to an end.
fn terminal(node: NodeIndex, own: &Books, found: &mut Vec<(&'static str, NodeIndex, String)>) {
    for channel in &own.channels {
        if !channel.htlcs.is_empty() && channel.state == ChannelState::Normal {
            found.push(("O5 liveness", node, format!("{} holds {:?}", channel.channel_id, channel.htlcs)));
        }
    }
    for pay in own.pays.iter().filter(|pay| pay.status == PayStatus::Pending) {
        found.push(("O5 liveness", node, format!("payment {} is still under way", pay.payment_hash)));
    }
    if own.forwards_open > 0 && own.channels.iter().all(|channel| channel.htlcs.is_empty()) {
        let text = format!("{} forwards are open, and no channel holds an HTLC", own.forwards_open);
        found.push(("O5 liveness", node, text));
    }
    for held in own.invoices.iter().filter(|invoice| invoice.status == InvoiceStatus::Accepted) {
        found.push(("O5 liveness", node, format!("invoice {} is neither settled nor cancelled", held.payment_hash)));
    }
    // A close that both agree on needs no more blocks than came since all is healed.
    let closing = [ChannelState::ShuttingDown, ChannelState::SigExchange, ChannelState::ClosingComplete];
    for channel in own.channels.iter().filter(|channel| closing.contains(&channel.state)) {
        if channel.htlcs.is_empty() {
            let text = format!("{} does not finish its closing: {:?}", channel.channel_id, channel.state);
            found.push(("O5 liveness", node, text));
        }
    }
}

/// O6: with nothing under way, nothing is kept that belongs to a payment, and nothing waits to be signed.
fn bounded(telling: &Telling<'_>, node: NodeIndex, own: &Books, found: &mut Vec<(&'static str, NodeIndex, String)>) {
    let census = telling.world.node(node).census();
    // On chain HTLCs take their time; whatever they hold is not in the way.
    let is_calm = own.channels.iter().all(|channel| channel.state == ChannelState::Normal && channel.htlcs.is_empty());
    if is_calm && !census.is_idle() {
        found.push(("O6 bounds", node, format!("all is over, and it still holds {census:?}")));
    }
    if is_calm && census.channels != own.channels.len() {
        found.push(("O6 bounds", node, format!("it lists {} channels and holds {census:?}", own.channels.len())));
    }
}

/// O7: no HTLC with an output outlives its expiry by more than a few blocks while its node could act.
pub(crate) fn judge_deadlines(telling: &mut Telling<'_>) {
    let height = telling.world.chain.tip().height.0;
    for node in 0..telling.world.len() {
        let can_act = !telling.world.checks().is_bad(node)
            && !telling.world.is_off(node)
            && telling.world.node(node).tip() == Some(telling.world.chain.tip());
        if !can_act {
            continue;
        }
        for channel in channels_of(&mut telling.world, node) {
            let open = matches!(channel.state, ChannelState::Normal | ChannelState::ShuttingDown);
            let late = channel.htlcs.iter().find(|htlc| {
                let is_ours = htlc.offered_by == Side::Local && htlc.amount_msat >= SURELY_NO_DUST;
                open && is_ours && htlc.expiry.0 + DEADLINE_GRACE_BLOCKS < height
            });
            if let Some(htlc) = late {
                let text = format!("at height {height} {} still holds {htlc:?}", channel.channel_id);
                telling.world.violate("O7 deadline", node, text);
            }
        }
    }
}

/// O5: a channel whose funding is deep enough for both ends is in use.
fn opened(telling: &Telling<'_>, all: &BTreeMap<NodeIndex, Books>, found: &mut Vec<(&'static str, NodeIndex, String)>) {
    let height = telling.world.chain.tip().height;
    for (node, own) in all {
        for channel in own.channels.iter().filter(|channel| channel.state == ChannelState::AwaitingLockin) {
            let Some(peer) = all.keys().find(|peer| telling.world.id(**peer) == channel.peer_id) else { continue };
            let Some(scid) = channel.short_channel_id else { continue };
            let wanted = [node, peer].map(|node| telling.world.config(*node).channel.minimum_depth);
            let depth = height.since(scid.height()) + 1;
            if depth >= wanted[0].max(wanted[1]) {
                let text = format!("{} has {depth} confirmations, and is not in use", channel.channel_id);
                found.push(("O5 liveness", *node, text));
            }
        }
    }
}

/// O10: both ends of every channel say the same of it, and it is in use again.
fn channels(
    telling: &Telling<'_>,
    all: &BTreeMap<NodeIndex, Books>,
    found: &mut Vec<(&'static str, NodeIndex, String)>,
) {
    let mut ends: BTreeMap<ChannelId, Vec<(NodeIndex, &PeerChannel)>> = BTreeMap::new();
    for (node, own) in all {
        for channel in own.channels.iter().filter(|channel| channel.state == ChannelState::Normal) {
            ends.entry(channel.channel_id).or_default().push((*node, channel));
        }
    }
    let is_anyone_bad = all.len() < telling.story.names.len();
    for (channel, ends) in ends {
        let [(a, left), (b, right)] = ends[..] else {
            let (node, only) = ends[0];
            // The other end may be somebody of whom nothing is expected, or the channel was closed on purpose.
            let is_known = all.keys().any(|other| telling.world.id(*other) == only.peer_id);
            if is_known && telling.changes == 0 && !is_anyone_bad {
                found.push(("O10 agreement", node, format!("only one end of {channel} is in use")));
            }
            continue;
        };
        if left.to_us_msat.0 + right.to_us_msat.0 != left.total_msat.0 || left.total_msat != right.total_msat {
            let text = format!(
                "{channel} of {} msat: {} and {} msat by the ends",
                left.total_msat.0, left.to_us_msat.0, right.to_us_msat.0
            );
            found.push(("O10 agreement", a, text));
        }
        if left.feerate_per_kw != right.feerate_per_kw {
            let text = format!("{channel}: feerates {} and {}", left.feerate_per_kw, right.feerate_per_kw);
            found.push(("O10 agreement", a, text));
        }
        if left.short_channel_id != right.short_channel_id || left.short_channel_id.is_none() {
            let text = format!("{channel} is at {:?} and {:?}", left.short_channel_id, right.short_channel_id);
            found.push(("O10 agreement", a, text));
        }
        for (node, end) in [(a, left), (b, right)] {
            if !end.reestablished {
                found.push(("O5 liveness", node, format!("{channel} is not in use again")));
            }
        }
    }
}

/// O1 and O5 for one payment: it arrived and was paid for, or neither, and the payer was told.
fn judge_payment(
    telling: &mut Telling<'_>,
    payment: &Payment,
    all: &BTreeMap<NodeIndex, Books>,
    found: &mut Vec<(&'static str, NodeIndex, String)>,
) {
    let (Some(payer), Some(payee)) = (all.get(&payment.from), all.get(&payment.to)) else { return };
    let pay = payer.pays.iter().find(|pay| pay.payment_hash == payment.hash);
    let invoice = payee.invoices.iter().find(|invoice| invoice.payment_hash == payment.hash);
    let paid = invoice.and_then(|invoice| invoice.paid);
    let status = pay.map(|pay| pay.status);
    let name = &payment.name;
    let (is_complete, is_paid) = (status == Some(PayStatus::Complete), paid.is_some());
    // Whoever forwards may fail an HTLC towards the payer and fulfil it towards the payee: that costs nobody else.
    let is_patient = telling.story.has_habits();
    let is_torn = if is_patient { is_complete && !is_paid } else { is_complete != is_paid };
    if is_torn {
        found.push(("O1 conservation", payment.from, format!("{name} is {status:?} and paid: {is_paid}")));
    }
    if let (Some(pay), Some(paid)) = (pay, paid) {
        let arrived = paid.amount_received_msat;
        if arrived < payment.amount || pay.amount_sent_msat < payment.amount {
            let text = format!(
                "{name}: {} msat asked, {arrived:?} arrived, {:?} left",
                payment.amount.0, pay.amount_sent_msat
            );
            found.push(("O1 conservation", payment.to, text));
        }
    }
    if is_paid && matches!(payment.kind, PayKind::Probe | PayKind::ProbeRoute | PayKind::Half) {
        found.push(("O1 conservation", payment.to, format!("{name} was not to be paid: {:?}", payment.kind)));
    }
    let Some((request, life)) = payment.request else { return };
    let reply = telling.world.reply(request);
    match reply {
        None if telling.world.life(payment.from) == life && !(is_patient && status == Some(PayStatus::Pending)) => {
            found.push(("O5 liveness", payment.from, format!("nobody was told of {name}")));
        }
        Some(reply) if reply.is_ok() != is_complete => {
            found.push((
                "O1 conservation",
                payment.from,
                format!("{name} is {status:?}, and the answer was {reply:?}"),
            ));
        }
        _ => {}
    }
}

/// O1: every node has what it had, what it was paid and what it earned, less what it paid.
fn conserved(
    telling: &Telling<'_>,
    all: &BTreeMap<NodeIndex, Books>,
    found: &mut Vec<(&'static str, NodeIndex, String)>,
) {
    let is_patient = telling.story.has_habits();
    for (node, own) in all {
        let received: u64 =
            own.invoices.iter().filter_map(|invoice| invoice.paid).map(|paid| paid.amount_received_msat.0).sum();
        let complete = own.pays.iter().filter(|pay| pay.status == PayStatus::Complete);
        let sent: u64 = complete.map(|pay| pay.amount_sent_msat.0).sum();
        let should = (telling.before[*node] + received + own.forward_fees_msat).checked_sub(sent);
        let in_channels: u64 =
            own.channels.iter().filter(|channel| counts(channel)).map(|channel| channel.to_us_msat.0).sum();
        if telling.changes == 0 && telling.world.nobody_closed() && !is_patient {
            if should != Some(in_channels) {
                let text = format!(
                    "{} + {received} received + {} earned - {sent} sent is not {in_channels} msat",
                    telling.before[*node], own.forward_fees_msat
                );
                found.push(("O1 conservation", *node, text));
            }
            continue;
        }
        // Where channels come and go, all that a node has counts, and what that costs on chain is allowed for.
        let closed = own.channels.iter().filter(|channel| channel.state != ChannelState::Normal).count() as u64;
        let cost_msat = ON_CHAIN_COST_MSAT * (telling.changes + 1 + if is_patient { closed } else { 0 });
        // What was given away with an opening is gone, and what was given is there.
        let new = own.channels.iter().filter(|channel| !telling.old_channels.contains(&channel.channel_id));
        let given: u64 =
            new.filter(|channel| channel.opener == Side::Remote).map(|channel| channel.pushed_msat.0).sum();
        let had = telling.before[*node] + received + own.forward_fees_msat + telling.wallets[*node] + given;
        let should = had.checked_sub(sent).map(|should| should.saturating_sub(cost_msat + telling.pushed[*node]));
        // What a bad peer holds back is in HTLCs still.
        let held = own.channels.iter().flat_map(|channel| &channel.htlcs).map(|htlc| htlc.amount_msat.0);
        let held_msat: u64 = if is_patient { held.sum() } else { 0 };
        let claims_msat = telling.world.node(*node).census().claims_sat.to_msat().0;
        let has = Msat(in_channels + own.wallet_msat + claims_msat + held_msat);
        if should.is_none_or(|should| has.0 < should) {
            let text = format!("it has {has:?} and should have {should:?} at least");
            found.push(("O1 conservation", *node, text));
        }
    }
}

/// Is the channel's money still in it, and not in the wallet?
fn counts(channel: &PeerChannel) -> bool {
    !matches!(channel.state, ChannelState::Onchain | ChannelState::Closed | ChannelState::ClosingComplete)
}

/// O12: whoever asks for one paid invoice after the other sees each once and in order.
fn events(world: &mut World, node: NodeIndex, own: &Books) -> Result<(), String> {
    let paid = own.invoices.iter().filter(|invoice| invoice.status == InvoiceStatus::Paid);
    let mut wanted: Vec<u64> = paid.filter_map(|invoice| Some(invoice.paid?.pay_index)).collect();
    wanted.sort_unstable();
    let mut last_pay_index = 0;
    for pay_index in &wanted {
        let wait = WaitAnyInvoice { last_pay_index, timeout_s: Some(0) };
        let seen = match world.call(node, Request::WaitAnyInvoice(wait)) {
            Ok(Response::Invoice(invoice)) => invoice.paid.map(|paid| paid.pay_index),
            other => return Err(format!("after {last_pay_index} comes {other:?}")),
        };
        if seen != Some(*pay_index) {
            return Err(format!("after {last_pay_index} comes {seen:?} and not {pay_index}"));
        }
        last_pay_index = *pay_index;
    }
    let wait = WaitAnyInvoice { last_pay_index, timeout_s: Some(0) };
    match world.call(node, Request::WaitAnyInvoice(wait)) {
        Err(_) => Ok(()),
        Ok(more) => Err(format!("after the last one comes {more:?}")),
    }
}
