"""The enclave's program: sealed questions in, sealed answers out.

With `wire` this is the trusted computing base, so its third-party imports are the model stack, msgpack, cryptography
and cbor2, and a test keeps it so. It has no network, no clock that it trusts, no credentials and no file that it
writes. Nothing that the parent says changes how it is set up; nothing but sealed objects and closed codes leaves it.
"""
