"""The memorial page: whole, offline, warned, and free of anything a name could smuggle in."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from memorial_tasks.domain.words import Language
from memorial_tasks.errors import InputRefused
from memorial_tasks.video.page import Answer, write_page
from memorial_tasks.video.subtitles import Cue

TRACKS = {Language.ZH_CN: [Cue(0.8, 2.0, "你好</script>")], Language.EN_US: [Cue(0.8, 2.0, "Hello & <b>goodbye</b>")]}


@pytest.fixture
def made(tmp_path):
    (tmp_path / "film.mp4").write_bytes(b"film")
    (tmp_path / "vr.mp4").write_bytes(b"vr")
    (tmp_path / "poster.png").write_bytes(b"poster")

    def write(**options):
        answers = [Answer("那年夏天 <3", 4.5, 9.25)]
        values = {"title": '奶奶 "<script>alert(1)</script>', "dates": "1931 – 2019", "answers": answers} | options
        return write_page(tmp_path / "page", tmp_path / "film.mp4", tmp_path / "poster.png", TRACKS, **values)

    return write


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def tags(path):
    parser = Tags()
    parser.feed(path.read_text("utf-8"))
    return parser.found


def test_the_folder_holds_everything_it_needs(made):
    index = made()
    folder = index.parent
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {
        "index.html", "film.mp4", "poster.png", "subtitles/film.zh-CN.vtt", "subtitles/film.en-US.vtt",
    }  # fmt: skip


def test_a_headset_is_offered_only_with_its_own_film(made, tmp_path):
    plain = made().read_text("utf-8")
    assert "navigator.xr" not in plain
    assert 'id="headset"' not in plain
    index = made(headset=tmp_path / "vr.mp4")
    assert (index.parent / "film-vr180.mp4").read_bytes() == b"vr"
    button = next(attributes for tag, attributes in tags(index) if attributes.get("id") == "headset")
    assert "hidden" in button, "only a browser that knows a headset shows it"
    assert "immersive-vr" in index.read_text("utf-8")


def test_nothing_leads_outside_and_the_policy_forbids_it(made):
    index = made()
    text = index.read_text("utf-8")
    assert not re.search(r"https?://|//[a-z]+\.|@import|fetch\(|XMLHttpRequest|sendBeacon|localStorage|cookie", text)
    policy = next(a["content"] for t, a in tags(index) if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "connect-src" not in policy
    for tag, attributes in tags(index):
        assert tag not in {"iframe", "object", "embed", "form", "link"}
        assert not [name for name in attributes if name.startswith("on")]


def test_a_note_comes_before_anything_plays(made):
    found = tags(made())
    by_id = {attributes["id"]: (tag, attributes) for tag, attributes in found if "id" in attributes}
    assert "hidden" in by_id["show"][1]
    assert "hidden" not in by_id["note"][1]
    film = by_id["film"][1]
    assert "autoplay" not in film
    assert film["preload"] == "none"
    assert "src" not in film


@pytest.mark.parametrize(("language", "words"), [(Language.ZH_CN, "人工智能生成"), (Language.EN_US, "AI-generated")])
def test_the_page_says_what_it_is_in_its_language(made, language, words):
    text = made(language=language).read_text("utf-8")
    assert words in text
    assert f'<html lang="{language.value}">' in text
    assert "%%" not in text


def test_names_and_words_cannot_become_markup(made):
    index = made()
    assert [tag for tag, _ in tags(index)].count("script") == 2
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', index.read_text("utf-8"), re.DOTALL)
    said = json.loads(data[1])
    assert said["tracks"][0]["cues"] == [[0.8, 2.0, "你好</script>"]]
    assert said["answers"] == [{"label": "那年夏天 <3", "start": 4.5, "end": 9.25}]


def test_without_answers_there_is_no_question(made):
    assert 'class="answers"' not in made(answers=[]).read_text("utf-8")


def test_the_page_is_usable_on_a_phone(made):
    text = made().read_text("utf-8")
    assert "width=device-width" in text
    assert "playsinline" in text
    assert "min-height: 46px" in text, "a finger needs room"


def test_an_older_page_is_replaced_whole_and_a_failure_keeps_it(made, tmp_path):
    index = made()
    (index.parent / "old.mp4").write_bytes(b"old")
    made()
    assert not (index.parent / "old.mp4").exists()
    (tmp_path / "poster.png").unlink()
    with pytest.raises(InputRefused, match=r"poster\.png"):
        made()
    assert index.is_file()
    assert {path.name for path in tmp_path.iterdir()} == {"page", "film.mp4", "vr.mp4"}


@pytest.mark.skipif(shutil.which("node") is None, reason="no JavaScript engine at hand")
def test_the_script_plays_only_after_the_visitor_agreed(made, tmp_path):
    """Runs the page's own script over a small stand-in for the browser."""
    text = made().read_text("utf-8")
    script = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)[-1]
    data = re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1]
    stand_in = """
    const log = [], elements = {};
    const element = id => elements[id] ??= {id, hidden: id === "show", value: "", handlers: {}, dataset: {answer: "0"},
      classList: {toggle() {}}, currentTime: 0,
      textContent: DATA, addEventListener(name, f) { this.handlers[name] = f; }, replaceChildren() {},
      addTextTrack(kind, label, language) { const t = {language, mode: "", cues: [], addCue(c) { this.cues.push(c); },
        addEventListener() {}};
        log.push("track " + language); return t; }, 
      play() { log.push("play " + this.src + " " + this.currentTime); return Promise.resolve(); }};
    globalThis.document = {getElementById: element, querySelectorAll: () => [element("answer")],
      fullscreenElement: null, addEventListener(name, f) { document[name] = f; }};
    globalThis.VTTCue = class { constructor(a, b, c) { Object.assign(this, {a, b, c}); } };
    globalThis.Option = class { constructor(a, b) { this.value = b; } };
    """
    after = """
    const before = log.length;
    elements.begin.handlers.click();
    elements.answer.handlers.click();
    elements.film.pause = () => log.push("pause " + elements.film.currentTime);
    elements.film.currentTime = 9.0;
    elements.film.handlers.timeupdate();
    elements.film.currentTime = 9.3;
    elements.film.handlers.timeupdate();
    console.log(JSON.stringify({before, log, shown: !elements.show.hidden, note: elements.note.hidden}));
    """
    code = tmp_path / "page.js"
    code.write_text(f"const DATA = {json.dumps(data)};\n" + stand_in + script.replace('"use strict";', "") + after)
    done = subprocess.run([shutil.which("node"), str(code)], capture_output=True, text=True, check=True, timeout=20)
    said = json.loads(done.stdout)
    assert said["before"] == 0
    assert [line for line in said["log"] if line.startswith("play")] == ["play film.mp4 0", "play film.mp4 4.5"]
    assert said["log"][-1] == "pause 9.3", "an answer ends where its lines end"
    assert said["shown"]
    assert said["note"]
