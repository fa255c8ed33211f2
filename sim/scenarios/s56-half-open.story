# Alice has lost the connection and Bob does not know. She dials again, and the new connection must take the place of
# the one that Bob takes for alive, with the HTLC that was under way intact.
title a stale connection that one end takes for alive
nodes alice bob
under_test bob
channel alice bob 1000000sat push 500000sat
pay one alice bob 10000sat
wait 15ms
vanish alice bob
wait 20s
expect connections alice bob 1
expect usable bob alice 1
expect holds bob alice 0
pay two alice bob 20000sat
wait 5s
expect paid two
# The other way round: Bob has lost it, and Alice, who dials him, does not know. She asks, and notices.
vanish bob alice
wait 90s
expect connections alice bob 1
pay three bob alice 5000sat
wait 5s
expect paid three
