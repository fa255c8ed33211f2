# Both dial each other at the same moment, again and again, while HTLCs are under way. One connection stays, the same
# one at both ends, and the channel comes to life on it.
title both ends dial at the same moment
nodes alice bob
under_test bob
channel alice bob 1000000sat push 500000sat
cut alice bob
connect alice bob
connect bob alice
wait 5s
expect connections alice bob 1
expect usable alice bob 1
pay one alice bob 10000sat
wait 15ms
cut alice bob
connect bob alice
connect alice bob
wait 20s
expect connections alice bob 1
expect usable bob alice 1
cut alice bob
connect bob alice
wait 3ms
connect alice bob
wait 5s
expect connections alice bob 1
pay two bob alice 10000sat
wait 5s
expect paid two
expect holds alice bob 0
