"""Makes what a release consists of, twice the same."""
