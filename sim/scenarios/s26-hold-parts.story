# A hold invoice is paid in parts, by two. Only when both are there does Carol hold the payment, and from then on
# patience has no end. Blocks pass, so that after a restart no part would be accepted any more if it were judged anew.
title a payment in parts is held as a whole and settled as a whole
nodes alice bob carol
under_test carol
option carol mpp_timeout_s 60
channel alice carol 1000000sat push 500000sat
channel bob carol 1000000sat push 500000sat
hold_invoice tea carol 20000sat expiry 1h cltv 60
pay_invoice tea alice part 15000sat
wait 5s
expect status tea unpaid
settle tea
pay_invoice tea bob part 5000sat
wait 5s
expect status tea accepted
mine 10
wait 2min
crash carol
wait 20s
expect status tea accepted
expect holds alice carol 1
expect holds bob carol 1
settle tea
wait 5s
expect status tea paid
expect paid tea
expect gains alice -15000000
expect gains bob -5000000
expect gains carol 20000000
always usable alice carol 1
always usable bob carol 1
