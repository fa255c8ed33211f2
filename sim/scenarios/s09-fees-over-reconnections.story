# Alice changes the feerate again and again while payments go both ways and the connection comes and goes. Every
# signature must be for the feerate that both ends mean, and only the last one counts in the end.
title update_fee back to back over several reconnections
nodes alice bob
under_test alice
channel alice bob 1000000sat push 500000sat
feerate alice 500
feerate alice 900
pay one bob alice 10000sat
wait 25ms
cut alice bob
feerate alice 1500
wait 2s
pay two alice bob 20000sat
feerate alice 700
pay three bob alice 30000sat
when alice bob update_fee 1 after cut
feerate alice 2400
wait 3s
feerate alice 1800
when bob alice revoke_and_ack 1 before cut
feerate alice 1000
wait 3s
feerate alice 2000
pay four alice bob 5000sat
wait 20s
expect paid four
expect channel_feerate alice bob 2000
expect channel_feerate bob alice 2000
always usable alice bob 1
always said alice bob error 0
always said bob alice error 0
