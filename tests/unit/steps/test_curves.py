"""Training curves: TensorBoard reads them back, and the same training gives the same bytes."""

from pathlib import Path

from memorial_tasks.steps.curves import FILE, from_rows, write_curves

SCALARS = {"voice/acoustic": [(25, 1.5), (50, 0.75)], "voice/duration": [(10, 0.25)]}


def test_tensorboard_reads_back_every_point(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    path = write_curves(tmp_path, SCALARS)
    assert path == tmp_path / FILE
    read = EventAccumulator(str(path.parent))
    read.Reload()
    assert sorted(read.Tags()["scalars"]) == sorted(SCALARS)
    for tag, points in SCALARS.items():
        assert [(event.step, event.value) for event in read.Scalars(tag)] == points


def test_neither_host_nor_hour_is_in_the_file(tmp_path: Path) -> None:
    import socket

    first, second = write_curves(tmp_path / "a", SCALARS), write_curves(tmp_path / "b", SCALARS)
    assert first is not None
    assert second is not None
    assert first.read_bytes() == second.read_bytes()
    assert first.name == second.name
    assert socket.gethostname().encode() not in first.read_bytes()


def test_rows_of_a_face_training_become_one_curve_a_patch_and_measure() -> None:
    rows = [
        {"step": 10.0, "patch": 0.0, "l1": 0.2, "real": 0.5},
        {"step": 10.0, "patch": 1.0, "l1": 0.3, "real": 0.5},
        {"step": 12.0, "patch": 0.0, "held_out_db": 31.5},
    ]
    assert from_rows("face", rows) == {
        "face/patch_0/l1": [(10, 0.2)],
        "face/patch_0/real": [(10, 0.5)],
        "face/patch_1/l1": [(10, 0.3)],
        "face/patch_1/real": [(10, 0.5)],
        "face/patch_0/held_out_db": [(12, 31.5)],
    }


def test_rows_that_name_neither_step_nor_patch_are_counted() -> None:
    assert from_rows("portrait_gan", [{"g": 1.0}, {"g": 0.5}], every=3) == {"portrait_gan/g": [(0, 1.0), (3, 0.5)]}


def test_a_face_that_was_not_trained_has_no_curves(tmp_path: Path) -> None:
    assert write_curves(tmp_path, from_rows("face", [])) is None
    assert list(tmp_path.iterdir()) == []
