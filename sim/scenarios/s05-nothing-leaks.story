# The connection ends while much is on its way. On the next one nothing may come before Bob's channel_reestablish, and
# nothing of what waited for the old connection: his peer would take it for new.
title nothing of the old connection leaks into the new one
nodes alice bob carol
under_test bob
channel alice bob 1000000sat push 500000sat
channel bob carol 1000000sat push 500000sat
pay one alice carol 10000sat
pay three carol alice 10000sat
when bob alice commitment_signed 2 before cut
when bob carol commitment_signed 2 before cut
wait 1s
pay four alice carol 10000sat
pay five carol alice 10000sat
stall bob alice 2s
wait 100ms
cut bob alice
wait 1s
expect order bob alice init channel_reestablish
expect order bob alice channel_reestablish commitment_signed
wait 40s
expect paid one
always usable alice bob 1
always usable bob carol 1
