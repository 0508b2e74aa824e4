"""The Bloom engine: iteration-level batching, a paged cache with shared prefixes, and 8-bit arithmetic made for CPUs.

`docs/explanation/engine.md` says how it works. Everything here may import torch; nothing else in the enclave may.
"""
