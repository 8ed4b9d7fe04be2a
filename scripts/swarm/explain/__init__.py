"""Say why a worker ended, a job waits or a GPU is idle: the chain of evidence, from the records alone."""
