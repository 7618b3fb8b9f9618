"""python tests/report/validator.py FOLDER CONTEXT [SEVERITY]: what roc-validator finds in a folder's crate, offline.

roc-validator wants other versions of packages than this project has, so it runs in an environment of its own, which
`make crate` sets up. CONTEXT: RO-Crate's terms, a file that the package rocrate brings; they stand in for those that
the validator would fetch. SEVERITY: required, or recommended too. Ends with 1 where something required is broken.
"""

import sys
import tempfile
from pathlib import Path

from requests import Response
from rocrate_validator import services
from rocrate_validator.models import Severity, ValidationSettings
from rocrate_validator.utils.http import HttpRequester


def main(folder: str, context: str, severity: str = "required") -> int:
    terms = Response()
    terms.status_code, terms._content = 200, Path(context).read_bytes()
    terms.headers["Content-Type"] = "application/ld+json"
    HttpRequester.get = lambda self, url, **options: terms
    with tempfile.TemporaryDirectory() as cache:
        settings = ValidationSettings(
            rocrate_uri=folder,
            profile_identifier="process-run-crate",
            requirement_severity=Severity[severity.upper()],
            skip_availability_check=True,
            offline=True,
            cache_path=Path(cache) / "http",
        )
        result = services.validate(settings)
    for issue in result.get_issues():
        print(f"{issue.severity.name}: {issue.message} {issue.violatingEntity or ''}")
    broken = [issue for issue in result.get_issues() if issue.severity == Severity.REQUIRED]
    print(f"{folder}: {len(result.executed_checks)} checks, {len(broken)} of what is required broken")
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
