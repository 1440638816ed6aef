"""A Slurm of one machine, made of the four commands that submitit calls."""

from __future__ import annotations

import sys
from pathlib import Path

_SBATCH = """
number=$(( $(ls {state}/*.sh 2>/dev/null | wc -l) + 101 ))
cp "$1" {state}/$number.sh
SLURM_JOB_ID=$number SLURM_NTASKS=1 SLURM_JOB_NUM_NODES=1 SLURM_JOB_NODELIST=here SLURM_NODEID=0 SLURM_PROCID=0 \\
  SLURM_LOCALID=0 setsid bash {state}/$number.sh > {state}/$number.log 2>&1 < /dev/null &
echo $! > {state}/$number.pid
echo "Submitted batch job $number"
"""
# Options of srun come first, three of them with values.
_SRUN = """
while [[ "$1" == -* ]]; do case "$1" in --output|--error) shift 2;; *) shift;; esac; done
exec "$@"
"""
_SACCT = """
echo "JobID|State|NodeList"
for file in {state}/*.pid; do
  number=$(basename $file .pid)
  if [ -e {state}/$number.cancelled ]; then say=CANCELLED
  elif kill -0 $(cat $file) 2>/dev/null; then say=RUNNING
  else say=COMPLETED; fi
  echo "$number|$say|here"
done
"""
_SCANCEL = """
touch {state}/$1.cancelled
kill -9 -- -$(cat {state}/$1.pid)
"""


def install(folder: Path) -> Path:
    """Write the commands into a folder, to be put first on the path; returns where the submitted scripts are."""
    state = folder / "state"
    state.mkdir(parents=True)
    commands = {"sbatch": _SBATCH, "srun": _SRUN, "sacct": _SACCT, "scancel": _SCANCEL}
    for name, text in commands.items():
        path = folder / name
        path.write_text("#!/bin/bash\n" + text.replace("{state}", str(state)).replace("{python}", sys.executable))
        path.chmod(0o755)
    return state
