"""Benchmarks: everything running on this machine, measured as a merchant sees it."""
