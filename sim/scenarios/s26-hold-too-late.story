# Nobody settles. Before the HTLCs' end gets so near that Carol would have to go on chain for them, she gives them back,
# whole, though only one part of them is near it; and a word that comes too late, or at a height that may be old, is
# refused, without the preimage having left.
title nobody settles in time, and what is held goes back
nodes alice bob carol
under_test carol
heights_matter
channel alice carol 1000000sat push 500000sat
channel bob carol 1000000sat push 500000sat
hold_invoice tea carol 20000sat expiry 1h cltv 40
pay_invoice tea alice part 15000sat
wait 5s
mine 4
pay_invoice tea bob part 5000sat
wait 5s
expect status tea accepted
mine 15
wait 5s
expect status tea accepted
# Her backend is away: she cannot know how late it is.
chain_down carol
mine 1
settle tea
expect says carol newest blocks
expect status tea accepted
expect holds alice carol 1
chain_up carol
wait 5s
# Alice's part had 43 blocks, and with 18 left both go back.
mine 6
wait 5s
expect status tea cancelled
settle tea
expect status tea cancelled
expect holds alice carol 0
expect holds bob carol 0
expect failed tea
expect gains carol 0
always usable alice carol 1
always usable bob carol 1
