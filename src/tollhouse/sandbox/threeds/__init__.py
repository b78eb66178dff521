"""The sandbox's 3-D Secure: a directory server and an issuer's access control server that misbehave on request.

Both speak EMV 3DS 2.2.0 and 2.3.1 and check what they receive by the tables of `tollhouse.threeds`. The card's number
says what happens (digits a, m, c of cards.py), so that a failing test can be repeated exactly.

| file         | what it holds                                                                          |
|--------------|----------------------------------------------------------------------------------------|
| values.py    | authentication values: made by the issuer, checked by the acquirer                     |
| ranges.py    | the card ranges that take part, what changed since a serial number                     |
| directory.py | the directory server: hands requests and results on, answers with card ranges          |
| issuer.py    | the issuer's first answer                                                              |
| dossiers.py  | what the issuer keeps of an authentication, in memory and without the PAN              |
| challenges.py| the course of a challenge: who says what when, what its end is                         |
| results.py   | the issuer's result on its way, repeated where nobody took it                          |
| courier.py   | HTTP to the 3DS server                                                                 |
| messages.py  | every message that passed, the PAN masked; our Erro                                    |
| timers.py    | how long things may take                                                               |
| pages.py     | what the payer sees, with words.py and page.css                                        |
| forms.py     | the routes a browser uses                                                              |
| routes.py    | the routes a machine uses, and the wiring of it all                                    |
"""
