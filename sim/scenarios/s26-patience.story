# The same, and it is patience that ends (BOLT 4 mpp_timeout), though the node restarts meanwhile.
title held parts are given back when patience ends
nodes alice bob
under_test bob
option bob mpp_timeout_s 60
channel alice bob 1000000sat push 500000sat
half one alice bob 20000sat
wait 30s
expect holds alice bob 1
cut alice bob
wait 20s
expect holds alice bob 1
wait 40s
expect holds alice bob 0
expect failed one
always usable alice bob 1
