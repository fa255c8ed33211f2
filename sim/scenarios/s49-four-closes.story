# Four channels between the same two are closed at the same moment, by both, while the ends have quite different ideas
# of fees; the connection is lost in the middle. All of them end together, none on chain by one side's wish.
title four mutual closes at once, by both sides, with different ideas of fees
nodes alice bob
under_test bob
channel alice bob 100000sat push 50000sat
channel alice bob 110000sat push 50000sat
channel bob alice 120000sat push 50000sat
channel bob alice 130000sat push 50000sat
feerate alice 5000
feerate bob 253
wait 2s
close alice bob
close bob alice
wait 40ms
cut alice bob
wait 20s
expect channels alice bob closing_complete 4
expect channels bob alice closing_complete 4
always said bob alice error 0
always said alice bob error 0
mine 3
wait 5s
expect channels alice bob normal 0
expect channels bob alice normal 0
