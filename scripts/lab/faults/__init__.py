"""scripts/bench faults: break a real swarm, one thing after the other, and time how it heals."""
