# The HTLC that is pending while the channel is shut down is fulfilled, after a reconnection. Bob forwards it: the
# preimage must go upstream though that channel is shutting down.
title an HTLC is fulfilled through a channel that is shutting down
nodes alice bob carol
under_test bob
channel alice bob 1000000sat push 500000sat
channel bob carol 1000000sat push 500000sat
when carol bob update_fulfill_htlc 1 before stall 10s
pay tea alice carol 20000sat
wait 2s
close bob alice
close bob carol
wait 2s
expect channels bob alice shutting_down 1
cut alice bob
wait 2s
crash bob
wait 30s
expect paid tea
expect holds bob alice 0
expect channels bob alice normal 0
expect channels bob carol normal 0
always said bob alice error 0
mine 3
wait 5s
