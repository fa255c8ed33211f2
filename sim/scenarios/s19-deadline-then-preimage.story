# The same moment in the other order: Bob takes in the deadline block, and then, in the same turn, the preimage. He still
# fulfils to Alice first, and she answers before the next block.
title the preimage and the deadline block in the same turn, the block first
nodes alice bob carol
under_test bob
# Where Bob crashes, Carol may have to go on chain: her own deadline is over.
closes_allowed
option bob cltv_expiry_delta 18
channel alice bob 1000000sat push 500000sat
channel bob carol 1000000sat push 500000sat
when carol bob update_fulfill_htlc 1 after stall 30s
pay tea alice carol 20000sat
wait 1s
halt carol
mine 26
expect holds bob carol 1
wait 22200ms
slow_store bob 5s
pay other bob alice 1000sat
wait 600ms
mine 1
wait 6s
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
