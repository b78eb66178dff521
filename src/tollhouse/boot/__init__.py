"""Puts the world together: configuration, logs, wiring."""
