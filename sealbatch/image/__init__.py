"""Enclave images: what they hold and what they are measured as."""
