"""The control plane decides what runs, and acts. It never imports the work plane, numba, numpy, pandas or optuna."""
