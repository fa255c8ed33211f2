# Xenia and Yorick share an invoice of Bob's: each pays a part of it. Bob claims both parts in one turn, but Xenia owes
# him a revoke_and_ack, so his fulfil to her waits, and meanwhile he restarts, twice. The preimage must be written for
# both channels before either fulfil leaves: else one part is given away.
title a claim over two channels, one of which waits, and two restarts
nodes xenia yorick bob
under_test bob
channel xenia bob 500000sat push 200000sat
channel yorick bob 500000sat push 200000sat
invoice tea bob 200000sat expiry 1h
pay_invoice tea xenia part 100000sat
wait 5s
expect holds bob xenia 1
# Bob has signed something to Xenia that she does not answer.
when xenia bob revoke_and_ack 1 before stall 6s
pay other bob xenia 1000sat
wait 1s
pay_invoice tea yorick part 100000sat
wait 1s
# Yorick has signed his preimage away; for Xenia's no commitment can be signed yet.
expect holds bob yorick 0
expect holds bob xenia 2
crash bob
wait 1s
crash bob
wait 1min
expect paid tea
expect said bob xenia update_fulfill_htlc 1+
expect holds bob xenia 0
expect holds bob yorick 0
always usable bob xenia 1
always usable bob yorick 1
