# Carol's preimage and the block at which Bob must be done with Alice's HTLC are taken in together, the preimage first.
# Bob fulfils to Alice at once, and since she answers, the channel stays. A node that looks only at the block goes on
# chain for nothing, and one that looks only at its connection to Carol gives the HTLC back and pays for it himself.
title the preimage and the deadline block in the same turn, the preimage first
nodes alice bob carol
under_test bob
# Where Bob crashes, Carol may have to go on chain: her own deadline is over.
closes_allowed
option bob cltv_expiry_delta 18
channel alice bob 1000000sat push 500000sat
channel bob carol 1000000sat push 500000sat
# Carol's HTLC ends in 27 blocks, Alice's in 45, and 18 blocks before that is the deadline.
when carol bob update_fulfill_htlc 1 after stall 30s
pay tea alice carol 20000sat
wait 1s
halt carol
mine 26
expect holds bob carol 1
expect usable bob alice 1
wait 22s
# Bob's store takes its time, and what comes meanwhile is one turn.
slow_store bob 3s
pay other bob alice 1000sat
wait 1200ms
mine 1
wait 3s
slow_store bob 0ms
expect said bob alice update_fulfill_htlc 1
start carol
connect bob carol
wait 20s
expect paid tea
# He has paid 1,000 satoshis, and earned 1,200 msat.
expect gains bob -998800
expect channels bob alice normal 1
always usable bob alice 1
