# Bob's backend has lost the newest blocks, or pruned them away. He says so, pays and forwards on, and catches up by
# himself when it has them again: among them a giant one, which is four megabytes of one witness.
title blocks that the backend does not have, and a giant one
nodes alice bob carol
under_test bob
channel alice bob 1000000sat push 500000sat
channel bob carol 1000000sat push 500000sat
expect content bob
chain_lacks bob
mine 2
wait 2s
expect warned bob
expect says bob pruned
pay one alice carol 10000sat
wait 5s
expect paid one
giant
mine 1
wait 5s
expect warned bob
# A restart does not make it better.
crash bob
wait 20s
expect warned bob
pay two carol alice 10000sat
wait 5s
expect paid two
chain_up bob
wait 5s
expect in_step bob
expect content bob
giant
wait 2s
expect in_step bob
expect in_step alice
pay three alice carol 10000sat
wait 5s
expect paid three
always usable alice bob 1
always usable bob carol 1
