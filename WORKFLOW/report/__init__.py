"""Results out: the artifact tree, the manifest, the table, the progress of a run."""
