"""What both sides of a trust boundary must agree on, byte for byte.

Code is admitted here only if two programs that do not trust each other must agree on it. The package is part of the
enclave's trusted computing base, so it imports the standard library, msgpack, cryptography and cbor2, and no more.
Every parser takes bytes and returns values or raises a `wire.errors.WireError`; only `wire.stream` touches sockets.
The specification with test vectors is `docs/reference/wire.md`.
"""
