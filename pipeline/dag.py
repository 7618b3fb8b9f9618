"""python -m pipeline.dag: the stages as a graph in Mermaid, a box a dataset, the items of a matrix as one.

`dvc dag` shows each item by itself, more than a screen holds.
"""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline import dvc_stages, params
from pipeline.datasets import DATASETS

# Every other stage has its own fingerprint of code from it.
CODE = "code"
Node = tuple[str, str]
"""The dataset, empty of what belongs to none, and the stage's name in dvc.yaml."""


@dataclass(frozen=True)
class Graph:
    """items: how many stages of DVC a node stands for; arrows: from what makes to what uses."""

    items: Counter[Node]
    arrows: frozenset[tuple[Node, Node]]

    def after(self, node: Node) -> set[Node]:
        """What follows from a node."""
        users = {user for maker, user in self.arrows if maker == node}
        return users.union(*map(self.after, users))

    def needed(self) -> list[tuple[Node, Node]]:
        """The arrows without those that follow from others, sorted."""
        return sorted(
            (maker, user)
            for maker, user in self.arrows
            if not any(user in self.after(between) for between in self.after(maker))
        )


def graph(root: Path = Path(".")) -> Graph:
    """The stages of a workspace and what each needs, as DVC sees them; raises ValueError where it sees none."""
    known = dvc_stages.arguments(params.load(root / "params.yaml"))
    command = [sys.executable, "-m", "dvc", "dag", "--dot"]
    asked = subprocess.run(command, cwd=root, capture_output=True, text=True)
    if asked.returncode:
        raise ValueError(f"`dvc dag` failed: {' '.join(asked.stderr.split())}")
    pairs = re.findall(r'^"(.+)" -> "(.+)";$', asked.stdout, re.MULTILINE)
    stages = sorted({stage for pair in pairs for stage in pair})
    arrows = ((_node(maker, known), _node(user, known)) for maker, user in pairs)
    return Graph(
        Counter(_node(stage, known) for stage in stages),
        frozenset((maker, user) for maker, user in arrows if CODE not in (maker[1], user[1])),
    )


def _node(stage: str, known: dict[str, tuple[str, ...]]) -> Node:
    """Of train_sweep@mpii-sg_hrnet_small-5-0: mpii and train_sweep."""
    arguments = dict.fromkeys(known.get(stage, ()))
    named = (word.removeprefix("--dataset=") for word in arguments)
    return next((word for word in named if word in DATASETS), ""), stage.partition("@")[0]


def mermaid(stages: Graph) -> Iterator[str]:
    """The graph's lines."""
    yield "flowchart LR"
    yield f'  {CODE}["{CODE}: checks params.yaml, fingerprints code"]'
    for dataset in sorted({dataset for dataset, _ in stages.items} - {""}):
        yield f'  subgraph {dataset}["{DATASETS[dataset].TITLE}"]'
        yield from (f"    {line}" for line in _boxes(stages, dataset))
        yield "  end"
    yield from (f"  {line}" for line in _boxes(stages, ""))
    yield from (f"  {_id(maker)} --> {_id(user)}" for maker, user in stages.needed())
    yield from (
        f"  {CODE} -.-> {_id(node)}" for node in sorted(stages.items) if node[1].startswith("download")
    )


def _boxes(stages: Graph, dataset: str) -> Iterator[str]:
    for node, items in sorted(stages.items.items()):
        if node[0] == dataset and node[1] != CODE:
            label = node[1] if items == 1 else f"{node[1]} x {items}"
            yield f'{_id(node)}["{label}"]'


def _id(node: Node) -> str:
    return "_".join(filter(None, node))


if __name__ == "__main__":
    try:
        print("\n".join(mermaid(graph())))
    except ValueError as error:
        sys.exit(str(error))
