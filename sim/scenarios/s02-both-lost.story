# Bob's revoke_and_ack and his commitment_signed both never arrive. He must say them again in the order in which he said
# them first: in the other order Alice sees a signature for a commitment that she does not have, and closes.
title revoke_and_ack and commitment_signed are both lost
nodes alice bob
under_test bob
channel alice bob 1000000sat push 500000sat
# Alice adds; Bob revokes, then signs. Both are lost with the connection.
when bob alice revoke_and_ack 1 before cut
pay tea alice bob 20000sat
wait 10s
expect paid tea
# And the other order: Bob signs an add of his own while Alice's is on its way, so his commitment_signed goes first.
when bob alice commitment_signed 1 before stall 300ms
when bob alice revoke_and_ack 1 after cut
pay cake bob alice 10000sat
pay pie alice bob 30000sat
wait 20s
expect paid cake
expect paid pie
always usable alice bob 1
