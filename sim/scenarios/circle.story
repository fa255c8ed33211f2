# Alice has much with Bob and little with Carol. She pays herself over both, as one does who wants to move what channels
# hold; in the second circle over two channels with the same peer. It costs her what Bob and Carol ask for forwarding.
title a node pays itself over others and back
nodes alice bob carol
under_test alice
channel alice bob 1000000sat push 100000sat
channel bob carol 1000000sat push 500000sat
channel carol alice 1000000sat push 200000sat
channel alice carol 500000sat
circle one alice 300000sat over bob carol
wait 5s
expect paid one
expect gains alice -8000
circle two alice 100000sat over carol
wait 5s
expect paid two
# More than there is on the last channel: it fails there, and nothing is lost.
circle three alice 450000sat over bob carol
wait 5s
expect failed three
expect holds alice bob 0
expect holds carol alice 0
always usable alice bob 1
always usable alice carol 2
