# A peer's add that nobody had signed yet went with the connection; the onion that was to be passed on stayed in memory.
title the onion of an add that never was
seed 17
wire messages
latency 24ms
jitter 4ms
nodes n0 n1 n2 n3 n4 n5 n6 n7
channel n1 n0 1795000sat push 258480000msat
channel n1 n2 1265000sat push 98670000msat
channel n3 n0 727000sat push 561971000msat
channel n7 n4 673000sat push 361401000msat
channel n4 n1 924000sat push 470316000msat
channel n6 n3 1850000sat push 296000000msat
route p287 n1 n6 8794162msat
perhaps n0 n1 update_fulfill_htlc 2 before cut
wait 37ms
route p292 n7 n0 8284986msat
wait 249ms
route p295 n0 n4 2552548msat
wait 175ms
