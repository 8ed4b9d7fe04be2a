"""Find what is wrong around the swarm, with cause and fix. It also runs when the virtual environment is broken."""
