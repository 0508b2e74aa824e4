"""Measures the engine against its peers. For the source tree: no part of what is installed."""
