"""Benchmarks find what they measure: who moves code moves them along."""

import importlib

import pytest

from tests.conftest import ROOT


@pytest.mark.parametrize("name", sorted(file.stem for file in (ROOT / "benchmarks").glob("*.py")))
def test_a_benchmark_finds_what_it_measures(name):
    importlib.import_module(f"benchmarks.{name}")
