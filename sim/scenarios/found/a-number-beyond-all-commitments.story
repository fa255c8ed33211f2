# Whoever said at a reconnection that he knows the secret of a commitment beyond the last that there can be, ended the node.
title a number that no commitment can have
seed 8
nodes alice bob mallory
bad mallory
channel alice bob 1000000sat push 400000sat
channel bob mallory 1000000sat push 400000sat
when mallory bob channel_reestablish 1 before drop
cut bob mallory
wait 10s
say mallory bob channel_reestablish own 1 18446744073709551615
wait 5s
pay tea alice bob 20000sat
wait 5s
always paid tea
expect channels bob mallory normal 0
