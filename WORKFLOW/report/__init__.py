"""Write results: the artifact tree, the manifest, the table, and the progress of a run."""
