"""Stages of DVC side by side, on this machine or as jobs of Slurm: `make repro JOBS=2`, `make repro CLUSTER=slurm`.

DVC's own graph says what waits for what, and Parsl runs it: each stage as soon as its own upstream is done. DVC itself
stays in one process (`workspace.py`), which decides whether a stage is to run, and records what it wrote; only the
command of a stage runs elsewhere (`command.py`).
Not one `dvc repro --single-item` for each: with 400 stages in dvc.lock, which DVC rewrites whole, each takes over a
second of computing; and on several nodes each DVC would take the locks of the others for dead.
"""
