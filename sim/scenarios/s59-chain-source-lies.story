# Bob's chain source goes back, stands still, goes away and names absurd fees. He stays up, keeps his channels, and
# catches up by himself when it has come to its senses.
title a chain source that lies and stalls
nodes alice bob carol
under_test bob
heights_matter
channel alice bob 1000000sat push 500000sat
channel bob carol 1000000sat push 500000sat
feerate bob 0
pay one alice carol 10000sat
wait 5s
feerate bob 1000000
pay two carol alice 10000sat
wait 5s
expect paid one
expect paid two
# The height goes back, as in a reindex, and comes again.
reindex bob 3
wait 2s
pay three alice carol 10000sat
wait 5s
mine 1
wait 5s
expect in_step bob
expect paid three
# It goes away for a while, and blocks come late.
chain_down bob
lag_chain bob 20s
mine 5
pay four alice carol 10000sat
wait 5s
chain_up bob
wait 1min
expect in_step bob
lag_chain bob 0s
feerate bob 253
pay five alice carol 10000sat
wait 10s
expect paid five
always usable alice bob 1
always usable bob carol 1
