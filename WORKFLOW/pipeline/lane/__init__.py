"""What the swarm runs on a lane: one worker, one job."""
