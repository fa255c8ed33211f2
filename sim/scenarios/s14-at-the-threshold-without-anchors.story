# Without anchors an HTLC's output must also pay for its transaction: with a feerate of 1,000 the threshold of an offered
# HTLC is the owner's dust limit and 663 satoshis, that of a received one the limit and 703. Bob's and Alice's
# commitments have different limits, so four amounts are edges. Both ends must leave out the same HTLCs, at the present
# feerate and at one that is on its way, and the opener must be able to pay for it.
title HTLCs at the trim threshold, without anchors, at a present and a pending feerate
nodes alice bob
under_test bob
option alice static_remotekey 1
option alice dust_limit_sat 354
option bob dust_limit_sat 546
channel alice bob 1000000sat push 500000sat
feerate alice 1000
wait 2s
expect channel_feerate bob alice 1000
# 354 + 663, 354 + 703, 546 + 663, 546 + 703.
half a1016 alice bob 2032sat
half a1017 alice bob 2034sat
half a1018 alice bob 2036sat
half a1056 alice bob 2112sat
half a1057 alice bob 2114sat
half a1058 alice bob 2116sat
half a1208 alice bob 2416sat
half a1209 alice bob 2418sat
half a1248 alice bob 2496sat
half a1249 alice bob 2498sat
half b1016 bob alice 2032sat
half b1017 bob alice 2034sat
half b1056 bob alice 2112sat
half b1057 bob alice 2114sat
half b1208 bob alice 2416sat
half b1209 bob alice 2418sat
half b1248 bob alice 2496sat
half b1249 bob alice 2498sat
wait 3s
expect holds alice bob 18
# The next feerate makes other amounts the edges while these are in the commitments: 2,000 makes 354 + 1,326.
feerate alice 2000
pay c1679 alice bob 1679sat
pay c1680 alice bob 1680sat
pay c1681 alice bob 1681sat
pay d1679 bob alice 1679sat
pay d1680 bob alice 1680sat
pay d1681 bob alice 1681sat
wait 3s
expect channel_feerate bob alice 2000
expect paid c1680
expect paid d1680
feerate alice 253
wait 3min
expect holds alice bob 0
always said alice bob error 0
always said bob alice error 0
always usable alice bob 1
