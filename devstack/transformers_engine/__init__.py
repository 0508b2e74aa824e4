"""Models that are no Bloom, on a laptop: transformers behind the enclave's `Engine`, and what ours is compared with."""
