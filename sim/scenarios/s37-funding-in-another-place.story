# Blocks with the funding are replaced: first it is at once in another place, then it waits in the mempool for a while,
# and once more a channel is not yet deep enough for its use. Payments go on, and routes name the new place.
title reorganisations deeper than a funding
nodes alice bob carol
under_test bob
option alice minimum_depth 3
option bob minimum_depth 3
option carol minimum_depth 3
channel alice bob 1000000sat push 500000sat
channel bob carol 1000000sat push 500000sat
route zero alice carol 50000sat
wait 5s
expect paid zero
reorg 10
wait 5s
expect in_step bob
route one alice carol 50000sat
wait 5s
expect paid one
reorg 12 empty
wait 5s
pay two alice carol 50000sat
wait 5s
expect paid two
mine 1
wait 5s
route three alice carol 50000sat
wait 5s
expect paid three
connect carol alice
wait 1s
open carol alice 400000sat push 100000sat
wait 5s
mine 2
wait 5s
expect channels alice carol awaiting_lockin 1
reorg 2 empty
wait 5s
expect channels alice carol awaiting_lockin 1
mine 3
wait 5s
expect usable alice carol 1
pay four carol alice 50000sat
wait 5s
expect paid four
always usable alice bob 1
always usable bob carol 1
