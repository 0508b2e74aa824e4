"""Other kernels than this machine's own, without root and without installing anything."""
