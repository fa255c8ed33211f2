# Mempools are full, and Bob has to close alone, with a commitment that pays less than they take. He says that it was
# refused, stays up, and says it again as soon as the price has fallen; and what he said while his backend was away, as
# soon as it is back.
title a mempool minimum above the commitment
nodes alice bob carol
under_test bob
channel alice bob 1000000sat push 500000sat
channel bob carol 1000000sat push 500000sat
wait 2s
part alice bob
mempool_minimum 5000
close bob alice alone_after 2s
wait 5s
expect says bob refuses
expect channels bob alice awaiting_unilateral 1
mine 2
wait 2s
expect channels bob alice awaiting_unilateral 1
mempool_minimum 253
wait 2s
mine 1
wait 2s
expect channels bob alice onchain 1
# The same with a backend that does not answer.
part bob carol
chain_down bob
close bob carol alone_after 2s
wait 5s
expect says bob could not be broadcast
chain_up bob
wait 2s
mine 1
wait 2s
expect channels bob carol onchain 1
expect content bob
