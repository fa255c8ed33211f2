# Carol's connection is open and says nothing any more. Bob asks her, gives up on the connection in time and dials
# again. What he had not signed to her he fails to Alice, and nothing is added to a link that is dead.
title a peer that is silent
nodes alice bob carol
under_test bob
channel alice bob 1000000sat push 500000sat
channel bob carol 1000000sat push 500000sat
stall bob carol 10min
pay one alice carol 10000sat
pay two alice carol 10000sat
wait 90s
expect cuts bob carol 1
expect said bob carol ping 1
expect said bob carol commitment_signed 1+
wait 30s
expect connections bob carol 1
expect usable bob carol 1
pay three alice carol 10000sat
wait 10s
expect paid three
expect paid one
always usable alice bob 1
