"""The memorial page: one folder that opens in any browser, without a network, on a phone or a desk.

Nothing is loaded from outside and nothing is sent: the content security policy of the page forbids both. Before
anything plays, a note says what the visitor is about to see and waits for them. The film carries its own label; the
page says it in words as well.
"""

import html
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from memorial_tasks.domain.words import Language
from memorial_tasks.errors import InputRefused, Problem
from memorial_tasks.video.subtitles import Cue, write_vtt
from memorial_tasks.video.words import WORDS

POLICY: Final = (
    "default-src 'none'; media-src 'self' file:; img-src 'self' file: data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)
NAMES: Final = {Language.ZH_CN: "中文", Language.EN_US: "English"}


@dataclass(frozen=True)
class Answer:
    """An approved clip that a visitor can choose: the words on its button, and from where to where the film answers
    (seconds of the sealed film). It is a part of the one film, so its label and its approval are the film's."""

    label: str
    start: float
    end: float


def write_page(
    folder: Path,
    film: Path,
    poster: Path,
    subtitles: Mapping[Language, Sequence[Cue]],
    *,
    title: str,
    dates: str = "",
    language: Language = Language.ZH_CN,
    answers: Sequence[Answer] = (),
    headset: Path | None = None,
) -> Path:
    """Writes the whole folder (index.html, film.mp4, poster.png, subtitles/*.vtt) and returns index.html.

    `film` must be the sealed film, `headset` its sealed VR180 rendition: with it the page offers to watch in a headset
    (WebXR), where the browser has one. The folder appears only when it is whole; one that is already there is replaced.
    Raises `InputRefused` when the film or the poster is missing.
    """
    missing = [path for path in (film, poster, *([headset] if headset else [])) if not path.is_file()]
    if missing:
        raise InputRefused(
            [Problem("page.missing", "a file is missing", "compose again", file=p.name) for p in missing]
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
        made = Path(scratch) / "page"
        made.mkdir()
        shutil.copyfile(poster, made / "poster.png")
        data = _clip(made, film, subtitles)
        data["answers"] = [
            {"label": one.label, "start": round(one.start, 2), "end": round(one.end, 2)} for one in answers
        ]
        if headset:
            shutil.copyfile(headset, made / "film-vr180.mp4")
            data["headset"] = "film-vr180.mp4"
        (made / "index.html").write_text(_html(title, dates, language, data), encoding="utf-8")
        if folder.exists():
            os.replace(folder, Path(scratch) / "old")
        os.replace(made, folder)
    return folder / "index.html"


def _clip(made: Path, film: Path, subtitles: Mapping[Language, Sequence[Cue]]) -> dict[str, object]:
    shutil.copyfile(film, made / "film.mp4")
    tracks = []
    for language, found in subtitles.items():
        write_vtt(made / "subtitles" / f"film.{language.value}.vtt", found)
        # inline as well: browsers refuse to load text tracks from a page opened as a file
        tracks.append(
            {
                "language": language.value,
                "name": NAMES[language],
                "cues": [[round(cue.start, 3), round(cue.end, 3), cue.text] for cue in found],
            }
        )
    return {"film": "film.mp4", "tracks": tracks}


def _html(title: str, dates: str, language: Language, given: Mapping[str, Any]) -> str:
    words = {key: html.escape(value) for key, value in WORDS[language].items()}
    data = json.dumps(given, ensure_ascii=False).replace("<", "\\u003c").replace("\u2028", "\\u2028")
    buttons = "".join(
        f'<button type="button" class="answer" data-answer="{number}">{html.escape(answer["label"])}</button>'
        for number, answer in enumerate(given["answers"])
    )
    conversation = (
        f'<section class="answers"><h2>{words["asked"]}</h2>{buttons}'
        f'<button type="button" class="answer" data-answer="-1">{words["again"]}</button></section>'
        if buttons
        else ""
    )
    values = {
        "LANG": language.value,
        "POLICY": html.escape(POLICY, quote=True),
        "TITLE": html.escape(title),
        "DATES": f"<p class='dates'>{html.escape(dates)}</p>" if dates else "",
        "CONVERSATION": conversation,
        "DATA": data,
        "HEADSET": f'<button type="button" id="headset" hidden>{words["headset"]}</button>'
        if given.get("headset")
        else "",
        "XR": _XR if given.get("headset") else "",
        **{key.upper(): value for key, value in words.items() if key != "headset"},
    }
    page = _PAGE
    for key, value in values.items():
        page = page.replace(f"%%{key}%%", value)
    return page


_PAGE: Final = """<!doctype html>
<html lang="%%LANG%%">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="%%POLICY%%">
<meta name="referrer" content="no-referrer">
<meta name="robots" content="noindex">
<title>%%TITLE%%</title>
<style>
:root { color-scheme: dark; --ink: #efe9df; --soft: #b6aea2; --wall: #1d1c1f; --card: #29272b; --light: #d8b784; }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; background: radial-gradient(circle at 50% 20%, #3a373a, var(--wall) 70%);
  color: var(--ink); font: 17px/1.6 Georgia, "Songti SC", "Noto Serif CJK SC", serif; }
main { width: min(100%, 1100px); margin: 0 auto; padding: clamp(12px, 3vw, 40px); }
header { text-align: center; margin-bottom: 1.2rem; }
h1 { font-weight: 400; font-size: clamp(1.5rem, 5vw, 2.4rem); margin: .2em 0; letter-spacing: .04em; }
h2 { font-weight: 400; font-size: 1.1rem; color: var(--soft); margin: 1.4em 0 .6em; }
.dates, footer { color: var(--soft); margin: 0; }
footer { text-align: center; font-size: .85rem; padding: 2rem 0 1rem; }
.stage { position: relative; border-radius: 10px; overflow: hidden; background: #000; box-shadow: 0 18px 60px #0009; }
video { display: block; width: 100%; aspect-ratio: 16 / 9; }
.words { min-height: 3.2em; margin: .7rem 0 0; text-align: center; white-space: pre-line; line-height: 1.5;
  font-size: clamp(1rem, 2.2vw, 1.35rem); }
.mark { position: absolute; top: 10px; left: 10px; padding: 2px 10px; border-radius: 4px; background: #000a;
  font: 13px/1.6 system-ui, sans-serif; pointer-events: none; }
.note { max-width: 34rem; margin: clamp(8px, 6vh, 80px) auto; padding: clamp(18px, 4vw, 36px); border-radius: 12px;
  background: var(--card); }
.note h2 { margin-top: 0; color: var(--light); }
button, select { font: inherit; color: inherit; min-height: 46px; padding: .4em 1.2em; border-radius: 24px;
  border: 1px solid #6b6359; background: none; cursor: pointer; }
button:hover, button:focus-visible, select:focus-visible { border-color: var(--light); outline: none; }
button.begin { background: var(--light); border-color: var(--light); color: #241d12; }
.row { display: flex; gap: .8rem; flex-wrap: wrap; align-items: center; }
.tools { justify-content: flex-end; margin-top: .8rem; }
.answers button { margin: 0 .6rem .6rem 0; }
.answers button.chosen { border-color: var(--light); color: var(--light); }
[hidden] { display: none !important; }
</style>
</head>
<body>
<main>
<header><h1>%%TITLE%%</h1>%%DATES%%</header>
<section class="note" id="note" role="dialog" aria-labelledby="before" aria-describedby="what">
<h2 id="before">%%BEFORE%%</h2><p id="what">%%NOTE%%</p>
<div class="row"><button type="button" class="begin" id="begin">%%BEGIN%%</button>
<button type="button" id="later">%%LATER%%</button></div>
</section>
<p class="note" id="closed" hidden>%%CLOSED%%</p>
<div id="show" hidden>
<div class="stage"><video id="film" controls playsinline preload="none" poster="poster.png"></video>
<span class="mark">%%AI%%</span></div>
<p class="words" id="words"></p>
<div class="row tools">%%HEADSET%%<select id="tracks" aria-label="subtitles"></select></div>
%%CONVERSATION%%
</div>
<footer>%%AI%% · %%QUIET%%</footer>
</main>
<script type="application/json" id="data">%%DATA%%</script>
<script>
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const film = document.getElementById("film"), choice = document.getElementById("tracks");
const words = document.getElementById("words");
let made = [], until = Infinity;
function load() {
  made = data.tracks.map(one => {
    const track = film.addTextTrack("subtitles", one.name, one.language);
    one.cues.forEach(cue => track.addCue(new VTTCue(cue[0], cue[1], cue[2])));
    track.mode = "disabled";
    track.addEventListener("cuechange", say);
    return track;
  });
  choice.replaceChildren(new Option("\u2013", ""), ...data.tracks.map(one => new Option(one.name, one.language)));
  choice.value = data.tracks[0] ? data.tracks[0].language : "";
  choice.hidden = data.tracks.length === 0;
  film.src = data.film;
  pick();
}
function play(from, to) {
  until = to;
  film.currentTime = from;
  film.play().catch(() => {});
}
function answer(number) {
  const one = data.answers[number];
  document.querySelectorAll(".answer").forEach(button => {
    button.classList.toggle("chosen", Number(button.dataset.answer) === number && number >= 0);
  });
  if (one) play(one.start, one.end); else play(0, Infinity);
}
film.addEventListener("timeupdate", () => { if (film.currentTime >= until) { until = Infinity; film.pause(); } });
film.addEventListener("seeking", () => { if (film.currentTime > until) until = Infinity; });
// The words stand under the picture: in it, a browser lifts them over its controls and on to the face. A film that
// fills the screen has nothing under it, so there they are in the picture.
let full = false;
function say() {
  const track = made.find(one => one.mode === "hidden");
  words.textContent = track && track.activeCues ? [...track.activeCues].map(cue => cue.text).join("\\n") : "";
  words.lang = track ? track.language : "";
}
function pick() {
  made.forEach(track => {
    track.mode = track.language !== choice.value ? "disabled" : full ? "showing" : "hidden";
  });
  words.hidden = choice.value === "";
  say();
}
choice.addEventListener("change", pick);
function fills(now) { full = now; pick(); }
document.addEventListener("fullscreenchange", () => fills(document.fullscreenElement !== null));
film.addEventListener("webkitbeginfullscreen", () => fills(true));
film.addEventListener("webkitendfullscreen", () => fills(false));
document.getElementById("begin").addEventListener("click", () => {
  document.getElementById("note").hidden = true;
  document.getElementById("show").hidden = false;
  load();
  play(0, Infinity);
});
document.getElementById("later").addEventListener("click", () => {
  document.getElementById("note").hidden = true;
  document.getElementById("closed").hidden = false;
});
document.querySelectorAll(".answer").forEach(button => {
  button.addEventListener("click", () => answer(Number(button.dataset.answer)));
});
%%XR%%</script>
</body>
</html>
"""

# Half a sphere for each eye, seen from its middle: the left half of the picture by the left eye. Nothing but WebXR and
# WebGL of the browser itself; where it knows no headset the button stays hidden.
_XR: Final = """
const wear = document.getElementById("headset");
if (navigator.xr) navigator.xr.isSessionSupported("immersive-vr").then(can => { wear.hidden = !can; });
function sphere(rows, columns) {
  const points = [], order = [];
  for (let r = 0; r <= rows; r++) for (let c = 0; c <= columns; c++) {
    const across = (c / columns - .5) * Math.PI, up = (.5 - r / rows) * Math.PI;
    points.push(9 * Math.cos(up) * Math.sin(across), 9 * Math.sin(up), -9 * Math.cos(up) * Math.cos(across),
      c / columns, r / rows);
    if (r < rows && c < columns) {
      const at = r * (columns + 1) + c;
      order.push(at, at + columns + 1, at + 1, at + 1, at + columns + 1, at + columns + 2);
    }
  }
  return [new Float32Array(points), new Uint16Array(order)];
}
async function watch() {
  const clip = document.createElement("video");
  clip.src = data.headset;
  clip.playsInline = true;
  const gl = document.createElement("canvas").getContext("webgl", {xrCompatible: true});
  const session = await navigator.xr.requestSession("immersive-vr");
  session.updateRenderState({baseLayer: new XRWebGLLayer(session, gl)});
  const space = await session.requestReferenceSpace("local");
  const build = (kind, text) => {
    const part = gl.createShader(kind);
    gl.shaderSource(part, text);
    gl.compileShader(part);
    return part;
  };
  const program = gl.createProgram();
  gl.attachShader(program, build(gl.VERTEX_SHADER, "attribute vec3 p; attribute vec2 t; uniform mat4 view, lens;" +
    "uniform float eye; varying vec2 at; void main() { at = vec2(t.x * .5 + eye, t.y);" +
    "vec4 q = view * vec4(p, 0.); gl_Position = lens * vec4(q.xyz, 1.); }"));
  gl.attachShader(program, build(gl.FRAGMENT_SHADER, "precision mediump float; varying vec2 at; uniform sampler2D s;" +
    "void main() { gl_FragColor = texture2D(s, at); }"));
  gl.linkProgram(program);
  gl.useProgram(program);
  const [points, order] = sphere(48, 48);
  gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
  gl.bufferData(gl.ARRAY_BUFFER, points, gl.STATIC_DRAW);
  gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
  gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, order, gl.STATIC_DRAW);
  for (const [name, size, from] of [["p", 3, 0], ["t", 2, 12]]) {
    const place = gl.getAttribLocation(program, name);
    gl.enableVertexAttribArray(place);
    gl.vertexAttribPointer(place, size, gl.FLOAT, false, 20, from);
  }
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  for (const key of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, key, gl.CLAMP_TO_EDGE);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR);
  const spot = name => gl.getUniformLocation(program, name);
  session.requestAnimationFrame(function draw(time, frame) {
    session.requestAnimationFrame(draw);
    const pose = frame.getViewerPose(space), layer = session.renderState.baseLayer;
    gl.bindFramebuffer(gl.FRAMEBUFFER, layer.framebuffer);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    if (!pose || clip.readyState < 2) return;
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB, gl.RGB, gl.UNSIGNED_BYTE, clip);
    for (const view of pose.views) {
      const port = layer.getViewport(view);
      gl.viewport(port.x, port.y, port.width, port.height);
      gl.uniformMatrix4fv(spot("view"), false, view.transform.inverse.matrix);
      gl.uniformMatrix4fv(spot("lens"), false, view.projectionMatrix);
      gl.uniform1f(spot("eye"), view.eye === "right" ? .5 : 0);
      gl.drawElements(gl.TRIANGLES, order.length, gl.UNSIGNED_SHORT, 0);
    }
  });
  session.addEventListener("end", () => clip.pause());
  clip.addEventListener("ended", () => session.end());
  film.pause();
  clip.play();
}
wear.addEventListener("click", () => watch().catch(() => { wear.hidden = true; }));
"""
