# A channel has just become deep enough. The opener changes the feerate and pays at the very moment at which
# channel_ready is on its way. The first commitments of both ends must agree.
title update_fee and update_add_htlc race channel_ready
nodes alice bob
under_test bob
option alice minimum_depth 1
option bob minimum_depth 1
channel alice bob 100000sat push 50000sat
open alice bob 1000000sat push 400000sat
wait 5s
stall bob alice 600ms
mine 1
feerate alice 1700
pay one bob alice 300000sat
wait 1s
# And once more, with a feerate and a signature that cross.
stall bob alice 300ms
feerate alice 900
pay two bob alice 20000sat
wait 20s
pay three bob alice 350000sat
wait 10s
expect usable alice bob 2
expect channel_feerate alice bob 900
expect channel_feerate bob alice 900
expect paid three
expect said bob alice error 0
expect said alice bob error 0
