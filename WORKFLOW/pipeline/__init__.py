"""The pipeline of one symbol and mode: its phases in one process, and as jobs on lanes of the swarm."""
