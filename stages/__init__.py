"""The pipeline's stages, each a script: `python -m stages.<name> [arguments]`."""

import inspect
import sys
from collections.abc import Callable


def main(stage: Callable[..., None]) -> None:
    """Run a stage on the command line's arguments; an error it foresaw ends it with one sentence, code 1."""
    arguments = sys.argv[1:]
    name = inspect.getmodule(stage).__spec__.name
    try:
        inspect.signature(stage).bind(*arguments)
    except TypeError:
        wanted = " ".join(p.upper() for p in inspect.signature(stage).parameters)
        sys.exit(f"usage: python -m {name} {wanted}")
    try:
        stage(*arguments)
    except (ValueError, OSError) as error:
        sys.exit(f"{name}: {error}")
