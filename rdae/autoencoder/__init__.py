"""The torch half: the autoencoder, its objective, training, and export to a weights file."""

import os

# Spinning OpenMP threads slow a loaded machine down tenfold; this must be set before torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
