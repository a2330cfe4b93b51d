"""Comparing two runs of a step: every output by its digest, and nothing that only names the hour."""

from memorial_tasks.domain.job import ArtifactRef
from memorial_tasks.production.replay import compare


def outputs(**digests: str) -> tuple[ArtifactRef, ...]:
    return tuple(
        ArtifactRef(name=name.replace("_", "."), uri=f"vault://x/{name}", sha256=digit * 64, size=1)
        for name, digit in digests.items()
    )


def test_the_same_outputs_have_no_differences() -> None:
    assert compare("speak", outputs(speech_wav="a", timing_json="b"), outputs(timing_json="b", speech_wav="a")) == []


def test_every_difference_is_named_in_order() -> None:
    found = compare("speak", outputs(b_wav="a", a_wav="a", gone_json="c"), outputs(b_wav="b", a_wav="b", new_json="d"))
    assert [(one.name, one.before[:1], one.again[:1]) for one in found] == [
        ("a.wav", "a", "b"),
        ("b.wav", "a", "b"),
        ("gone.json", "c", ""),
        ("new.json", "", "d"),
    ]


def test_pages_that_carry_the_hour_are_left_out() -> None:
    before = (ArtifactRef(name="docs.tar.gz", uri="vault://x/d", sha256="a" * 64, size=1),)
    after = (ArtifactRef(name="docs.tar.gz", uri="vault://x/d", sha256="b" * 64, size=1),)
    assert compare("quality_gate", before, after) == []
