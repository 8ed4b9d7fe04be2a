"""Attacks on a running swarm by others who share its machine, folders or data: `scripts/bench faults --hostile`."""
