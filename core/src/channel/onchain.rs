//! The funding output is spent: by what, and what of it is ours.

use bitcoin::{OutPoint, Transaction};
use secp256k1::{PublicKey, SECP256K1, SecretKey};

use crate::amount::Sat;
use crate::command::{Command, Level};
use crate::ids::{BlockHeight, CommitmentSecret};
use crate::mutation::{Mutation, is_active};
use crate::side::Side;
use crate::signer::{CommitmentOf, Signer};
use crate::tx::{self, Claim, KeyScope};

use super::rows::Spent;
use super::{Channel, Cx, Effect, Phase, SpendBy, Spendable, Spender};

/// BOLT 5: after so many blocks a resolution is taken for irrevocable.
const IRREVOCABLE_DEPTH: u32 = 100;

impl Channel {
    /// A transaction in a block spends the funding output.
    pub fn funding_spent(&mut self, cx: &mut Cx<'_>, tx: &Transaction, height: BlockHeight) {
        let txid = tx.compute_txid();
        let by = self.identify(cx, tx);
        let (reason, ours) = match &self.row.phase {
            Phase::OnChain { reason, tx, .. } => (reason.clone(), tx.clone()),
            _ => (None, None),
        };
        self.set_phase(cx, Phase::OnChain { reason, tx: ours, spent: Some(Spent { txid, by, height }) });
        let id = self.row.id;
        match by {
            Spender::TheirRevoked { number } => self.note(
                cx,
                Level::Error,
                format_args!("THEFT ATTEMPT: the peer published revoked commitment {number} of channel {id} as {txid}"),
            ),
            Spender::OurRevoked { number } => self.note(
                cx,
                Level::Error,
                format_args!(
                    "our own revoked commitment {number} of channel {id} is on chain as {txid}: \
                     a copy of this node's data is in use elsewhere"
                ),
            ),
            Spender::TheirFuture { number } => self.note(
                cx,
                Level::Error,
                format_args!(
                    "the peer published commitment {number} of channel {id}, which our data is too old to know"
                ),
            ),
            Spender::Unknown => self.note(
                cx,
                Level::Error,
                format_args!("transaction {txid} spends the funding of channel {id} and is none that we know"),
            ),
            Spender::Mutual | Spender::OurCommitment | Spender::TheirCommitment { .. } => {
                self.note(cx, Level::Info, format_args!("channel {id} is closed by {txid} ({by:?})"));
            }
        }
        cx.effects.push(Effect::Spent { channel: self.key, txid, by, height });
        for spendable in self.spendables(cx, tx, by, height) {
            cx.effects.push(Effect::SpendableOutput { channel: self.key, spendable });
        }
    }

    /// A reorganisation undid that block. Everything is derived anew when another one comes.
    pub fn funding_unspent(&mut self, cx: &mut Cx<'_>) {
        if let Phase::OnChain { reason, tx, spent: Some(_) } = &self.row.phase {
            let (reason, tx) = (reason.clone(), tx.clone());
            self.set_phase(cx, Phase::OnChain { reason, tx, spent: None });
            self.rebroadcast(cx);
        }
    }

    /// Gives our closing transaction to the backend once more, while none is in a block.
    pub fn rebroadcast(&self, cx: &mut Cx<'_>) {
        if is_active(Mutation::RefusedForEver) {
            return;
        }
        if let Phase::OnChain { tx: Some(bytes), spent: None, .. } = &self.row.phase {
            let tx: Transaction = bitcoin::consensus::deserialize(bytes).expect("we serialised it ourselves");
            cx.out.emit(Command::Broadcast { tx: &tx, purpose: "close, again" });
        }
    }

    /// What spends our funding output. All commitments that are not revoked are compared, of both sides.
    fn identify(&self, cx: &mut Cx<'_>, tx: &Transaction) -> Spender {
        let Some(number) = self.ring.obscure().number_of(tx) else {
            return if self.is_closing_tx(tx) { Spender::Mutual } else { Spender::Unknown };
        };
        let ours = self.ledger.latest_number(Side::Local);
        if number == ours && self.local_commitment(cx).txid == tx.compute_txid() {
            return Spender::OurCommitment;
        }
        if number < ours {
            let delay = self.row.params.remote.to_self_delay;
            let script = self.to_local_script(cx, CommitmentOf::Local(number), delay);
            if tx.output.iter().any(|output| output.script_pubkey.as_bytes() == script.as_bytes()) {
                return Spender::OurRevoked { number };
            }
        }
        if number > self.ledger.latest_number(Side::Remote) {
            Spender::TheirFuture { number }
        } else if number < self.ledger.oldest_number(Side::Remote) {
            Spender::TheirRevoked { number }
        } else {
            Spender::TheirCommitment { number }
        }
    }

    /// BOLT 3, legacy closing transaction: paid to the scripts of `shutdown` and nothing else.
    fn is_closing_tx(&self, tx: &Transaction) -> bool {
        let scripts = [&self.row.shutdown.local, &self.row.shutdown.remote];
        let known = |script: &[u8]| scripts.iter().any(|known| known.as_deref() == Some(script));
        !tx.output.is_empty() && tx.output.iter().all(|output| known(output.script_pubkey.as_bytes()))
    }

    /// Outputs of a commitment that are ours without an HTLC's preimage or expiry.
    fn spendables(&self, cx: &mut Cx<'_>, tx: &Transaction, by: Spender, height: BlockHeight) -> Vec<Spendable> {
        let mut found = Vec::new();
        let txid = tx.compute_txid();
        let mut collect = |script: &[u8], by: SpendBy, delay: u32| {
            for (vout, output) in tx.output.iter().enumerate() {
                if output.script_pubkey.as_bytes() == script {
                    let outpoint = OutPoint { txid, vout: vout as u32 };
                    // A relative delay of n is over for block `height + n` (BIP 68).
                    let from_height = height.plus(delay.max(1));
                    found.push(Spendable { outpoint, output: output.clone(), by: by.clone(), from_height });
                }
            }
        };
        let format = self.funding().format;
        let to_remote = tx::script::to_remote(format, &self.row.basepoints.local.payment);
        let csv = u16::from(format.has_anchors());
        match by {
            Spender::OurCommitment => {
                let number = self.ledger.latest_number(Side::Local);
                let to_self_delay = self.row.params.remote.to_self_delay;
                let of = CommitmentOf::Local(number);
                let script = self.to_local_script(cx, of, to_self_delay);
                collect(script.as_bytes(), SpendBy::ToLocal { number, to_self_delay }, u32::from(to_self_delay));
            }
            Spender::TheirCommitment { .. } | Spender::TheirFuture { .. } => {
                collect(to_remote.as_bytes(), SpendBy::ToRemote { csv }, u32::from(csv));
            }
            Spender::TheirRevoked { number } => {
                collect(to_remote.as_bytes(), SpendBy::ToRemote { csv }, u32::from(csv));
                let to_self_delay = self.row.params.local.to_self_delay;
                if let Some(point) = self.revoked_point(number) {
                    let script = self.to_local_script(cx, CommitmentOf::Remote(point), to_self_delay);
                    collect(script.as_bytes(), SpendBy::Revoked { number, to_self_delay }, 0);
                }
            }
            Spender::OurRevoked { .. } | Spender::Mutual | Spender::Unknown => {}
        }
        found
    }

    /// The output that holds the balance of a commitment's owner.
    fn to_local_script(&self, cx: &mut Cx<'_>, of: CommitmentOf, to_self_delay: u16) -> tx::OutputScript {
        let keys = cx.signer.commitment_keys(self.row.keys, of, &self.row.basepoints.remote, KeyScope::Balances);
        tx::script::delayed(&keys.revocation, &keys.delayed, to_self_delay).to_p2wsh()
    }

    /// The point of a commitment that the peer has revoked.
    fn revoked_point(&self, number: u64) -> Option<PublicKey> {
        let secret = SecretKey::from_slice(&self.secrets.get(number)?.0).ok()?;
        Some(secret.public_key(SECP256K1))
    }

    /// What the peer gave away with that commitment: all that a penalty needs besides the HTLCs' own rows.
    pub fn revoked_secret(&self, number: u64) -> Option<CommitmentSecret> {
        self.secrets.get(number)
    }

    /// How to claim an output that `SpendableOutput` told of: for `Signer::sign_sweep`.
    pub fn claim(&self, signer: &mut dyn Signer, spendable: &Spendable) -> Option<Claim> {
        let (outpoint, amount) = (spendable.outpoint, Sat(spendable.output.value.to_sat()));
        let peer = &self.row.basepoints.remote;
        let mut keys = |of| signer.commitment_keys(self.row.keys, of, peer, KeyScope::Balances);
        match spendable.by {
            SpendBy::ToLocal { number, to_self_delay } => {
                Some(Claim::delayed(outpoint, amount, &keys(CommitmentOf::Local(number)), to_self_delay))
            }
            SpendBy::ToRemote { .. } => {
                let payment = &self.row.basepoints.local.payment;
                Some(Claim::to_remote(outpoint, amount, self.funding().format, payment))
            }
            SpendBy::Revoked { number, to_self_delay } => {
                let secret = self.secrets.get(number)?;
                let keys = keys(CommitmentOf::Remote(self.revoked_point(number)?));
                Some(Claim::revoked_delayed(outpoint, amount, &keys, to_self_delay, secret))
            }
        }
    }

    /// After a close: waits until it is irrevocable, and while it is in no block says it again.
    pub(super) fn check_closed(&mut self, cx: &mut Cx<'_>, height: BlockHeight) {
        match &self.row.phase {
            Phase::OnChain { spent: Some(spent), .. } => {
                let deep = height.since(spent.height) + 1 >= IRREVOCABLE_DEPTH;
                // Whoever resolves HTLCs and delayed outputs ends the channel itself: see `resolved`.
                if deep && spent.by == Spender::Mutual {
                    let reason = format!("closed by agreement with {}", spent.txid);
                    self.give_up(cx, reason);
                }
            }
            Phase::OnChain { spent: None, .. } => self.rebroadcast(cx),
            _ => {}
        }
    }

    /// Everything of this channel on chain is resolved for good: its rows go.
    pub fn resolved(&mut self, cx: &mut Cx<'_>) {
        if let Phase::OnChain { spent: Some(spent), .. } = &self.row.phase {
            let reason = format!("closed by {} ({:?})", spent.txid, spent.by);
            self.give_up(cx, reason);
        }
    }
}
