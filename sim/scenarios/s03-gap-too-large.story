# Mallory asks for commitments that are long past: more than a retransmission could bring. That may be a peer that has
# lost its data. Bob tells it so by an error and waits for it to close or to come back with its data; he does not go on
# chain himself, because nothing of his is at risk.
title a peer asks for what is too long ago
nodes mallory bob
bad mallory
under_test bob
channel mallory bob 1000000sat push 500000sat
pay one bob mallory 1000sat
wait 2s
pay two bob mallory 1000sat
wait 2s
pay three bob mallory 1000sat
wait 2s
when mallory bob channel_reestablish 1 before drop
cut mallory bob
wait 3s
# Her node must not hear the error, for it would obey it.
when bob mallory error 1 before drop
say mallory bob channel_reestablish own 1 0
wait 2s
expect said bob mallory error 1
expect channels bob mallory normal 1
# It comes back with its data, and all is well.
cut mallory bob
wait 10s
expect usable bob mallory 1
pay four bob mallory 1000sat
wait 5s
expect paid four
