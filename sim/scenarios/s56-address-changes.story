# Bob is reached under a new address. His peer learns of it from its operator, and the channel goes on.
title a peer's address changes
nodes alice bob
under_test alice
channel alice bob 1000000sat push 500000sat
half one alice bob 10000sat
wait 1s
move bob
cut alice bob
wait 10s
expect connections alice bob 0
connect alice bob
wait 5s
expect connections alice bob 1
expect usable alice bob 1
# Whatever happened meanwhile, the operator sees to it that she is connected.
connect alice bob
wait 5s
# The new address is kept: she finds him again without help, after a restart too.
crash alice
wait 10s
expect connections alice bob 1
pay two alice bob 10000sat
wait 5s
expect paid two
