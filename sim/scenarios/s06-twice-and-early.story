# Some peers say channel_reestablish twice, or channel_ready and updates before it. The first two harm nobody. For an
# update that comes too early a new start of the connection is enough. None of these is a reason to go on chain.
title duplicate and early messages
nodes mallory bob
bad mallory
under_test bob
channel mallory bob 1000000sat push 500000sat
# channel_reestablish twice.
when mallory bob channel_reestablish 1 before twice
cut mallory bob
wait 5s
expect usable bob mallory 1
pay one mallory bob 1000sat
wait 3s
expect paid one
# channel_ready before channel_reestablish.
when mallory bob channel_reestablish 1 before ahead channel_ready
cut mallory bob
wait 5s
expect usable bob mallory 1
# An old update before channel_reestablish: Bob warns and starts anew, and the next connection is fine.
when mallory bob channel_reestablish 1 before ahead update_add_htlc
cut mallory bob
wait 10s
expect said bob mallory warning 1
expect usable bob mallory 1
pay two bob mallory 1000sat
wait 3s
expect paid two
always said bob mallory error 0
always channels bob mallory normal 1
