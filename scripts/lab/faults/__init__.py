"""scripts/bench faults: break parts of a real swarm, one after the other, and measure how it heals."""
