"""Turn a dataset's labels into the tables of people, and check every image that they need."""

from pipeline import params, paths
from pipeline.datasets.prepare import prepare as prepare_people
from stages import main


def prepare(dataset: str) -> None:
    p = params.load()
    prepare_people(dataset, p.data, p.input.size, paths.project_root(), paths.people(dataset))


if __name__ == "__main__":
    main(prepare)
