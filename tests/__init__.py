"""Tests of the pipeline. They compute with what stages compute with, so that bytes can be compared."""

from pipeline import engines

engines.pin_arrays()
engines.pin_torch(deterministic=True)
