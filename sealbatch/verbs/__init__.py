"""One verb of the command a file. Bodies are thin; heavy imports are made inside them, so that help comes at once."""
