"""What the gateway does: one file a thing. Flows await the ports of their `World` and import nothing that waits."""
