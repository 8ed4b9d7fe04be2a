"""What every test has: a place for Hypothesis outside the top level, and no deadlines on a busy machine."""

import os
from pathlib import Path

os.environ.setdefault(
    "HYPOTHESIS_STORAGE_DIRECTORY", str(Path(__file__).resolve().parent.parent / "state" / ".cache" / "hypothesis")
)

from hypothesis import settings

# The first example may compile a kernel; a test's time limit is the whole run's.
settings.register_profile("checkout", deadline=None, print_blob=True)
settings.load_profile("checkout")
