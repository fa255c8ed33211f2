# The operator stops Bob's node while HTLCs are under way in all directions. His peers see a lost connection and nothing
# else: an error would have them close. When he is back, everything goes on.
title the operator stops the node under traffic
nodes alice bob carol
under_test bob
channel alice bob 1000000sat push 500000sat
channel bob carol 1000000sat push 500000sat
pay one alice carol 10000sat
pay two carol alice 10000sat
pay three alice bob 10000sat
wait 65ms
stop bob
wait 10s
expect said bob alice error 0
expect said bob carol error 0
start bob
wait 1min
expect usable alice bob 1
expect usable bob carol 1
pay four alice carol 10000sat
wait 10s
expect paid four
always said bob alice error 0
always said bob carol error 0
always said alice bob error 0
