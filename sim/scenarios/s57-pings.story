# Pings of all sizes in great numbers, pongs that nobody asked for and pongs that do not come while other messages do.
# A peer that is busy is alive, and stays connected; payments go on meanwhile.
title ping storms, odd pings, and withheld pongs
nodes mallory bob
bad mallory
under_test bob
channel mallory bob 1000000sat push 500000sat
pay one mallory bob 10000sat
say mallory bob ping 0 0
say mallory bob ping 1 65000
say mallory bob ping 65531 0
wait 2s
expect said bob mallory pong 3
# BOLT 1: these are not to be answered.
say mallory bob ping 65532 0
say mallory bob ping 65535 0
say mallory bob pong 0
say mallory bob pong 100
wait 2s
expect said bob mallory pong 3
expect paid one
# Pongs are withheld, and other words come: the connection lives.
when mallory bob pong 1 before drop
wait 62s
pay two mallory bob 10000sat
wait 50s
expect paid two
always cuts bob mallory 0
always connections bob mallory 1
