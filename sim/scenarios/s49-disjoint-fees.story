# Four channels between the same two are closed at once, by both, and the feerates that suit the one do not suit the
# other. Nobody goes on chain for that and the connection stays, so that a fifth channel goes on; and when the operator
# of one of them thinks better of it, all four end together.
title closing feerates that do not meet, and then do
nodes alice bob carol
under_test bob
channel alice bob 100000sat push 50000sat
channel alice bob 110000sat push 50000sat
channel bob alice 120000sat push 50000sat
channel bob alice 130000sat push 50000sat
channel carol bob 500000sat push 200000sat
wait 2s
close alice bob between 253 500
close bob alice between 2000 3000
wait 20s
expect channels alice bob sig_exchange 4
expect channels bob alice sig_exchange 4
expect says bob no closing fee suits both
expect cuts bob alice 0
expect cuts alice bob 0
# Blocks come, and each makes the openers ask again.
mine 2
wait 5s
expect channels bob alice sig_exchange 4
expect said alice bob closing_signed 12
cut alice bob
wait 20s
expect channels alice bob sig_exchange 4
pay tea carol bob 1000sat
wait 2s
expect paid tea
close bob alice between 253 3000
mine 1
wait 10s
expect channels alice bob closing_complete 4
expect channels bob alice closing_complete 4
expect said bob alice error 0
expect said alice bob error 0
mine 1
wait 5s
expect channels alice bob onchain 4
