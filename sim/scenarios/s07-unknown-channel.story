# Mallory has lost everything, and asks for a channel that Bob has never heard of. He answers with an error that names
# the channel, so that a peer without data can have it closed. His own channels go on.
title channel_reestablish for a channel that nobody knows
nodes mallory bob
bad mallory
under_test bob
channel mallory bob 1000000sat push 500000sat
say mallory bob channel_reestablish unknown 1 0
wait 2s
expect said bob mallory error 1
always usable bob mallory 1
pay one bob mallory 1000sat
wait 3s
expect paid one
