"""Describe this machine and its processes: clocks, cores, identities, the root, and the code that runs."""
