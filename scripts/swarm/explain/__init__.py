"""Why a worker ended, a job waits, a GPU idles: the chain of evidence, from the records alone."""
