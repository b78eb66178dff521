"""Tollhouse: a self-hosted payment gateway."""
