"""Runs side by side in MLflow, rebuilt from what DVC tracks: each once, whatever a server missed."""
