# A new feerate turns HTLCs that had outputs into dust, more of it than Bob wants to bear. The channel stays, what is
# there runs its course, new dust is failed, and the connection is not ended: it would come back with the same fee.
title update_fee pushes HTLCs into dust beyond the exposure
nodes alice bob carol
under_test bob
option alice static_remotekey 1
option bob dust_exposure_msat 5000000
option alice dust_exposure_msat 500000000
option carol mpp_timeout_s 60
channel alice bob 1000000sat push 500000sat
channel bob carol 1000000sat push 500000sat
half one alice carol 3800sat
half two alice carol 3800sat
half three alice carol 3800sat
half four alice carol 3800sat
wait 3s
expect holds bob alice 4
feerate alice 5000
wait 3s
expect channel_feerate bob alice 5000
# One more piece of dust is too much, and fails; what is no dust goes through.
route five alice carol 600sat
pay six alice carol 30000sat
wait 5s
expect failed five
expect paid six
expect holds bob alice 4
feerate alice 300
wait 3s
route seven alice carol 600sat
wait 5s
expect paid seven
always cuts bob alice 0
always cuts alice bob 0
always usable alice bob 1
