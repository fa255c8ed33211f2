# Alice's HTLC is irrevocable at Bob's, and Bob's process ends before the HTLC that he offers to Carol is written down.
# After the restart it must be forwarded or failed, once. Forgotten, it would lock Alice's money until the chain decides;
# forwarded twice, Bob pays the second time.
title a crash after the incoming HTLC is locked in and before the outgoing one is durable
nodes alice bob carol
under_test bob
channel alice bob 1000000sat push 500000sat
channel bob carol 1000000sat push 500000sat
when alice bob revoke_and_ack 1 after crash_receiver
pay tea alice carol 20000sat
wait 30s
expect said bob carol update_add_htlc 1
when bob carol update_add_htlc 1 before crash_sender
pay cake alice carol 30000sat
wait 30s
when bob carol commitment_signed 1 after crash_sender
pay pie alice carol 40000sat
wait 30s
expect paid tea
expect holds alice bob 0
expect holds bob carol 0
always usable alice bob 1
always usable bob carol 1
