# Alice sends all that her node says it can send: what is said must be what works. A node that forgets the reserve
# offers more than the peer may accept.
title the whole balance above the reserve, in either direction
nodes alice bob
under_test alice
channel alice bob 200000sat push 100000sat
# 100,000 less the reserve of 2,000, less fees for one more HTLC at twice the feerate and two anchors.
route one alice bob 99000sat
wait 3s
expect failed one
route two alice bob 96000sat
wait 3s
expect paid two
route three alice bob 1800sat
wait 3s
route four bob alice 190000sat
wait 3s
expect paid four
route five bob alice 5000sat
wait 3s
always usable alice bob 1
always said bob alice warning 0
always said alice bob warning 0
