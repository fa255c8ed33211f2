# Openings, lost connections and second openings in many orders. No opening may be begun twice, no coins may be spent
# twice, and both ends must agree on which channels there are.
title open, reconnect, open again
nodes alice bob
under_test alice
channel alice bob 100000sat push 50000sat
when bob alice accept_channel 1 before cut
open alice bob 200000sat
wait 3s
when alice bob funding_created 1 before cut
open alice bob 210000sat
wait 3s
when bob alice funding_signed 1 after cut
open alice bob 230000sat
wait 3s
mine 3
wait 5s
# Two at once, and the connection is lost while both are under way.
open alice bob 240000sat
open bob alice 250000sat
wait 15ms
cut alice bob
wait 3s
open alice bob 260000sat
wait 5s
mine 3
wait 10s
pay one alice bob 10000sat
wait 5s
expect paid one
expect said alice bob error 0
