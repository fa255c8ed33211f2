# The same, and Bob's channel_ready is lost with the connection: it must be said again before anything else happens.
title channel_ready is lost
nodes alice bob
under_test bob
channel alice bob 100000sat push 50000sat
when bob alice channel_ready 1 before cut
open alice bob 1000000sat push 400000sat
wait 5s
mine 3
wait 10s
expect usable alice bob 2
feerate alice 1700
pay one bob alice 300000sat
wait 10s
expect paid one
expect said bob alice channel_ready 2+
