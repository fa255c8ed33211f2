# Bob is connected through Tor, which restarts while HTLCs are under way, and then stays away for a while. All his
# connections are lost, and calls fail on either side. Nobody dials without end, and when Tor is back there is exactly
# one connection with each peer, whoever was faster, and the HTLCs are where they were.
title a proxy that goes away and comes back
nodes alice bob carol
under_test bob
channel alice bob 1000000sat push 500000sat
channel bob carol 1000000sat push 500000sat
# Whoever dials learns an address: from now on either calls the other.
cut alice bob
connect bob alice
wait 2s
half held alice carol 10000sat
pay one alice carol 20000sat
wait 25ms
proxy_down bob
wait 2s
expect connections alice bob 0
expect connections bob carol 0
proxy_up bob
wait 30s
expect connections alice bob 1
expect connections bob carol 1
expect usable alice bob 1
expect usable bob carol 1
# Now for longer, in the middle of a payment again.
pay two carol alice 15000sat
wait 25ms
proxy_down bob
wait 10min
expect connections alice bob 0
expect connections bob carol 0
expect dials bob alice 1+
expect dials bob alice 30-
expect dials alice bob 30-
proxy_up bob
wait 6min
expect connections alice bob 1
expect connections bob carol 1
expect usable alice bob 1
expect usable bob carol 1
pay three alice carol 30000sat
wait 5s
expect paid one
expect failed held
expect paid three
expect holds alice bob 0
expect holds bob carol 0
