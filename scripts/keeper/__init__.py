"""The keeper: it restarts the swarm after the death of tmux, of all loops, or of the machine."""
