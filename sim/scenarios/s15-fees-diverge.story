# The estimates of both ends differ by a hundred for a long time, and then snap back. With anchors that is no reason to
# close: whoever pays the fee decides it, within reason.
title fee estimators diverge for weeks
nodes alice bob
under_test bob
channel alice bob 1000000sat push 500000sat
channel bob alice 1000000sat push 500000sat
feerate alice 25300
feerate bob 253
pay one alice bob 10000sat
mine 20
pay two bob alice 10000sat
wait 10s
feerate alice 253
feerate bob 25300
mine 20
pay three alice bob 10000sat
wait 10s
expect paid one
expect paid two
expect paid three
feerate alice 1000
feerate bob 1000
wait 5s
expect channel_feerate alice bob 1000
always usable alice bob 2
always said alice bob error 0
always said bob alice error 0
