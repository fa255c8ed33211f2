# Alice's process ends between writing a payment down and sending it, and the invoice expires while she is down. After
# the restart the payment must have ended, one way or the other, and be debited once at most.
title the payer crashes between registering an attempt and sending it, and the invoice expires meanwhile
nodes alice bob
under_test alice
channel alice bob 1000000sat push 500000sat
invoice tea bob 20000sat expiry 30s
when alice bob update_add_htlc 1 before crash_sender
pay_invoice tea alice
wait 5ms
halt alice
wait 1min
start alice
wait 20s
expect failed tea
expect gains alice 0
# Once more, and this time it has been signed, and the answer finds nobody.
invoice cake bob 20000sat expiry 30s
when bob alice update_fulfill_htlc 1 before cut
pay_invoice cake alice
wait 60ms
halt alice
wait 2min
start alice
wait 20s
expect paid cake
expect gains alice -20000000
pay_invoice cake alice
wait 5s
expect gains alice -20000000
# And once more: a payment that waits behind another one was never signed, and dies with the process.
stall alice bob 5s
pay pie alice bob 10000sat
wait 100ms
pay bun alice bob 10000sat
wait 100ms
crash alice
wait 30s
expect paid pie
expect failed bun
always usable alice bob 1
