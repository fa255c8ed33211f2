# While Carol holds a payment one of its channels goes on chain: Alice closes it, who keeps to no rules. What has no HTLC there goes
# back, the preimage is not given away, and the word that comes afterwards is refused.
title a channel goes on chain while a payment is held
nodes alice bob carol
under_test carol
bad alice
channel alice carol 1000000sat push 500000sat
channel bob carol 1000000sat push 500000sat
hold_invoice tea carol 20000sat expiry 1h cltv 60
pay_invoice tea alice part 15000sat
pay_invoice tea bob part 5000sat
wait 5s
expect status tea accepted
halt carol
close alice carol alone_after 2s
wait 5s
start carol
wait 1s
mine 1
wait 10s
expect status tea cancelled
settle tea
expect status tea cancelled
wait 5s
expect holds bob carol 0
expect gains bob 0
always usable bob carol 1
