"""The payer's page of 3-D Secure: `door` answers its paths, `page` draws it, `texts` has every word it says.

It keeps nothing in the browser and nothing between requests: what it shows is read from the session each time. The
page works with a script (page.js) and without one; the issuer's frames report back through signal.js.
"""
