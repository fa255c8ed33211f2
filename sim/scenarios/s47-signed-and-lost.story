# Bob's funding_signed never arrives. Alice has not published anything and forgets the opening; Bob, who knows nothing
# of that, keeps a channel that will never be funded. Neither is in the way of the next opening.
title funding_signed is lost, and a second opening follows
nodes alice bob
under_test bob
channel alice bob 100000sat push 50000sat
when bob alice funding_signed 1 before cut
open alice bob 220000sat
wait 3s
open alice bob 270000sat
wait 5s
mine 3
wait 10s
expect usable alice bob 2
pay one alice bob 200000sat
wait 5s
expect paid one
