# A connection stood still and was pinged; the peer came back on a new one, and that was cut for want of the old pong.
title a new connection owes no old pong
seed 71
wire messages
latency 30ms
jitter 0ms
nodes n0 n1 n2 n3 n4 n5 n6 n7
channel n0 n1 1736000sat push 831544000msat
channel n1 n7 861000sat push 346983000msat
channel n1 n6 1688000sat push 167112000msat
wait 19839ms
stall n1 n6 19022ms
wait 6075ms
pay p291 n0 n7 402145msat
wait 98ms
pay p294 n0 n7 634670msat
crash n1 after_commit 4
wait 204ms
