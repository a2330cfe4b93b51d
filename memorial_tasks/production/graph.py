"""What each step takes from where. Pure data and pure functions: the way through the house (DESIGN section 3)."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from memorial_tasks.domain.job import ArtifactRef
from memorial_tasks.errors import MemorialError

# Pseudo-sources beside the steps: the family's material, and the documents made of the order at intake.
MATERIAL, DOCUMENT = "material", "document"


@dataclass(frozen=True)
class Take:
    """All artifacts of `source` whose name matches `pattern`; `into` is put before their names."""

    source: str
    pattern: str
    into: str = ""
    required: bool = True


INPUTS: Mapping[str, tuple[Take, ...]] = {
    "ingest": (
        *(
            Take(MATERIAL, f"{kind}/*", required=False)
            for kind in ("photo", "voice", "video", "background", "music", "interlude")
        ),
        Take(DOCUMENT, "transcript/*", required=False),
    ),
    "quality_gate": (Take("ingest", "*"),),
    "prepare_face": (
        Take("ingest", "photos/*"),
        Take("ingest", "motion.json", required=False),
        Take(DOCUMENT, "points.json", required=False),
        Take("quality_gate", "report.json", "quality/"),
        Take("quality_gate", "measurements.json", "quality/"),
    ),
    "prepare_voice": (
        Take("ingest", "voice/*"),
        Take(DOCUMENT, "lexicon.json"),
        Take(DOCUMENT, "own_voice.json", required=False),
    ),
    "train_face": (Take("prepare_face", "face/*"),),
    "train_voice": (Take("prepare_voice", "voice/*"),),
    "direct": (
        Take(DOCUMENT, "script.json"),
        Take(DOCUMENT, "interludes.json", required=False),
        Take(DOCUMENT, "direction.json", required=False),
    ),
    "speak": (
        Take("direct", "plan.json"),
        Take("train_voice", "voice/*"),
        Take("prepare_voice", "voice/*"),
        Take(DOCUMENT, "lexicon.json"),
    ),
    "animate": (
        Take("direct", "plan.json"),
        Take("speak", "*"),
        Take("prepare_face", "face/*"),
        Take("train_face", "face/*"),
    ),
    "compose": (
        Take("animate", "portrait.mp4"),
        Take("animate", "matte.png"),
        Take("animate", "score.safetensors"),
        Take("direct", "plan.json"),
        Take("speak", "*"),
        Take("ingest", "background.*", required=False),
        Take("ingest", "music.wav", required=False),
        Take("ingest", "interludes/*", required=False),
        Take(DOCUMENT, "subtitles.json"),
        Take(DOCUMENT, "title.json", required=False),
    ),
    "seal": (
        Take("compose", "film.mp4"),
        Take("compose", "film-*.mp4", required=False),
        Take("compose", "subtitles/*", required=False),
    ),
    "output_gate": (
        Take("seal", "film.mp4"),
        Take("seal", "film-*.mp4", required=False),
        Take("seal", "audio.m4a", required=False),
        Take("seal", "stills/*", required=False),
        Take("seal", "seal.json"),
        Take("direct", "plan.json"),
        Take("speak", "timing.json"),
        Take(DOCUMENT, "title.json", required=False),
    ),
    "package": (
        Take("seal", "film.mp4"),
        Take("seal", "film-*.mp4", required=False),
        Take("seal", "audio.m4a", required=False),
        Take("seal", "stills/*", required=False),
        Take("speak", "timing.json"),
        Take(DOCUMENT, "answers.json", required=False),
        Take("compose", "poster.png"),
        Take("compose", "subtitles/*", required=False),
        Take(DOCUMENT, "title.json", required=False),
    ),
}
ON_REQUEST_INPUTS: Mapping[str, tuple[Take, ...]] = {
    "evaluate_face": (Take("prepare_face", "face/*"), Take("train_face", "face/*")),
}


def takes_of(step: str) -> tuple[Take, ...]:
    """What a step takes, whether it lies on the way or is done on request."""
    return INPUTS[step] if step in INPUTS else ON_REQUEST_INPUTS[step]


def sources(step: str) -> tuple[str, ...]:
    """The steps whose results `step` reads, without the pseudo-sources, in a stable order."""
    return tuple(dict.fromkeys(t.source for t in takes_of(step) if t.source not in {MATERIAL, DOCUMENT}))


def gather(step: str, available: Mapping[str, Iterable[ArtifactRef]]) -> tuple[ArtifactRef, ...]:
    """The step's inputs out of what its sources made, sorted by name.

    Raises `MemorialError` when a source made nothing that is needed: a step is never run on half its inputs.
    """
    chosen: dict[str, ArtifactRef] = {}
    for take in takes_of(step):
        matches = [artifact for artifact in available.get(take.source, ()) if fnmatchcase(artifact.name, take.pattern)]
        if take.required and not matches:
            raise MemorialError(
                f"{take.source} has no result {take.pattern}", where=step, remedy=f"run {take.source} first"
            )
        for artifact in matches:
            chosen[take.into + artifact.name] = artifact.model_copy(update={"name": take.into + artifact.name})
    return tuple(chosen[name] for name in sorted(chosen))


def seed_of(order: str, step: str, revision: int = 0) -> int:
    """A seed that is the same for every run of this step of this order, and different for every other. `revision` says
    how often a reviewer wanted the step done otherwise; each time it is another seed, hence another result key."""
    words = f"{order}/{step}/{revision}" if revision else f"{order}/{step}"
    return int.from_bytes(hashlib.sha256(words.encode()).digest()[:4], "big")
