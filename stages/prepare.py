"""Turn a dataset's labels into the tables of people, and check every image that they need, where any is there."""

from pipeline import params, paths
from pipeline.datasets import prepare as people
from stages import main


def prepare(dataset: str) -> None:
    p = params.load()
    root, out = paths.project_root(), paths.people(dataset)
    if dataset in p.labels_only:
        if p.data.source == "demo":
            raise ValueError(
                f"labels_only: the demo draws {dataset}'s people with their images, and has no labels apart; set "
                f"data.source: official, or a folder with the official file"
            )
        people.of_labels_alone(dataset, p.data, root, out)
    else:
        people.prepare(dataset, p.data, p.input.size, root, out)


if __name__ == "__main__":
    main(prepare)
