"""What this machine and its processes are: clocks, cores, identities, the root, the code that runs."""
