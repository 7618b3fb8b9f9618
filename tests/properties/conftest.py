"""Properties are tested on the same drawn cases every time; a case that fails is made as small as it goes."""

from hypothesis import settings

settings.register_profile("project", derandomize=True, deadline=None, max_examples=60, database=None)
settings.load_profile("project")
