# Fees that do not suit both, and nobody gives in. Bob's operator has said how long he waits, and then closes alone.
title closing feerates that never meet, and patience that ends
nodes alice bob
under_test bob
channel alice bob 1000000sat push 500000sat
channel bob alice 1000000sat push 500000sat
close alice bob between 253 500
close bob alice between 2000 3000 alone_after 30s
wait 20s
expect channels bob alice sig_exchange 2
expect said bob alice warning 1+
wait 20s
expect channels bob alice awaiting_unilateral 2
mine 1
wait 5s
expect channels bob alice onchain 2
expect channels alice bob onchain 2
