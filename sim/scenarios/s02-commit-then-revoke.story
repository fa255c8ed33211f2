# The mirror of the case before: Bob signs an add of his own, and only then answers Alice's commitment; so his
# commitment_signed went out before his revoke_and_ack, and neither arrives. The order in which he said them is written
# down and must survive his restart.
title commitment_signed and then revoke_and_ack are lost, and the one who said them restarts
latency 100ms
nodes alice bob
under_test bob
channel alice bob 1000000sat push 500000sat
pay pie alice bob 30000sat
wait 50ms
pay cake bob alice 10000sat
wait 60ms
# Bob's signature is on its way for 60 ms, and his answer to Alice for 10.
expect said bob alice commitment_signed 1
expect said bob alice revoke_and_ack 1
expect order bob alice commitment_signed revoke_and_ack
cut alice bob
crash bob
wait 20s
expect order bob alice commitment_signed revoke_and_ack
expect paid cake
expect paid pie
always usable alice bob 1
always said bob alice error 0
always said alice bob error 0
