"""On a GPU: the production recipe trains in minutes and the refiner keeps its promise there too."""

import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit" / "face"))


def test_the_refiner_trains_on_the_gpu_as_it_does_on_the_cpu(tmp_path: Path) -> None:
    from drawn import TALKING, bank

    from memorial_tasks.face.pairs import make_pairs
    from memorial_tasks.face.recipes import recipe
    from memorial_tasks.face.tensors import weighted_pairs
    from memorial_tasks.face.train import train

    people = bank(TALKING)
    everyone = list(range(len(TALKING)))
    pairs = {n: weighted_pairs(people, p) for n, p in make_pairs(people, 0.5, [0], everyone, everyone).items()}
    plan = replace(recipe("tiny"), steps=60, warm_up=30)
    losses = {}
    for device in ("cpu", "cuda"):
        done = train(pairs, plan, 1, tmp_path / device, lambda: None, lambda f, m: None, None, torch.device(device))
        losses[device] = [row["l1"] for row in done.curves if "l1" in row][-1]
    assert losses["cuda"] == pytest.approx(losses["cpu"], rel=0.25)


def test_the_production_network_refines_300_frames_a_second() -> None:
    from memorial_tasks.face.networks import RefinerNet, composite
    from memorial_tasks.face.recipes import recipe

    network = RefinerNet(recipe("production").channels).cuda().eval()
    inputs = torch.rand(16, 9, 192, 256, device="cuda")
    with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16):
        for _ in range(3):
            composite(inputs, *network(inputs))
        torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(20):
            composite(inputs, *network(inputs))
        torch.cuda.synchronize()
    assert 20 * 16 / (time.perf_counter() - began) > 300


@pytest.mark.parametrize("switch", [{"channels_last": True}, {"compiled": True}, {"precision": "bfloat16"}], ids=str)
def test_what_makes_a_gpu_faster_changes_no_result(tmp_path: Path, switch: dict[str, object]) -> None:
    """And prints what it saves, which decides whether a config turns it on."""
    from drawn import TALKING, bank

    from memorial_tasks.face.pairs import make_pairs
    from memorial_tasks.face.recipes import recipe
    from memorial_tasks.face.tensors import weighted_pairs
    from memorial_tasks.face.train import train

    people = bank(TALKING)
    everyone = list(range(len(TALKING)))
    pairs = {n: weighted_pairs(people, p) for n, p in make_pairs(people, 2.0, [0], everyone, everyone).items()}
    plain = replace(recipe("production"), steps=60, warm_up=30, precision="float32", temporal=0.0)
    losses, seconds = [], []
    for number, plan in enumerate((plain, replace(plain, **switch))):  # type: ignore[arg-type]
        folder = tmp_path / str(number)
        done = train(pairs, plan, 1, folder, lambda: None, lambda f, m: None, None, torch.device("cuda"))
        losses.append([row["l1"] for row in done.curves if "l1" in row][-1])
        seconds.append(done.seconds)
    print(f"{switch}: {seconds[0] / seconds[1]:.2f} times as fast")
    assert losses[1] == pytest.approx(losses[0], rel=0.25)
