# An add, its signature and a second add are all lost, and then the peer restarts. It reports an older number, and
# whatever it lacks is said again. Nothing was signed twice, so nothing is at risk, and nobody may close.
title an add, a signature and a second add are all undelivered, and the peer restarts
nodes alice bob
under_test alice
channel alice bob 1000000sat push 500000sat
stall alice bob 20s
pay tea alice bob 20000sat
pay cake alice bob 30000sat
wait 2s
crash bob
wait 30s
expect paid tea
# The second add was never signed: it may have been dropped with the connection, and then its payer was told.
always usable alice bob 1
always said alice bob error 0
