"""Loops that go on by themselves: webhooks out, what is due, what was left behind."""
