"""Drives three daemons through every method with Core Lightning's own client library, unmodified.

Usage: drive.py BITCOIND_URL COOKIE (SOCKET PORT){3}

Checks the members that clients read, their types, parameters by position and by name, and the numbers of errors.
Ends with status 1 and a list of what was wrong; a step that goes wrong does not keep others from running.
"""

import base64
import hashlib
import json
import sys
import threading
import time
import traceback
import urllib.request

from pyln.client import LightningRpc, RpcError

PATIENCE_S = 60
NUMBER = (int, float)
failures = []


def shape(what, value, **members):
    """Each named member must be there and of its type; `__` stands for a dash."""
    for name, kind in members.items():
        name = name.replace("__", "-")
        if name not in value:
            failures.append(f"{what}: no {name} in {value}")
        elif not isinstance(value[name], kind) or (kind is int and isinstance(value[name], bool)):
            failures.append(f"{what}: {name} is {value[name]!r}, not {kind}")


def same(what, got, expected):
    if got != expected:
        failures.append(f"{what}: {got!r} instead of {expected!r}")


def refused(code, rpc, method, params):
    try:
        answer = rpc.call(method, params)
    except RpcError as error:
        same(f"{method} {params}: code ({error.error['message']})", error.error["code"], code)
        shape(f"{method}: error", error.error, message=str)
        return error.error
    failures.append(f"{method} {params}: {answer} instead of the error {code}")
    return {}


def wait_for(what, condition):
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise TimeoutError(f"waited in vain for {what}")


class Later:
    """A call that waits for something, in a thread of its own."""

    def __init__(self, rpc, method, params):
        self.answer = None
        self.thread = threading.Thread(target=self.run, args=(rpc, method, params), daemon=True)
        self.thread.start()

    def run(self, rpc, method, params):
        try:
            self.answer = rpc.call(method, params)
        except RpcError as error:
            self.answer = error.error

    def result(self):
        self.thread.join(PATIENCE_S)
        if self.thread.is_alive():
            raise TimeoutError("the call does not return")
        return self.answer


class Bitcoind:
    def __init__(self, url, cookie):
        self.url = url + "/wallet/test"
        with open(cookie, encoding="ascii") as file:
            self.auth = base64.b64encode(file.read().strip().encode()).decode()

    def call(self, method, *params):
        body = json.dumps({"id": 0, "method": method, "params": params}).encode()
        request = urllib.request.Request(self.url, body, {"Authorization": "Basic " + self.auth})
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)["result"]

    def mine(self, blocks=1):
        self.call("generatetoaddress", blocks, self.call("getnewaddress"))
        return self.call("getblockcount")


class Drive:
    def __init__(self, url, cookie, nodes):
        self.chain = Bitcoind(url, cookie)
        self.nodes = [LightningRpc(socket) for socket, _ in nodes]
        self.alice, self.bob, self.carol = self.nodes
        self.ports = [int(port) for _, port in nodes]
        self.ids = [rpc.getinfo()["id"] for rpc in self.nodes]

    def mine(self, blocks=1):
        height = self.chain.mine(blocks)
        for rpc in self.nodes:
            same("waitblockheight", rpc.waitblockheight(height, PATIENCE_S)["blockheight"], height)

    def node(self):
        info = self.alice.getinfo()
        shape("getinfo", info, id=str, alias=str, color=str, num_peers=int, num_pending_channels=int,
              num_active_channels=int, num_inactive_channels=int, address=list, binding=list, version=str,
              blockheight=int, network=str, fees_collected_msat=int, lightning__dir=str, our_features=dict)
        shape("our_features", info["our_features"], init=str, node=str, channel=str, invoice=str)
        same("network", info["network"], "regtest")
        commands = {entry["command"].split()[0] for entry in self.alice.help()["help"]}
        same("help", sorted({"stop", "decode", "xpay", "sendpsbt"} - commands), [])
        same("help pay", len(self.alice.help("pay")["help"]), 1)
        refused(-32601, self.alice, "nosuchmethod", {})
        refused(-32602, self.alice, "getinfo", {"nonsense": 1})
        refused(-32602, self.alice, "connect", {})
        refused(-32602, self.alice, "listpeers", ["xyz"])
        for style in ("perkb", "perkw"):
            rates = self.alice.feerates(style)
            shape("feerates", rates, **{style: dict})
            shape(style, rates[style], min_acceptable=int, max_acceptable=int, floor=int, estimates=list)
            for estimate in rates[style]["estimates"]:
                shape("estimate", estimate, blockcount=int, feerate=int, smoothed_feerate=int)
        configs = self.alice.listconfigs()["configs"]
        same("listconfigs", bool(configs), True)
        for name, config in configs.items():
            same(f"{name}: source", "source" in config or "sources" in config, True)
        refused(-32602, self.alice, "listconfigs", ["nosuchconfig"])
        refused(2000, self.alice, "waitblockheight", [1_000_000, 0])
        signed = self.alice.signmessage("hello")
        shape("signmessage", signed, signature=str, recid=str, zbase=str)
        checked = self.bob.checkmessage("hello", signed["zbase"], self.ids[0])
        shape("checkmessage", checked, verified=bool, pubkey=str)
        same("checkmessage", (checked["verified"], checked["pubkey"]), (True, self.ids[0]))
        same("forged", self.bob.checkmessage("jello", signed["zbase"], self.ids[0])["verified"], False)

    def wallet(self):
        same("newaddr", next(iter(self.alice.newaddr())), "p2tr")
        both = self.alice.newaddr("all")
        shape("newaddr", both, p2tr=str, bech32=str)
        for rpc in (self.alice, self.alice, self.alice, self.bob, self.bob):
            self.chain.call("sendtoaddress", rpc.newaddr("bech32")["bech32"], 0.5)
        self.mine()
        wait_for("the money", lambda: len(self.alice.listfunds()["outputs"]) == 3)
        wait_for("the money", lambda: len(self.bob.listfunds()["outputs"]) == 2)
        for output in self.alice.listfunds()["outputs"]:
            shape("listfunds", output, txid=str, output=int, amount_msat=int, scriptpubkey=str, address=str,
                  status=str, reserved=bool, blockheight=int)
        target = self.chain.call("getnewaddress")
        paid = self.alice.withdraw(target, 100_000)
        shape("withdraw", paid, tx=str, txid=str, psbt=str)
        refused(301, self.alice, "withdraw", {"destination": target, "satoshi": 2_000_000_000})
        refused(-32602, self.alice, "withdraw", ["nonsense", 1000])
        self.mine()
        known = wait_for("the withdrawal", lambda: [
            tx for tx in self.alice.listtransactions()["transactions"]
            if tx["hash"] == paid["txid"] and tx["blockheight"] > 0])[0]
        shape("listtransactions", known, hash=str, rawtx=str, blockheight=int, txindex=int, locktime=int, version=int,
              inputs=list, outputs=list)
        shape("listfunds true", self.alice.listfunds(True), outputs=list, channels=list)

    def psbts(self):
        funded = self.alice.fundpsbt(50_000, "1000perkw", 400, excess_as_change=True)
        shape("fundpsbt", funded, psbt=str, feerate_per_kw=int, estimated_final_weight=int, excess_msat=int,
              change_outnum=int, reservations=list)
        shape("reservation", funded["reservations"][0], txid=str, vout=int, was_reserved=bool, reserved=bool,
              reserved_to_block=int)
        released = self.alice.unreserveinputs(funded["psbt"], 1000)["reservations"]
        same("released", [entry["reserved"] for entry in released], [False] * len(released))
        kept = self.alice.reserveinputs(funded["psbt"])["reservations"]
        same("kept", [entry["reserved"] for entry in kept], [True] * len(kept))
        refused(-32602, self.alice, "reserveinputs", [funded["psbt"]])
        signed = self.alice.signpsbt(funded["psbt"])
        shape("signpsbt", signed, signed_psbt=str)
        sent = self.alice.sendpsbt(signed["signed_psbt"])
        shape("sendpsbt", sent, tx=str, txid=str)
        refused(-32602, self.alice, "signpsbt", ["nonsense"])
        self.mine()

    def connections(self):
        peer = self.alice.connect(self.ids[1], "127.0.0.1", self.ports[1])
        shape("connect", peer, id=str, features=str, direction=str, address=dict)
        shape("connect: address", peer["address"], type=str, address=str, port=int)
        same("disconnect", self.alice.disconnect(self.ids[1]), {})
        refused(-1, self.alice, "disconnect", [self.ids[1]])
        peer = self.alice.connect(f"{self.ids[1]}@127.0.0.1:{self.ports[1]}")
        same("connect", (peer["id"], peer["direction"]), (self.ids[1], "out"))
        self.bob.connect(self.ids[2], "127.0.0.1", self.ports[2])
        listed = self.alice.listpeers(self.ids[1])["peers"][0]
        shape("listpeers", listed, id=str, connected=bool, num_channels=int, netaddr=list, features=str)
        same("listpeers", self.alice.listpeers(self.ids[2])["peers"], [])
        same("ping", self.alice.ping(self.ids[1], 10, 20)["totlen"], 24)
        refused(400, self.alice, "connect", [self.ids[2]])
        refused(401, self.alice, "connect", {"id": self.ids[2], "host": "127.0.0.1", "port": 1})

    def settled(self, rpc):
        """Are all channels in use, and has each peer said what it asks?"""
        return all(channel["state"] == "CHANNELD_NORMAL" and "remote" in channel["updates"]
                   for channel in rpc.listpeerchannels()["channels"])

    def channels(self):
        for rpc, peer in ((self.alice, self.ids[1]), (self.bob, self.ids[2])):
            opened = rpc.fundchannel(peer, 1_000_000, push_msat=100_000_000)
            shape("fundchannel", opened, tx=str, txid=str, outnum=int, channel_id=str, channel_type=dict)
            shape("channel_type", opened["channel_type"], bits=list, names=list)
        refused(301, self.alice, "fundchannel", [self.ids[1], 16_000_000_000])
        wait_for("the openings to be seen", lambda: len(self.bob.listpeerchannels()["channels"]) == 2)
        self.mine(6)
        for rpc in self.nodes:
            wait_for("the channels", lambda rpc=rpc: self.settled(rpc))
        channel = self.alice.listpeerchannels(self.ids[1])["channels"][0]
        shape("listpeerchannels", channel, peer_id=str, peer_connected=bool, state=str, channel_id=str,
              short_channel_id=str, alias=dict, channel_type=dict, private=bool, opener=str, funding_txid=str,
              funding_outnum=int, to_us_msat=int, total_msat=int, spendable_msat=int, receivable_msat=int,
              fee_base_msat=int, fee_proportional_millionths=int, their_reserve_msat=int, our_reserve_msat=int,
              minimum_htlc_in_msat=int, minimum_htlc_out_msat=int, maximum_htlc_out_msat=int, updates=dict,
              htlcs=list, status=list, feerate=dict, direction=int)
        same("to_us", channel["to_us_msat"], 900_000_000)
        funds = self.alice.listfunds()["channels"][0]
        shape("listfunds", funds, peer_id=str, connected=bool, state=str, channel_id=str, short_channel_id=str,
              our_amount_msat=int, amount_msat=int, funding_txid=str, funding_output=int)
        scid = channel["short_channel_id"]
        for half in self.alice.listchannels(scid)["channels"]:
            shape("listchannels", half, source=str, destination=str, short_channel_id=str, direction=int, public=bool,
                  amount_msat=int, message_flags=int, channel_flags=int, active=bool, last_update=int,
                  base_fee_millisatoshi=int, fee_per_millionth=int, delay=int, htlc_minimum_msat=int,
                  htlc_maximum_msat=int, features=str)
        same("listchannels", len(self.alice.listchannels(source=self.ids[0])["channels"]), 1)
        refused(-32602, self.alice, "listchannels", [scid, self.ids[0]])
        shape("listnodes", self.alice.listnodes(self.ids[1])["nodes"][0], nodeid=str)
        changed = self.bob.setchannel(self.ids[2], 2000, 100)["channels"][0]
        shape("setchannel", changed, peer_id=str, channel_id=str, short_channel_id=str, fee_base_msat=int,
              fee_proportional_millionths=int, minimum_htlc_out_msat=int, maximum_htlc_out_msat=int)
        same("setchannel", (changed["fee_base_msat"], changed["fee_proportional_millionths"]), (2000, 100))
        wait_for("carol to see the fee", lambda: self.carol.listpeerchannels()["channels"][0]["updates"]["remote"][
            "fee_base_msat"] == 2000)

    def invoices(self):
        preimage = "11" * 32
        made = self.bob.invoice(10_000, "one", "a thing", 3600, None, preimage)
        shape("invoice", made, bolt11=str, payment_hash=str, payment_secret=str, expires_at=int, created_index=int)
        same("hash", made["payment_hash"], hashlib.sha256(bytes.fromhex(preimage)).hexdigest())
        refused(900, self.bob, "invoice", [1, "one", "again"])
        refused(901, self.bob, "invoice", {"amount_msat": 1, "label": "x", "description": "", "preimage": preimage})
        listed = self.bob.listinvoices("one")["invoices"][0]
        shape("listinvoices", listed, label=str, description=str, payment_hash=str, status=str, expires_at=int,
              amount_msat=int, bolt11=str, created_index=int)
        same("listinvoices", self.bob.listinvoices("none")["invoices"], [])
        same("by hash", self.bob.listinvoices(payment_hash=made["payment_hash"])["invoices"], [listed])
        decoded = self.alice.decode(made["bolt11"])
        shape("decode", decoded, type=str, valid=bool, currency=str, created_at=int, expiry=int, payee=str,
              amount_msat=int, payment_hash=str, signature=str, description=str, min_final_cltv_expiry=int,
              payment_secret=str, features=str)
        same("decodepay", self.alice.call("decodepay", {"bolt11": made["bolt11"]})["payee"], self.ids[1])
        refused(-32602, self.alice, "decode", ["nonsense"])
        refused(905, self.bob, "waitinvoice", ["none"])
        refused(905, self.bob, "delinvoice", ["none", "unpaid"])
        error = refused(906, self.bob, "delinvoice", ["one", "paid"])
        shape("delinvoice", error.get("data", {}), current_status=str, expected_status=str)
        self.bob.invoice("any", "gone", "deleted")
        same("delinvoice", self.bob.delinvoice("gone", "unpaid")["label"], "gone")
        refused(904, self.bob, "waitanyinvoice", [0, 0])

        one, anyone = Later(self.bob, "waitinvoice", ["one"]), Later(self.bob, "waitanyinvoice", [0])
        paid = self.alice.pay(made["bolt11"])
        shape("pay", paid, payment_preimage=str, payment_hash=str, destination=str, created_at=NUMBER, parts=int,
              amount_msat=int, amount_sent_msat=int, status=str)
        same("pay", (paid["payment_preimage"], paid["status"]), (preimage, "complete"))
        for answer in (one.result(), anyone.result()):
            shape("waitinvoice", answer, label=str, status=str, pay_index=int, amount_received_msat=int, paid_at=int,
                  payment_preimage=str)
        again = self.bob.waitanyinvoice(0, 5)
        same("waitanyinvoice", (again["label"], again["pay_index"]), ("one", 1))

    def payments(self):
        self.carol.invoice(20_000_000, "two", "a walk")
        bolt11 = self.carol.listinvoices("two")["invoices"][0]["bolt11"]
        same("routes", len(self.alice.decode(bolt11).get("routes", [])), 1)
        # By position with null, as BTCPay Server does.
        paid = self.alice.call("xpay", [bolt11, None, 1_000_000])
        shape("xpay", paid, payment_preimage=str, failed_parts=int, successful_parts=int, amount_msat=int,
              amount_sent_msat=int)
        same("xpay", paid["amount_sent_msat"], 20_000_000 + 2000 + 2000)
        pays = self.alice.listpays()
        same("first member", next(iter(pays)), "pays")
        for pay in pays["pays"]:
            shape("listpays", pay, payment_hash=str, status=str, destination=str, created_at=int, completed_at=int,
                  bolt11=str, amount_msat=int, amount_sent_msat=int, preimage=str)
        same("listpays", len(self.alice.listpays(bolt11)["pays"]), 1)
        forward = wait_for("the forward", lambda: self.bob.listforwards("settled")["forwards"])[0]
        shape("listforwards", forward, created_index=int, in_channel=str, in_htlc_id=int, in_msat=int, status=str,
              received_time=NUMBER, resolved_time=NUMBER, out_channel=str, out_msat=int, fee_msat=int, style=str)
        same("fee", forward["fee_msat"], 4000)
        self.carol.invoice(1_000, "late", "expired", 1)
        late = self.carol.listinvoices("late")["invoices"][0]
        wait_for("expiry", lambda: self.carol.listinvoices("late")["invoices"][0]["status"] == "expired")
        refused(207, self.alice, "pay", [late["bolt11"]])
        refused(903, self.carol, "waitinvoice", ["late"])
        same("delinvoice", self.carol.delinvoice("late", "expired")["status"], "expired")
        refused(-32602, self.alice, "pay", ["nonsense"])
        open_amount = self.carol.invoice("any", "open", "as you like")["bolt11"]
        refused(-32602, self.alice, "pay", {"bolt11": open_amount})
        refused(206, self.alice, "pay", {"bolt11": open_amount, "amount_msat": 1_000_000, "maxfee": 1})

    def holds(self):
        preimage = "22" * 32
        payment_hash = hashlib.sha256(bytes.fromhex(preimage)).hexdigest()
        ask = {"amount_msat": 10_000, "label": "held", "description": "a thing", "payment_hash": payment_hash}
        made = self.bob.call("holdinvoice", ask)
        shape("holdinvoice", made, bolt11=str, payment_hash=str, payment_secret=str, expires_at=int, created_index=int)
        same("holdinvoice", made["payment_hash"], payment_hash)
        refused(901, self.bob, "holdinvoice", {**ask, "label": "again"})
        refused(-32602, self.bob, "holdinvoice", {**ask, "label": "short", "payment_hash": "33" * 32, "cltv": 10})
        refused(906, self.bob, "settleholdinvoice", [preimage])
        refused(905, self.bob, "settleholdinvoice", ["33" * 32])
        pay, wait = Later(self.alice, "pay", [made["bolt11"]]), Later(self.bob, "waitinvoice", ["held"])
        status = lambda label: self.bob.listinvoices(label)["invoices"][0]
        held = wait_for("the payment to be held", lambda: status("held")["status"] == "accepted" and status("held"))
        shape("listinvoices: held", held, amount_received_msat=int, accepted_at=int, settle_before_height=int)
        refused(906, self.bob, "delinvoice", ["held", "unpaid"])
        for _ in range(2):
            paid = self.bob.call("settleholdinvoice", [preimage])
            same("settleholdinvoice", (paid["status"], paid["payment_preimage"]), ("paid", preimage))
        same("waitinvoice: held", wait.result()["status"], "paid")
        same("pay: held", pay.result()["payment_preimage"], preimage)
        refused(906, self.bob, "cancelholdinvoice", [payment_hash])

        given = "44" * 32
        made = self.bob.call("holdinvoice", ["any", "back", "goes back", given])
        pay = Later(self.alice, "pay", {"bolt11": made["bolt11"], "amount_msat": 5_000})
        wait_for("the payment to be held", lambda: status("back")["status"] == "accepted")
        for _ in range(2):
            same("cancelholdinvoice", self.bob.call("cancelholdinvoice", [given])["status"], "cancelled")
        same("pay: cancelled", pay.result().get("code"), 203)
        refused(903, self.bob, "waitinvoice", ["back"])
        same("delinvoice: cancelled", self.bob.delinvoice("back", "cancelled")["label"], "back")

    def parts(self):
        made = self.bob.invoice(30_000, "part", "a part")
        channel = self.alice.listpeerchannels(self.ids[1])["channels"][0]["short_channel_id"]
        route = [{"id": self.ids[1], "channel": channel, "amount_msat": 30_000, "delay": 30, "style": "tlv"}]
        sent = self.alice.sendpay(route, made["payment_hash"], payment_secret=made["payment_secret"],
                                  bolt11=made["bolt11"])
        shape("sendpay", sent, id=int, payment_hash=str, status=str, amount_msat=int, amount_sent_msat=int,
              created_at=int, message=str)
        done = self.alice.waitsendpay(made["payment_hash"], PATIENCE_S)
        shape("waitsendpay", done, id=int, groupid=int, payment_hash=str, status=str, payment_preimage=str)
        part = self.alice.listsendpays(payment_hash=made["payment_hash"])["payments"][0]
        shape("listsendpays", part, id=int, groupid=int, payment_hash=str, status=str, amount_msat=int,
              amount_sent_msat=int, created_at=int, bolt11=str, payment_preimage=str)
        refused(208, self.alice, "waitsendpay", ["00" * 32, 1])
        unknown = "77" * 32
        self.alice.sendpay(route, unknown, payment_secret="88" * 32)
        data = refused(203, self.alice, "waitsendpay", {"payment_hash": unknown}).get("data", {})
        shape("waitsendpay: error", data, erring_index=int, failcode=int, failcodename=str, erring_node=str)

        made = self.bob.invoice(40_000, "onion", "an onion")
        tlv = bytes([2, 2]) + (40_000).to_bytes(2, "big")
        expiry = self.alice.getinfo()["blockheight"] + 30
        tlv += bytes([4, 1, expiry]) if expiry < 256 else bytes([4, 2]) + expiry.to_bytes(2, "big")
        secret = bytes.fromhex(made["payment_secret"]) + (40_000).to_bytes(2, "big")
        tlv += bytes([8, len(secret)]) + secret
        hops = [{"pubkey": self.ids[1], "payload": (bytes([len(tlv)]) + tlv).hex()}]
        onion = self.alice.createonion(hops, made["payment_hash"])
        shape("createonion", onion, onion=str, shared_secrets=list)
        first = {"id": self.ids[1], "amount_msat": 40_000, "delay": 30}
        sent = self.alice.sendonion(onion["onion"], first, made["payment_hash"],
                                    shared_secrets=onion["shared_secrets"])
        shape("sendonion", sent, id=int, payment_hash=str, status=str, created_at=int)
        same("sendonion", self.alice.waitsendpay(made["payment_hash"], PATIENCE_S)["status"], "complete")

    def endings(self):
        closed = self.alice.close(self.ids[1], 30)
        shape("close", closed, type=str, tx=str, txid=str, txs=list, txids=list)
        same("close", closed["type"], "mutual")
        refused(-32602, self.alice, "close", ["99x1x0"])
        wait_for("the closing", lambda: closed["txid"] in self.chain.call("getrawmempool"))
        self.mine(101)
        ended = wait_for("the channel to be forgotten", self.alice_closed)
        shape("listclosedchannels", ended, peer_id=str, channel_id=str, short_channel_id=str, opener=str,
              private=bool, total_msat=int, final_to_us_msat=int, funding_txid=str, funding_outnum=int,
              close_cause=str)
        refused(-1, self.bob, "disconnect", [self.ids[2]])
        same("disconnect", self.bob.disconnect(self.ids[2], True), {})

    def alice_closed(self):
        closed = self.alice.listclosedchannels()["closedchannels"]
        return closed and closed[0]

    def stop(self):
        same("stop", self.carol.stop(), "Shutdown complete")


def main():
    url, cookie, *rest = sys.argv[1:]
    drive = Drive(url, cookie, list(zip(rest[::2], rest[1::2])))
    steps = ["node", "wallet", "psbts", "connections", "channels", "invoices", "payments", "holds", "parts", "endings",
             "stop"]
    for step in steps:
        before = time.monotonic()
        try:
            getattr(drive, step)()
        except Exception:  # Whatever it was, it is told, and the other steps are run.
            failures.append(f"{step}: {traceback.format_exc()}")
        print(f"{step}: {time.monotonic() - before:.1f} s", flush=True)
    for failure in failures:
        print("WRONG", failure)
    sys.exit(1 if failures else 0)


main()
