# The mempools that Bob and Alice know of are full, and Alice's estimates have not heard of it: what she would pay at
# most, they do not take. When her estimates follow, the close ends without anybody's help.
title an estimator behind a full mempool, and a close that waits for it
nodes alice bob
under_test alice
channel alice bob 1000000sat push 500000sat
wait 2s
mempool_minimum 5000
wait 2s
close bob alice between 20000 30000
wait 10s
expect channels alice bob sig_exchange 1
feerate alice 12000
wait 5s
expect channels alice bob closing_complete 1
expect channels bob alice closing_complete 1
always said alice bob error 0
mine 1
wait 5s
expect channels alice bob onchain 1
