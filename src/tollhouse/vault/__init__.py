"""The vault: its own schema and keys, and the only code that reveals a PAN or a CVV."""
