# The mirror of the case before: Bob's commitment_signed went out before his revoke_and_ack, and neither arrived. What
# is written down of the order must survive his restart.
title commitment_signed and then revoke_and_ack are lost, and the one who said them restarts
nodes alice bob
under_test bob
channel alice bob 1000000sat push 500000sat
# Bob's first words do not arrive for a while, so that his add and Alice's cross.
stall alice bob 400ms
pay cake bob alice 10000sat
pay pie alice bob 30000sat
wait 390ms
cut alice bob
crash bob
wait 20s
expect paid cake
expect paid pie
always usable alice bob 1
always said bob alice error 0
always said alice bob error 0
