"""The keeper: brings the swarm back after the death of tmux, of all loops, or of the machine."""
