"""A face corpus: the pictures and clips a base face is learned from, each with its licence.

```yaml
model: grid-face-1                # id of the base model that is to be made
name: GRID audiovisual corpus
licence: CC-BY-4.0                # of the model that is made
source: https://example.org/grid  # where the corpus comes from
items:
  - {person: s2, file: clips/s2.mpg, licence: CC-BY-4.0, source: "https://example.org/grid/s2"}
  - {person: s3, file: photos/s3-01.jpg, licence: LicenseRef-own, source: recorded by the studio}
```
"""

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, StringConstraints, ValidationError, model_validator

from memorial_tasks.domain.corpus import MODEL_ID
from memorial_tasks.domain.order import Record, RelativePath
from memorial_tasks.errors import InputRefused, Problem

LARGEST = 16 << 20
Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class Item(Record):
    """One picture or clip of one person."""

    person: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    file: RelativePath
    licence: Word
    source: Word


class FaceCorpus(Record):
    """What a base face is learned from. Paths are relative to the manifest's own folder."""

    model: Annotated[str, StringConstraints(pattern=MODEL_ID)]
    name: Word
    licence: Word
    source: Word
    items: tuple[Item, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _every_file_once(self) -> "FaceCorpus":
        files = [item.file for item in self.items]
        if len(set(files)) != len(files):
            raise ValueError("items: a file is named twice")
        return self

    @property
    def people(self) -> tuple[str, ...]:
        """Everybody in the corpus, in the order of their first item."""
        return tuple(dict.fromkeys(item.person for item in self.items))

    def files_of(self, person: str, folder: Path) -> list[Path]:
        """One person's files, for the manifest's folder."""
        return [folder / item.file for item in self.items if item.person == person]


def read_corpus(path: Path) -> FaceCorpus:
    """The manifest in `path`. Raises `InputRefused` with everything that is wrong with it: an item without licence, a
    file that is not there, an unknown key."""
    if not path.is_file() or path.stat().st_size > LARGEST:
        what = "no such manifest of at most 16 MB"
        raise InputRefused([Problem("corpus.missing", what, "check the path", file=path.name)])
    try:
        corpus = FaceCorpus.model_validate(yaml.safe_load(path.read_bytes()))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        problem = Problem("corpus.yaml", f"not readable as YAML{where}", "correct the line", file=path.name)
        raise InputRefused([problem]) from None
    except ValidationError as error:
        items = error.errors(include_input=False, include_url=False)
        # A list is only too short because what stands in it is faulty.
        items = [item for item in items if item["type"] != "too_short" or len(items) == 1]
        raise InputRefused([_problem(item, path.name) for item in items]) from None
    missing = [number for number, item in enumerate(corpus.items) if not (path.parent / item.file).is_file()]
    if missing:
        what, remedy = "no such file beside the manifest", "correct the path"
        problems = [Problem("corpus.file", what, remedy, f"items.{number}.file", path.name) for number in missing[:50]]
        raise InputRefused(problems)
    return corpus


def _problem(item: Any, file: str) -> Problem:
    field = ".".join(str(part) for part in item["loc"])
    if item["type"] == "missing":
        remedy = "nothing is learned from without a licence" if field.endswith("licence") else "name it"
        return Problem("corpus.missing_key", "is missing", remedy, field, file)
    what = "unknown key" if item["type"] == "extra_forbidden" else item["msg"].removeprefix("Value error, ")
    return Problem("corpus.value", what, "correct it", field, file)
