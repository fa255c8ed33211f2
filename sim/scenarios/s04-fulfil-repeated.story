# Carol's update_fulfill_htlc has arrived, her commitment_signed has not, and the connection is lost. She fulfils once
# more after the reconnection. Bob must use the preimage once: a second settlement upstream, or a stall, costs money.
title a fulfil is repeated after a reconnection
nodes alice bob carol
under_test bob
channel alice bob 1000000sat push 500000sat
channel bob carol 1000000sat push 500000sat
when carol bob update_fulfill_htlc 1 after cut
pay tea alice carol 20000sat
wait 30s
expect paid tea
expect said bob alice update_fulfill_htlc 1
expect said carol bob update_fulfill_htlc 2
expect holds bob carol 0
always usable alice bob 1
always usable bob carol 1
