"""The demo shop: a merchant in one file, and its page. It knows the gateway by its API only."""
