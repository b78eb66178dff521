"""How the world is reached: webhooks out (`http`, held back by `guard`) and the link to acquirers (`tcp`, `line`)."""
