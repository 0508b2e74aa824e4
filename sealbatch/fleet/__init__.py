"""Instances and their enclaves: what fits where, how many are needed, and the program that starts them."""
