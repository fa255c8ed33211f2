# HTLCs of equal amount and equal expiry but different hashes stand in the same commitment, while the feerate changes
# and some of them go. Both ends must put the outputs into the same order, or the signatures do not fit.
title HTLCs that are equal but for their hash, and a new feerate in the same commitment
nodes alice bob carol
under_test bob
option carol mpp_timeout_s 120
channel alice bob 1000000sat push 500000sat
channel bob carol 1000000sat push 500000sat
half one alice carol 50000sat
half two alice carol 50000sat
half three alice carol 50000sat
half four carol alice 50000sat
half five carol alice 50000sat
wait 3s
expect holds alice bob 5
expect holds carol bob 5
stall alice bob 300ms
pay six alice carol 25000sat
pay seven alice carol 25000sat
feerate alice 1200
feerate bob 1300
wait 10s
expect paid six
expect paid seven
expect channel_feerate bob alice 1200
expect channel_feerate bob carol 1300
wait 3min
expect holds alice bob 0
expect failed one
expect failed five
always usable alice bob 1
always usable bob carol 1
