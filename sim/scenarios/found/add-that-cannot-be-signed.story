# Carol answers pings and says nothing about channels any more. Bob has added an HTLC that he could not sign, because she
# never revoked what he had signed before. It is in no commitment, so at its expiry he gives it back to Alice instead of
# waiting until she goes on chain for it.
title a peer that answers pings and revokes nothing
nodes alice bob carol
bad carol
under_test bob
channel alice bob 1000000sat push 100000sat
channel bob carol 1000000sat push 100000sat
habit carol holds 100
probe_route one alice carol 20000sat
wait 1s
route two alice carol 20000sat
wait 1s
route three alice carol 20000sat
wait 1s
expect holds bob carol 3
mine 39
wait 1s
expect pending three
mine 2
wait 1s
expect failed three
expect pending two
expect holds alice bob 2
always usable alice bob 1
