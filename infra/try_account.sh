#!/bin/sh
# One small run on a real account of a cloud, for less than one US dollar: doctor, a run of two machines, and a look that nothing is left.
#
#   infra/try_account.sh PROJECT_FOLDER [CLUSTER]
#
# PROJECT_FOLDER has a swath.yaml with the lines that `pipe setup gcp` or `pipe setup aws` printed, and its image is pushed. The run stops
# itself at 0.90 USD by list prices; it should cost a few cents. It needs an account that is paid for: the tests of this repository run it on
# simulated clouds only. Nobody has recorded a run of it on a real account yet; who does, please add date, cloud and cost to docs/clouds.md.
set -eu
folder=$(cd "${1:?a folder with a swath.yaml}" && pwd)
cluster=${2:-cloud}
work=$(mktemp -d)
cp "$folder/swath.yaml" "$work/swath.yaml"
mkdir "$work/pipelines"
grep -q '^pipelines:' "$work/swath.yaml" || echo 'pipelines: [pipelines]' >> "$work/swath.yaml"
cat > "$work/pipelines/squares.py" <<'PYTHON'
"""Squares of some numbers: next to nothing to compute."""

from swath import Spec, pipeline, task


class Squares(Spec):
    upto: int = 20


@task
def square(number: int) -> int:
    return number * number


@pipeline
def squares(spec: Squares):
    """Square the numbers."""
    return square.map(range(spec.upto))
PYTHON
cat > "$work/spec.yaml" <<YAML
pipeline: squares
cluster: $cluster
budget: 0.90 USD
YAML
cd "$work"
export SWATH_TRUST="$work" SWATH_HOME="$work/state"
echo "state and logs are in $work"
pipe doctor spec.yaml
pipe run spec.yaml --timeout 30m && code=0 || code=$?
pipe runs show last
pipe sweep # exit code 7, or a list, where a machine is left: `pipe sweep --yes` in that folder terminates it
echo "exit code of the run: $code; the line above says whether anything is left"
exit $code
