"""What people type to start, watch and stop the swarm."""
