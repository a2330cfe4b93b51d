"""From the script to the plan: what to say and how. A person's mark always wins over a proposal."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

import yaml
from pydantic import ValidationError

from memorial_tasks.domain.order import ScriptLine
from memorial_tasks.domain.timing import DirectedLine, DirectionPlan, Interlude
from memorial_tasks.domain.words import Emotion, Language
from memorial_tasks.errors import InputRefused, Problem
from memorial_tasks.performance.emotion import Proposal, propose


class Manner(NamedTuple):
    """How an emotion is spoken at full intensity, against the person's own neutral manner."""

    pitch_shift: float  # semitones
    pitch_range: float
    energy: float
    pace: float
    pause: float


# Directions and sizes follow the vocal-emotion surveys (Juslin & Laukka 2003): joy raises pitch, range, energy and
# tempo, sadness lowers all of them, tenderness is soft and slow. Kept small: the person should sound like themselves.
MANNERS: Final = MappingProxyType(
    {
        Emotion.NEUTRAL: Manner(0.0, 1.00, 1.00, 1.00, 1.0),
        Emotion.WARM: Manner(-0.3, 1.08, 0.92, 0.93, 1.15),
        Emotion.HAPPY: Manner(1.8, 1.40, 1.20, 1.10, 0.85),
        Emotion.SAD: Manner(-1.5, 0.65, 0.78, 0.84, 1.45),
        Emotion.CALM: Manner(-0.8, 0.78, 0.86, 0.90, 1.30),
        Emotion.PROUD: Manner(0.5, 1.25, 1.18, 0.97, 1.05),
        Emotion.GRATEFUL: Manner(0.8, 1.12, 0.95, 0.92, 1.20),
    }
)
CARRY: Final = 0.75  # how much of an emotion's intensity lives on in a following line without emotional words
_DEFAULTS = ScriptLine(text="-")
Proposer = Callable[[str, Language], Proposal]


def direct_script(
    lines: Sequence[ScriptLine],
    language: Language | str,
    names: Mapping[str, str] = MappingProxyType({}),
    proposer: Proposer = propose,
) -> DirectionPlan:
    """Plan for all lines. `emotion=None` is proposed from the text; `intensity`, `pace` and `pause` are kept as
    marked when they differ from their defaults; an interlude's seconds come on top of the pause. `names` gives the
    material id of each interlude's file; `proposer` is the lexicon or a text encoder. Raises `InputRefused` for a
    script without lines."""
    if not lines:
        raise InputRefused(
            [Problem("script.empty", "the script has no line", "write at least one line", field="script")]
        )
    spoken = Language(language)
    planned: list[DirectedLine] = []
    for index, line in enumerate(lines):
        emotion, intensity, reasons = _emotion(line, spoken, planned[-1] if planned else None, proposer)
        manner = MANNERS[emotion]
        pace, pause = line.pace, line.pause
        if pace == _DEFAULTS.pace:
            pace = _clip(_scaled(manner.pace, intensity), 0.6, 1.6)
        if pause == _DEFAULTS.pause:
            pause = _clip(pause * _scaled(manner.pause, intensity), 0.0, 10.0)
        pause += sum(mark.seconds for mark in line.interludes)
        planned.append(
            DirectedLine(
                index=index,
                text=line.text,
                language=spoken,
                emotion=emotion,
                intensity=intensity,
                pace=round(pace, 4),
                pause=round(pause, 4),
                gaze=line.gaze,
                pitch_shift=round(manner.pitch_shift * intensity, 4),
                pitch_range=round(_scaled(manner.pitch_range, intensity), 4),
                energy=round(_scaled(manner.energy, intensity), 4),
                reasons=reasons,
            )
        )
    shown = tuple(
        Interlude(after=index, name=names.get(mark.interlude, mark.interlude), seconds=mark.seconds)
        for index, line in enumerate(lines)
        for mark in line.interludes
    )
    return DirectionPlan(language=spoken, lines=tuple(planned), interludes=shown)


def _emotion(
    line: ScriptLine, language: Language, before: DirectedLine | None, proposer: Proposer
) -> tuple[Emotion, float, tuple[str, ...]]:
    marked = line.intensity != _DEFAULTS.intensity
    if line.emotion is not None:
        return line.emotion, line.intensity, ("marked in the script",)
    found = proposer(line.text, language)
    emotion, intensity, reasons = found.emotion, found.intensity, found.reasons
    if emotion is Emotion.NEUTRAL and before is not None and before.emotion is not Emotion.NEUTRAL:
        carried = round(before.intensity * CARRY, 2)
        if carried >= 0.2:
            emotion, intensity, reasons = before.emotion, carried, (*reasons, "carried on from the line before")
    if marked:
        intensity, reasons = line.intensity, (*reasons, "intensity marked in the script")
    return emotion, intensity, reasons


def plan_to_yaml(plan: DirectionPlan) -> str:
    """The plan as a page a person can edit before it is spoken."""
    text = yaml.safe_dump(plan.model_dump(mode="json"), allow_unicode=True, sort_keys=False, width=100)
    return "# Change what you like: emotion, intensity, pace, pause, pitch. `reasons` are notes.\n" + str(text)


def plan_from_yaml(text: str) -> DirectionPlan:
    """Reads an edited plan. Raises `InputRefused` naming every field that cannot be read."""
    try:
        plan = DirectionPlan.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise InputRefused(
            [Problem("plan.yaml", "the plan is not YAML", "undo the last edit", field="plan")]
        ) from error
    except ValidationError as error:
        raise InputRefused(
            [
                Problem("plan.field", entry["msg"], "correct this field", field=".".join(map(str, entry["loc"])))
                for entry in error.errors(include_input=False)
            ]
        ) from error
    if [line.index for line in plan.lines] != list(range(len(plan.lines))):
        raise InputRefused(
            [Problem("plan.order", "the lines are not numbered 0, 1, 2 ...", "keep `index`", field="lines")]
        )
    return plan


EDITED: Final = "direction.json"  # the document of the order that holds an edited plan
RANGES: Final = MappingProxyType(
    {
        "intensity": (0.0, 1.0),
        "pace": (0.6, 1.6),
        "pause": (0.0, 180.0),
        "pitch_shift": (-6.0, 6.0),
        "pitch_range": (0.3, 2.0),
        "energy": (0.4, 1.8),
    }
)
GAZES: Final = ("camera", "away", "down")


def edited_plan(text: str, before: DirectionPlan) -> DirectionPlan:
    """An edited plan, checked against the one it was made from. Raises `InputRefused` naming every field: what is said
    may not change here, and how it is said stays within what a voice and a face can do."""
    plan = plan_from_yaml(text)
    problems = []
    if [line.text for line in plan.lines] != [line.text for line in before.lines] or plan.language != before.language:
        what = "the words are not those of the script"
        problems.append(Problem("plan.words", what, "change words with 'memorial order script'", "lines"))
    if plan.interludes != before.interludes:
        what = "the interludes are not those of the script"
        problems.append(Problem("plan.interludes", what, "change them in the script", "interludes"))
    for line in plan.lines:
        for name, (low, high) in RANGES.items():
            if not low <= getattr(line, name) <= high:
                what = f"not between {low:g} and {high:g}"
                problems.append(Problem("plan.range", what, "correct the value", f"lines.{line.index}.{name}"))
        if line.gaze not in GAZES:
            problems.append(Problem("plan.gaze", f"not one of {', '.join(GAZES)}", "correct it", f"lines.{line.index}"))
    if problems:
        raise InputRefused(problems)
    return plan


def with_edits(plan: DirectionPlan, edited: DirectionPlan) -> DirectionPlan:
    """The plan with the lines a person edited, wherever they still say the same as the script does."""
    by_text = {(line.index, line.text): line for line in edited.lines}
    lines = [
        by_text[line.index, line.text].model_copy(update={"reasons": ("edited by a person",)})
        if (line.index, line.text) in by_text
        else line
        for line in plan.lines
    ]
    return plan.model_copy(update={"lines": tuple(lines)})


def _scaled(factor: float, intensity: float) -> float:
    return 1 + (factor - 1) * intensity


def _clip(value: float, low: float, high: float) -> float:
    return min(high, max(low, value))
