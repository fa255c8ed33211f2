# A part of a payment is on a channel that goes on chain, and the rest comes: to take it would give the preimage away for less.
title a part on chain is no part
seed 5
nodes alice bob carol
closes_allowed
bad alice
channel alice bob 1000000sat
channel carol bob 1000000sat
invoice tea bob 20000sat expiry 1h
pay_invoice tea alice part 10000sat
wait 2s
halt alice
close bob alice alone_after 1s
wait 5s
pay_invoice tea carol part 10000sat
wait 5s
expect channels bob alice normal 0
wait 2min
expect gains bob 0
