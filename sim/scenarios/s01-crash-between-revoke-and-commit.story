# Bob fulfils an HTLC. He has answered Alice's commitment with revoke_and_ack, and his process ends before his own
# commitment_signed is out. After the restart both ends must name the right numbers in channel_reestablish, and Bob
# must sign again. If he loses count, the channel goes on chain, and with it the fees of two transactions.
title a crash between revoke_and_ack and commitment_signed while an HTLC is fulfilled
nodes alice bob carol
under_test bob
channel alice bob 1000000sat push 500000sat
channel bob carol 1000000sat push 500000sat
when bob alice revoke_and_ack 1 after crash_sender
when bob alice commitment_signed 2 before crash_sender
pay tea alice bob 20000sat
wait 5s
pay cake alice carol 30000sat
wait 30s
always usable alice bob 1
always usable bob carol 1
expect paid tea
expect paid cake
expect holds bob alice 0
always said bob alice error 0
