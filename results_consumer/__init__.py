"""The reader: finds a ticket's answers in the bucket, verifies all that is bound to them, and opens them.

The order is always the same: `job` fetches and checks the manifest and its pages, `coverage` sees what is there by
names alone, `keyring` asks KMS once a keyset, `reveal` takes the candidates of a chunk and lets `verify` decide on
each, and `fetch` writes what stood the test. `errors.Check` is the numbered plan of everything that is verified.
"""
