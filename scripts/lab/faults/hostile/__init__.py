"""Attacks on a running swarm, by whoever shares its machine, its folders or its data: `--faults --hostile`."""
