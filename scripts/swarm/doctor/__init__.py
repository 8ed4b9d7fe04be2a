"""Find what is wrong with everything around the swarm: cause and fix. It runs beside a broken environment, too."""
