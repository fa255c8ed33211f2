# And if Alice does not answer? Then Bob waits one block, and not more: he goes on chain while there is still time to
# claim the HTLC with the preimage.
title the preimage comes at the deadline, and the peer upstream is silent
nodes alice bob carol
closes_allowed
bad alice
option bob cltv_expiry_delta 18
channel alice bob 1000000sat push 500000sat
channel bob carol 1000000sat push 500000sat
when carol bob update_fulfill_htlc 1 after stall 30s
pay tea alice carol 20000sat
wait 1s
halt carol
mine 26
part alice bob
wait 25s
mine 1
wait 3s
start carol
connect bob carol
wait 20s
expect channels bob alice normal 1
expect usable bob carol 1
mine 1
wait 1s
expect channels bob alice normal 0
