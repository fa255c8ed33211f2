# Alice wants to know whether so much would arrive at Carol, and pays for a hash that nobody can know. It is Carol who
# must refuse it, and as one who does not know the hash; what Bob cannot forward fails with him.
title probes along a route
nodes alice bob carol
under_test bob
channel alice bob 1000000sat push 200000sat
channel bob carol 1000000sat push 800000sat
probe_route one alice carol 100000sat
probe_route two alice bob 100000sat
wait 5s
expect refused one
expect refused two
expect failed one
probe_route three alice carol 300000sat
wait 5s
expect failed three
expect holds alice bob 0
expect holds bob carol 0
expect gains alice 0
expect gains bob 0
always usable alice bob 1
always usable bob carol 1
