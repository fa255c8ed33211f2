# Carol holds payments whose preimage only her shop knows: over the end of their invoices, over a restart and a lost
# connection. She settles one, cancels another, and asking twice does no harm.
title held payments are settled and cancelled, over restarts
nodes alice bob carol
under_test carol
channel alice bob 1000000sat push 500000sat
channel bob carol 1000000sat push 500000sat
hold_invoice tea carol 20000sat expiry 60s cltv 60
hold_invoice cake carol 30000sat expiry 60s cltv 60
expect status tea unpaid
# Nothing is held yet: that cannot be settled, and does no harm.
settle tea
expect says carol is not settled
pay_invoice tea alice
pay_invoice cake alice
wait 5s
expect status tea accepted
expect status cake accepted
expect holds bob carol 2
# The invoices' time is over long since. What has come in time stays.
wait 2min
expect status tea accepted
crash carol
cut bob carol
wait 20s
expect status tea accepted
expect holds bob carol 2
settle tea
settle tea
wait 5s
expect paid tea
expect status tea paid
cancel tea
expect status tea paid
cancel cake
cancel cake
settle cake
wait 5s
expect failed cake
expect status cake cancelled
expect holds alice bob 0
expect gains carol 20000000
always usable alice bob 1
always usable bob carol 1
