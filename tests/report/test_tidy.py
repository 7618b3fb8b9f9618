"""CSV for programs: `pandas.read_csv` without options finds a column's numbers, and nothing else in it."""

import pandas as pd
import pytest

from pipeline.report import claims, paper, tables
from pipeline.report.tables import forms
from tests.report.synthetic import NETWORKS

FACTS = ("radius", "input_height", "input_width", "params", "gflops", "gmacs", "seeds")
CLAIMS = (
    "claim", "reported", "reported_against", "claimed", "measured", "against", "difference", "low", "high",
    "low_these_images", "high_these_images", "p", "p_holm", "seeds",
)  # fmt: skip


@pytest.fixture(scope="module")
def outcome(results):
    """All datasets, with detected boxes for none, several seeds and ablations."""
    return results(
        datasets=["mpii", "coco", "lspet"],
        radius_sweep=["mpii", "lspet"],
        ablations=["no_seg_loss"],
        seeds=[0, 1],
        **NETWORKS,
    )


def _read(text: str, tmp_path) -> pd.DataFrame:
    path = tmp_path / "table.csv"
    path.write_text(text)
    return pd.read_csv(path)


def _is_tidy(frame: pd.DataFrame, numeric) -> None:
    for name in frame:
        if name in numeric:
            assert pd.api.types.is_numeric_dtype(frame[name]), name
        else:
            words = frame[name].dropna()
            assert all(isinstance(word, str) and word not in ("-", "not available") for word in words), name


def test_every_column_of_the_tables_holds_numbers_or_words(outcome, tmp_path):
    for table in tables.make(outcome):
        frame = _read(forms.to_csv(table), tmp_path)
        metrics = [f"{metric}{end}" for metric in table.metrics for end in ("", "_low", "_high", "_sd")]
        ends = ("", "_low", "_high", "_low_these_images", "_high_these_images")
        changes = [f"difference{end}" for end in ends] if table.gain else []
        assert {*FACTS, *metrics, *changes} <= set(frame)
        _is_tidy(frame, {*FACTS, *metrics, *changes})
    table1 = _read(forms.to_csv(tables.make(outcome)[0]), tmp_path)
    assert table1.params.notna().all() and table1.params[0] == 28_500_000 and table1.params[1] == 28_536_113


def test_every_column_of_the_claims_holds_numbers_or_words(outcome, tmp_path):
    judged = claims.judge(outcome)
    frame = _read(claims.to_csv(judged), tmp_path)
    _is_tidy(frame, CLAIMS)
    gain = frame[(frame.claim == 1) & (frame.dataset == "mpii")].iloc[0]
    assert (gain.reported, gain.reported_against, gain.claimed) == (90.6, 90.3, 0.3)
    assert gain.measured - gain.against == pytest.approx(gain.difference, abs=2e-4)
    assert frame[frame.part == "parameters"].difference.tolist() == [37_124]
    assert frame.reported_text.notna().all()


def test_every_column_of_what_the_paper_reports_holds_numbers_or_words():
    for path in paper.FOLDER.glob("*.csv"):
        frame = pd.read_csv(path)
        sheet = paper.sheets().get(path.stem)
        metrics = list(sheet.lines[0].values) if sheet else []
        _is_tidy(frame, {*FACTS, *metrics, "claim", "claimed"})
