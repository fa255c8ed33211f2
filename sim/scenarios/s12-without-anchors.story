# Without anchors the feerate follows the estimates all the way, and each HTLC with an output makes the commitment dearer.
# Alice, who opened the channel, is nearly at her reserve. Bob and she add HTLCs at the same moment as she raises the
# feerate. Every commitment must be payable, nobody may be refused what was promised, and the channel must still drain
# towards Bob. What could be lost: a channel that nobody can use or close.
title concurrent adds and update_fee at the reserve of an opener without anchors
nodes alice bob
under_test alice
option alice static_remotekey 1
channel alice bob 200000sat push 180000sat
# Alice spends what she may.
pay one alice bob 10000sat
wait 5s
stall alice bob 400ms
pay two alice bob 4000sat
pay three bob alice 50000sat
pay four bob alice 40000sat
feerate alice 4000
wait 10s
stall alice bob 400ms
feerate alice 400
pay five bob alice 3000sat
pay six alice bob 60000sat
wait 20s
# It still drains towards the side that did not open it.
pay seven alice bob 15000sat
wait 20s
expect paid one
expect paid three
expect paid seven
always usable alice bob 1
always said alice bob error 0
always said bob alice error 0
always said alice bob warning 0
always said bob alice warning 0
