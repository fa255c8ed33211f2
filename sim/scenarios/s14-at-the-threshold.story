# HTLCs one satoshi below, exactly at, and one above the amount from which they have an output, with different dust
# limits at both ends. With anchors HTLC transactions cost no fee, so the threshold is the dust limit of the
# commitment's owner. Both ends must leave out the same ones.
title HTLCs at the trim threshold
nodes alice bob
under_test bob
option alice dust_limit_sat 354
option bob dust_limit_sat 546
option bob mpp_timeout_s 60
option alice mpp_timeout_s 60
channel alice bob 1000000sat push 500000sat
half a353 alice bob 706sat
half a354 alice bob 708sat
half a355 alice bob 710sat
half a545 alice bob 1090sat
half a546 alice bob 1092sat
half a547 alice bob 1094sat
half b353 bob alice 706sat
half b354 bob alice 708sat
half b355 bob alice 710sat
half b545 bob alice 1090sat
half b546 bob alice 1092sat
half b547 bob alice 1094sat
wait 3s
expect holds alice bob 12
feerate alice 2500
wait 2s
pay more alice bob 546sat
pay less bob alice 354sat
wait 3s
expect paid more
expect paid less
expect channel_feerate bob alice 2500
feerate alice 253
wait 3min
expect holds alice bob 0
always said alice bob error 0
always said bob alice error 0
always usable alice bob 1
