"""The plan: seeds that decide a claim, and what they cost."""

import json
from dataclasses import replace

import numpy as np
import pytest

from pipeline import plan
from pipeline.datasets import DATASETS
from pipeline.metrics.bootstrap import Replicates, Seeds, Student
from pipeline.report import claims
from pipeline.report.claims import effort
from pipeline.report.claims.power import MOST_SEEDS, Evidence, Need, need
from pipeline.report.claims.rules import Verdict
from pipeline.report.results import Results
from tests.report.synthetic import PAPER


def difference(spread: float, images: float, count: int = 3) -> Replicates:
    draws = np.random.default_rng(0).standard_normal(1000) * images
    return Replicates(draws, {name: Seeds(f, count, spread**2, 0.0) for name, f in (("a", 1), ("b", -1))})


def test_hrnets_public_spread_needs_four_to_six_seeds_for_0_3_points():
    needs = [need([Evidence(difference(spread, 0.0), 0.3)]).these_images for spread in (0.1, 0.125, 0.15)]
    assert needs == [4, 4, 6]


def test_leads_that_must_all_hold_need_more_seeds_than_each_alone():
    one, three = (need([Evidence(difference(0.3, 0.1), 0.5)] * count) for count in (1, 3))
    assert three.these_images > one.these_images and three.new_images > one.new_images
    # The chances of missing one add up.
    assert 1 - three.reach == pytest.approx(3 * (1 - one.reach))


@pytest.mark.parametrize("leads", [1, 2, 3])
def test_as_many_seeds_as_planned_decide_all_leads_in_80_percent(leads):
    rng, planned = np.random.default_rng(0), need([Evidence(difference(0.3, 0.0), 0.5)] * leads).these_images
    found = []
    for _ in range(2000):
        ours = 0.5 + 0.3 * rng.standard_normal(planned)
        seeds = [Seeds(1, planned, ours.var(ddof=1), 0.0)]
        above = []
        for _ in range(leads):
            theirs = 0.3 * rng.standard_normal(planned)
            both = [*seeds, Seeds(-1, planned, theirs.var(ddof=1), 0.0)]
            above.append(Student.of(ours.mean() - theirs.mean(), 0.0, both).interval()[0] > 0)
        found.append(all(above))
    assert 0.79 < np.mean(found) < 0.9


def test_where_images_are_too_few_no_number_of_seeds_decides():
    needed = need([Evidence(difference(0.1, 0.3), 0.3)])
    assert needed.new_images is None and needed.these_images == 4 and 0.1 < needed.reach < 0.25
    assert need([]) is None and need([Evidence(difference(0.1, 0.3), 0.0)]) is None


def test_one_seed_tells_of_no_spread_so_that_one_is_assumed():
    one = Replicates(np.zeros(100), {name: Seeds(f, 1, np.nan, np.nan) for name, f in (("a", 1), ("b", -1))})
    needed = need([Evidence(one, 0.3)])
    assert needed.assumed and needed.these_images == 6


def measured(root, benchmark, machine, rows, **facts):
    folder = root / "benchmarks" / "results"
    folder.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine, "rows": rows} | facts
    (folder / f"{benchmark}-{machine.lower().replace(' ', '-')}.json").write_text(json.dumps(content))


def step(rate, **changes):
    row = {"network": "sg_hrnet_w32", "batch": 32, "precision": "bfloat16", "deterministic": False}
    return row | {"images_per_second": rate} | changes


def test_the_plan_counts_trainings_and_their_hours_at_a_measured_rate(tmp_path, results):
    made = results(tmp_path, source="official", full_size=True, **PAPER | {"seeds": [0, 1]})
    p = made.params
    own = {"precision": p.train.precision, "deterministic": p.train.deterministic}
    rows = [step(rate, batch=p.train.batch_size, **own) for rate in (50.0, 100.0)]
    measured(tmp_path, "training", "A CPU", rows, device="cpu", input_size=[256, 192])
    rates = effort.measured_rates(made)
    assert rates == {"A CPU": 100.0}
    gain = next(claim for claim in claims.judge(Results(p, tmp_path)) if claim.number == 1)
    planned = effort.of(made, gain, rates)
    seeds = planned.need.new_images or planned.need.these_images
    assert gain.configurations == ["mpii/sg_hrnet_w32-r5", "mpii/hrnet_w32"]
    assert planned.trainings == (None if seeds is None else 2 * (seeds - 2))
    people = p.data.demo.train_people
    assert planned.hours["A CPU"] == pytest.approx((planned.trainings or 0) * 210 * people / 100 / 3600)
    said = plan.table(made, rates)
    assert "hours, A CPU" in said and "preliminary: supported" in said
    (tmp_path / "benchmarks" / "results" / "training-a-cpu.json").write_text("[]")
    with pytest.raises(ValueError, match=r"training-a-cpu\.json"):
        effort.measured_rates(made)


def test_a_side_that_has_more_seeds_needs_fewer_further_ones(results):
    lists = {"seeds": [0, 1], "more_seeds": [2, 3], "ablations": ["no_seg_loss"], "datasets": ["mpii"]}
    made = results(source="official", full_size=True, **PAPER | lists | {"radius_only": []})
    found = claims.judge(made)
    # The second is told by the seeds that both have.
    accuracy = next(claim for claim in found if claim.number == 9)
    faster = next(claim for claim in found if claim.number == 12 and "faster" in claim.part)
    assert len(faster.runs.split()) == 4
    for claim in (accuracy, faster):
        assert claim.configurations == ["mpii/sg_hrnet_w32-r5", "mpii/no_seg_loss-r5"]
        evidence = (Evidence(difference(0.3, 0.0), 0.5),)
        planned = effort.of(made, replace(claim, verdict=Verdict.INCONCLUSIVE, evidence=evidence), {})
        seeds = planned.need.new_images
        assert seeds and seeds > 4 and planned.trainings == (seeds - 4) + (seeds - 2)


def test_only_rates_of_trainings_like_these_count(tmp_path, results):
    made = results(tmp_path, **PAPER)
    p = made.params
    fitting = {
        "batch": p.train.batch_size,
        "precision": p.train.precision,
        "deterministic": p.train.deterministic,
    }
    others = [
        step(900.0, **fitting | {"network": "hrnet_w32"}),
        step(900.0, **fitting | {"batch": 256}),
        step(900.0, **fitting | {"precision": "TF32"}),
        step(900.0, **fitting | {"deterministic": not p.train.deterministic}),
    ]
    measured(tmp_path, "training", "Small", [step(900.0, **fitting)], device="cpu", input_size=[128, 96])
    measured(tmp_path, "training", "GPU", [step(900.0, **fitting)], device="cuda", input_size=[256, 192])
    measured(tmp_path, "training", "Others", others, device="cpu", input_size=[256, 192])
    assert effort.measured_rates(made) == {}
    assert effort.command(made) == (
        "python -m benchmarks.training --device cpu --networks sg_hrnet_w32 --size 256 192 "
        f"--batch {p.train.batch_size}"
    )
    # With loaders and all where that was measured, whatever the batch.
    rows = [*others, step(70.0, **fitting)]
    measured(tmp_path, "training", "CPU", rows, device="cpu", input_size=[256, 192])
    facts = {"input_size": [256, 192], "precision": p.train.precision}
    assert effort.measured_rates(made) == {"CPU": 70.0}
    measured(tmp_path, "loop", "CPU", [{"network": "sg_hrnet_w32", "batch": 10, "loop": 60.0}], **facts)
    assert effort.measured_rates(made) == {"CPU": 60.0}


def test_each_training_counts_the_people_of_its_own_dataset(tmp_path, results):
    made = results(
        tmp_path, source="official", full_size=True, **PAPER | {"seeds": [0, 1], "data__source": "official"}
    )
    claim = next(claim for claim in claims.judge(made) if claim.number == 6)
    planned = effort.of(made, claim, {"A CPU": 100.0})
    assert planned.trainings and planned.trainings % 4 == 0
    people = planned.trainings // 2 * (DATASETS["mpii"].PEOPLE[0] + DATASETS["coco"].PEOPLE[0])
    assert planned.hours["A CPU"] == pytest.approx(people * 210 / 100 / 3600)


def spoken(new, these, assumed=False, trainings=None, **hours) -> str:
    return effort.Effort(Need(new, these, 0.31, assumed), trainings, hours).words


def test_what_a_claim_needs_is_a_sentence():
    assert spoken(5, 4, trainings=6, a_GPU=1234.5) == (
        "If true as claimed, 5 seeds a side decide it at 80% power (4 on these images), "
        "6 further trainings (1,234.5 hours on a_GPU)."
    )
    assert spoken(5, None, assumed=True) == (
        "If true as claimed, 5 seeds a side decide it at 80% power (more on these images); "
        "the spread over seeds is assumed."
    )
    assert spoken(None, 7, trainings=8) == (
        f"Even if true as claimed, on new images {MOST_SEEDS} seeds a side do not decide it (power with any number: "
        "31%); on these images 7 do at 80% power, 8 further trainings."
    )
    assert spoken(None, None) == f"Even if true as claimed, {MOST_SEEDS} seeds a side do not decide it."


def test_of_what_has_no_claimed_size_the_sentence_says_that_it_is_the_measured_one():
    measured_one = Need(5, None, 0.9, False, measured=True)
    assert effort.Effort(measured_one, None, {}).words.startswith("If as large as measured, 5 seeds")
    none = Need(None, None, 0.1, False, measured=True)
    assert effort.Effort(none, None, {}).words.startswith("Even if as large as measured, 50 seeds")
    evidence = Evidence(difference(0.3, 0.0), 0.5, measured=True)
    assert need([evidence]).measured and not need([Evidence(difference(0.3, 0.0), 0.5)]).measured


def test_without_a_rate_the_sentence_has_the_command_that_measures_it():
    said = effort.Effort(Need(5, 4, 0.9, False), 6, {}, "python -m benchmarks.training --device cpu").words
    assert said.endswith(
        "6 further trainings (no rate measured: `python -m benchmarks.training --device cpu` measures it)."
    )


def test_the_command_prints_the_plan_at_the_rate_given(tmp_path, results, monkeypatch, capsys):
    results(tmp_path, source="official", full_size=True, **PAPER | {"seeds": [0, 1]})
    monkeypatch.chdir(tmp_path)

    def said(*arguments: str) -> str:
        monkeypatch.setattr("sys.argv", ["plan", *arguments])
        plan.main()
        return capsys.readouterr().out

    assert (
        "No rate measured: give --images-per-second, or run `python -m benchmarks.training --device" in said()
    )
    given = said("--images-per-second", "100")
    assert "hours, at the rate given" in given and "No rate measured" not in given
    assert "Seeds of each side for 80% power" in given
    for arguments, problem in ((["--images-per-second", "0"], "must be above 0"), ([], "params.yaml")):
        if not arguments:
            (tmp_path / "params.yaml").write_text("profile: demo\n")
        with pytest.raises(SystemExit) as ended:
            said(*arguments)
        assert ended.value.code and problem in capsys.readouterr().err
