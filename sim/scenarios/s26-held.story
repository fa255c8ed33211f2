# Bob holds parts of payments whose rest never comes: until he loses patience, over restarts, and when blocks run
# towards their expiry. Each is failed in time, so that nobody has to go on chain for it.
title HTLCs that are held, over restarts, and towards their expiry
nodes alice bob carol
under_test carol
heights_matter
option carol mpp_timeout_s 6000
channel alice bob 1000000sat push 500000sat
channel bob carol 1000000sat push 500000sat
half one alice carol 20000sat
half two alice carol 30000sat
wait 5s
expect holds bob carol 2
crash carol
wait 5s
expect holds bob carol 2
# The final hop has 27 blocks; with 12 left it gives back.
mine 10
wait 2s
expect holds bob carol 2
mine 12
wait 10s
expect holds bob carol 0
expect failed one
always usable alice bob 1
always usable bob carol 1
