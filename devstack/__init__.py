"""The embedded stack: stand-ins for AWS and the NSM that do the real cryptography under a root of their own.

Nothing outside this package knows that it exists: the programs meet it by endpoint URL, address and attestor.
"""
