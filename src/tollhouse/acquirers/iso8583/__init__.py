"""The acquirer language of card networks: ISO 8583:1987 over TCP."""
