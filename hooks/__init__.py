"""Gates: they judge records and return a verdict; they never measure, launch or end anything."""
