# Bob and Mallory have closed their channel together, and it is in a block. Mallory forgets that, and reestablishes.
# Bob tells her again what was agreed or that it is over; he publishes nothing else.
title channel_reestablish for a channel that is closed
nodes mallory bob
bad mallory
under_test bob
channel mallory bob 1000000sat push 500000sat
close bob mallory
wait 10s
mine 3
expect channels bob mallory normal 0
cut mallory bob
connect mallory bob
wait 5s
again mallory bob channel_reestablish
say mallory bob channel_reestablish own 1 0
wait 5s
expect said bob mallory error 1+
mine 3
