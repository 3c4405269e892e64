#!/bin/sh
# The tests of whatever asks OpenAI under each version of the openai package that is supported: the oldest, the last of 2.x, the newest.
# Makes throw-away environments; needs a package index. Run from the root of the checkout.
set -eu
versions=${*:-"1.99.9 2.54.0 newest"}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for version in $versions; do
  case $version in newest) wanted='openai<4' ;; *) wanted="openai==$version" ;; esac
  "${PYTHON:-python3}" -m venv "$folder/$version"
  "$folder/$version/bin/python" -m pip install --quiet --disable-pip-version-check \
    "$wanted" 'pydantic>=2.8,<3' 'regex>=2024.5' 'rich>=13.7' 'typer>=0.16' 'numpy>=2' hypothesis pytest
  "$folder/$version/bin/python" -c 'import openai; print("openai", openai.__version__)'
  PYTHONPATH=. "$folder/$version/bin/python" -m pytest -q -p no:cacheprovider \
    tests/annotate/test_transport.py tests/annotate/test_openai_annotator.py tests/annotate/test_scheduler.py \
    tests/annotate/test_batch.py tests/annotate/test_batch_lines.py
done
