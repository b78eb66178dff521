"""The sandbox: an acquirer that misbehaves on request and keeps honest books, and 3-D Secure to go with it.

It speaks ISO 8583 over TCP as an acquirer's host does, and EMV 3DS over HTTP as a directory server and an issuer do.
The card's number chooses how it behaves, so that a failing test can be repeated exactly; the books say what it really
approved, captured, refunded and reversed.

| file         | what it holds                                                                      |
|--------------|------------------------------------------------------------------------------------|
| cards.py     | what a card's number asks for: composable numbers and aliases                      |
| asked.py     | one request, read from its fields                                                  |
| proofs.py    | what a charge proves about its payer                                               |
| books.py     | every operation as it stands, found by references and by RRN                       |
| decisions.py | what the acquirer answers, and what it books for that                              |
| journal.py   | the file under the books: appended, synced in groups, read again at start          |
| host.py      | TCP: framing, sign-on, and how an answer travels (promptly, late, twice, never)    |
| http.py      | the app: GET /books and the routes of threeds                                      |
| threeds/     | the directory server and the issuer's access control server                        |
| main.py      | both servers in one loop                                                           |

Not there yet: `later: chargeback` and `later: payout_returned` stand in the books, but nothing is sent for them:
they reach the gateway by a signed callback, which the sandbox learns together with payouts and disputes.
"""
