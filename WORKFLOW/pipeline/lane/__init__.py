"""The code that runs on a lane of the swarm: one worker does one job."""
