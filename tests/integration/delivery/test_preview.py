"""`memorial preview` from consent to the browser: a drawn person, spoken for a second, rendered in a step's process.

Lies here because this folder's fixture makes orders whose steps are done."""

import http.client
import io
import threading
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from memorial_tasks.errors import ConsentRefused, MemorialError
from memorial_tasks.production import preview as preview_module
from memorial_tasks.production.preview import Preview, preview
from memorial_tasks.production.studio import Studio, Who
from memorial_tasks.provenance import label
from memorial_tasks.settings import Settings

pytestmark = pytest.mark.integration
WHO = Who("person", "ann")


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """What prepare_face, train_face, direct and speak leave of a drawn person who says one word."""
    import soundfile

    from memorial_tasks.domain.order import ScriptLine
    from memorial_tasks.domain.timing import LineTime, PhoneTime, SpeechTiming, WordTime
    from memorial_tasks.domain.words import Emotion, Language
    from memorial_tasks.face.bank import save_bank
    from memorial_tasks.performance.direct import direct_script
    from tests.unit.face.drawn import bank

    folder = tmp_path_factory.mktemp("spoken")
    save_bank(bank([{}, {"jaw_open": 0.6}]), (), folder)
    line = LineTime(index=0, text="a", language=Language.EN_US, emotion=Emotion.WARM, intensity=0.5, start=0.2, end=0.9)
    timing = SpeechTiming(
        sample_rate=24000, duration=1.0, lines=(line,), words=(WordTime(text="a", start=0.2, end=0.9),),
        phones=(PhoneTime(phone="AA", start=0.2, end=0.9),),
    )  # fmt: skip
    soundfile.write(folder / "speech.wav", 0.1 * np.sin(np.arange(24000) / 27), 24000, "PCM_16")
    face = {f"face/{name}": (folder / name).read_bytes() for name in ("bank.safetensors", "bank.json", "base.png")}
    plan = direct_script([ScriptLine(text="a")], "en-US")
    return {
        "prepare_face": face,
        "train_face": {"face/made": b"the preview reads no model"},
        "direct": {"plan.json": plan.model_dump_json().encode()},
        "speak": {"timing.json": timing.model_dump_json().encode(), "speech.wav": (folder / "speech.wav").read_bytes()},
    }


@pytest.fixture
def studio(films: Any) -> Studio:
    """The films' studio with the checkout's model files and fonts."""
    given = films.studio.settings.model_dump() | {"assets": Settings().assets_dir}
    return Studio.open(Settings(**given))


@pytest.fixture
def order(films: Any, spoken: dict[str, dict[str, bytes]]) -> str:
    made: str = films.order()
    films.make(made, b"film", again=True, real=spoken)
    return made


def test_the_command_shows_a_film_that_was_rendered_in_a_step_s_process(
    films: Any, studio: Studio, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import av

    if not (studio.settings.assets_dir / label.FONT).is_file():
        pytest.skip("the fonts are not set up: run `make setup`")
    watched: list[bytes] = []
    browsers: list[threading.Thread] = []

    def browse(address: str) -> None:
        def look() -> None:
            parts = urlsplit(address)
            connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
            connection.request("GET", parts.path + "film.mp4")
            watched.append(connection.getresponse().read())

        browsers.append(threading.Thread(target=look))
        browsers[0].start()

    before = set(studio.store.listing(f"vault://orders/{order}"))
    made = preview(studio, order, WHO, browse)
    browsers[0].join()
    with av.open(io.BytesIO(watched[0])) as container:
        shown = sum(1 for _ in container.decode(video=0))
    assert shown == round(made.rendered_s * 25) == round((0.8 + 1.0 + 1.5) * 25)
    assert made.took_s > 0
    assert [entry.data["step"] for entry in films.audit(order, "order.previewed")] == ["animate"]
    assert set(studio.store.listing(f"vault://orders/{order}")) == before, "nothing is kept"


def test_this_process_opens_no_media_and_reads_no_object(films: Any, studio: Studio, order: str) -> None:
    """What the data plane does stays there: not one object of the vault is fetched here."""
    from dataclasses import replace

    class Blind:
        """The vault, which lets a job be put and be taken away and nothing be read."""

        def __init__(self, store: Any) -> None:
            self.store, self.put, self.delete, self.exists = store, store.put, store.delete, store.exists

    seen: list[bytes] = []
    Preview(replace(studio, store=Blind(studio.store)), order, WHO).stream(seen.append)  # type: ignore[arg-type]
    assert b"".join(seen)[4:8] == b"ftyp"


def test_a_viewer_who_leaves_ends_the_process_and_leaves_nothing(films: Any, studio: Studio, order: str) -> None:
    before = set(studio.store.listing(f"vault://orders/{order}"))

    def leave(_piece: bytes) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        Preview(studio, order, WHO).stream(leave)
    assert set(studio.store.listing(f"vault://orders/{order}")) == before


def test_inputs_the_step_cannot_read_are_told_as_the_step_tells_them(films: Any, studio: Studio) -> None:
    order = films.order()  # stand-ins everywhere
    with pytest.raises(MemorialError) as told:
        Preview(studio, order, WHO).stream(lambda piece: None)
    assert "preview" in told.value.where


def test_there_is_no_preview_without_consent(films: Any, studio: Studio, order: str) -> None:
    films.withdraw(order)
    with pytest.raises(ConsentRefused):
        Preview(studio, order, WHO).stream(lambda piece: None)
    assert films.audit(order, "order.previewed") == []


def test_a_machine_with_the_control_plane_s_packages_only_says_so(
    studio: Studio, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview_module, "NEEDED", ("no_such_package",))
    with pytest.raises(MemorialError, match="control plane's packages") as told:
        preview(studio, order, WHO, lambda address: None)
    assert "[worker]" in told.value.remedy
