"""The commands that start, watch and stop the swarm."""
