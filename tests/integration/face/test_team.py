"""Two processes that train one model: the same curve as one, and a kill costs nothing."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from memorial_tasks.errors import StepFailed
from memorial_tasks.face.team import Team

pytestmark = pytest.mark.integration
HERE = Path(__file__).parent


def test_two_processes_follow_the_curve_of_one_and_go_on_where_they_were_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(HERE))
    from team_of_two import PLAN, STOP, losses_of

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = str(one.getsockname()[1])
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_addr", "127.0.0.1"]
    command += ["--master_port", port, str(HERE / "team_of_two.py"), str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(HERE.parents[2]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    whole, killed = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("whole", "killed"))
    alone = losses_of(tmp_path / "alone")
    assert len(whole) == len(alone) == PLAN.steps
    assert whole[: PLAN.warm_up] == pytest.approx(alone[: PLAN.warm_up], rel=1e-3)  # supervised: rounding differs
    assert whole == pytest.approx(alone, rel=0.05)  # the critics' dropout is drawn by each process for itself
    assert killed[:STOP] == whole[:STOP]
    assert killed == pytest.approx(whole, rel=1e-6)


def test_a_batch_that_cannot_be_shared_evenly_is_refused() -> None:
    with pytest.raises(StepFailed, match="cannot be shared"):
        Team(0, 2).share(torch.zeros(3))
    assert Team(1, 2).share(torch.arange(4)).tolist() == [1, 3]
