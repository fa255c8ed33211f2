# A payment comes in several parts over two channels of the same peer, and the receiver's store is slower than the
# network. All parts are claimed or none, and neither channel may be stuck afterwards.
title several parts of one payment, and a store that is slower than the network
nodes alice bob
under_test bob
channel alice bob 100000sat
channel alice bob 100000sat
channel alice bob 100000sat
slow_store bob 700ms
pay tea alice bob 200000sat
wait 20s
expect paid tea
expect said alice bob update_add_htlc 3+
pay cake bob alice 150000sat
wait 30s
expect paid cake
expect holds bob alice 0
always usable alice bob 3
always said bob alice error 0
