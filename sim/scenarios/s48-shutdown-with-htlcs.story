# Bob asks to close while HTLCs are pending in both directions. The connection is lost, then his process restarts; the
# HTLCs are settled and given back, shutdown is said again, and only then the channel is closed, together.
title shutdown with pending HTLCs in both directions, over a reconnection and a restart
nodes alice bob
under_test bob
option alice mpp_timeout_s 60
option bob mpp_timeout_s 60
channel alice bob 1000000sat push 500000sat
half one alice bob 20000sat
half two bob alice 30000sat
wait 3s
expect holds alice bob 2
close bob alice
wait 3s
expect channels bob alice shutting_down 1
cut alice bob
wait 5s
expect said bob alice shutdown 2
expect channels bob alice shutting_down 1
crash bob
wait 2min
expect holds bob alice 0
expect said bob alice shutdown 3
expect channels bob alice closing_complete 1
expect channels alice bob closing_complete 1
always said bob alice error 0
always said alice bob error 0
mine 3
wait 5s
expect channels bob alice normal 0
