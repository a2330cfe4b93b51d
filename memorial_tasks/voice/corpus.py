"""A prepared voice on disk: `features.safetensors` (arrays) and `features.json` (words, phones, findings)."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from memorial_tasks.domain.finding import Finding
from memorial_tasks.domain.words import Language
from memorial_tasks.errors import ModelRefused
from memorial_tasks.voice.audio import Wave
from memorial_tasks.voice.features import FRAME, WIDTH, Frames
from memorial_tasks.voice.sequence import TimedRow, row_from_json, row_to_json

FORMAT = 1


@dataclass(frozen=True)
class Utterance:
    """One stretch of real speech: `frames` float32 [T, WIDTH], `timed.edges` end at T, `wave` at 24 kHz."""

    id: str
    text: str
    timed: TimedRow
    frames: Frames
    wave: Wave
    grade: str
    snr: float

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.frames) * FRAME


@dataclass(frozen=True)
class Corpus:
    """All usable speech of one person."""

    language: Language
    utterances: tuple[Utterance, ...]
    findings: tuple[Finding, ...] = ()

    @property
    def seconds(self) -> float:
        """Usable speech in seconds."""
        return sum(utterance.seconds for utterance in self.utterances)

    def save(self, folder: Path) -> None:
        """Write `features.safetensors` and `features.json` into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file(
            {
                "frames": np.concatenate([u.frames for u in self.utterances]),
                "edges": np.concatenate([u.timed.edges for u in self.utterances]),
                "wave": np.concatenate([(np.clip(u.wave, -1, 1) * 32767).astype(np.int16) for u in self.utterances]),
            },
            folder / "features.safetensors",
        )
        document = {
            "format": FORMAT,
            "language": self.language.value,
            "seconds": round(self.seconds, 2),
            "utterances": [
                {
                    "id": u.id, "text": u.text, "frames": len(u.frames), "samples": int(u.wave.size),
                    "grade": u.grade, "snr": round(u.snr, 1), "row": row_to_json(u.timed.row),
                }
                for u in self.utterances
            ],
            "findings": [finding.model_dump(mode="json") for finding in self.findings],
        }  # fmt: skip
        (folder / "features.json").write_text(json.dumps(document, ensure_ascii=False), "utf-8")

    @staticmethod
    def load(folder: Path) -> "Corpus":
        """Read what `save` wrote. Raises `ModelRefused` for another format."""
        document = json.loads((folder / "features.json").read_text("utf-8"))
        arrays = load_file(folder / "features.safetensors")
        if document.get("format") != FORMAT or arrays["frames"].shape[1] != WIDTH:
            raise ModelRefused("the prepared voice is of another format", remedy="prepare it again")
        utterances, frame, edge, sample = [], 0, 0, 0
        for item in document["utterances"]:
            row = row_from_json(item["row"])
            edges = arrays["edges"][edge : edge + len(row.phones) + 1]
            wave = arrays["wave"][sample : sample + item["samples"]].astype(np.float32) / np.float32(32767)
            frames = arrays["frames"][frame : frame + item["frames"]]
            utterances.append(
                Utterance(item["id"], item["text"], TimedRow(row, edges), frames, wave, item["grade"], item["snr"])
            )
            frame, edge, sample = frame + item["frames"], edge + len(edges), sample + item["samples"]
        findings = tuple(Finding.model_validate(finding) for finding in document["findings"])
        return Corpus(Language(document["language"]), tuple(utterances), findings)
