"""The first process of an enclave: mounts, modules, entropy, the worker, and the end."""
