"""What must be set before scipy and matplotlib are imported, for the tests and the doctests."""

import os

os.environ.setdefault("SCIPY_ARRAY_API", "1")  # scikit-learn dispatches to array APIs only then
os.environ.setdefault("MPLBACKEND", "Agg")
