"""The pages a recipient sees: one landing page with a form, and plain refusals. Chinese and English.

No script, no font, no image, nothing from anywhere else; the style sheet is allowed by its digest. A page says nothing
about whom the film shows, who ordered it or any other order: whoever holds a link without its code learns only that
there is a film and that it was made by artificial intelligence.
"""

import base64
import hashlib
import html
from collections.abc import Mapping
from typing import Final

from memorial_tasks.delivery.door import Opened
from memorial_tasks.domain.words import Language
from memorial_tasks.video.words import WORDS as FILM_WORDS

_ZH, _EN = Language.ZH_CN, Language.EN_US

WORDS: Final[Mapping[Language, Mapping[str, str]]] = {
    _ZH: {
        "title": "有一部影片留给您",
        "lead": "家人为您留下了一部纪念影片，在这里领取。",
        "label": "影片自始至终都带有“人工智能生成”的标识。",
        "code": "领取码",
        "hint": "八位，由工作室单独告诉您，例如通过电话。不区分大小写。",
        "get": "领取影片",
        "once": "打开本页不算领取。按下按钮后，浏览器会把影片保存到您的设备，这个链接随即用去一次。",
        "left_one": "还可领取一次，有效期至 %s（世界协调时）。",
        "left": "还可领取 %d 次，有效期至 %s（世界协调时）。",
        "help": "没有领取码，或想停止、不再收到影片？请联系给您链接的工作室，不需要说明理由。",
        "other": "English",
        "sorry": "现在不能领取",
        "quiet": "本页不使用统计，不设 Cookie，不连接其他网站。",
    },
    _EN: {
        "title": "A film has been kept for you",
        "lead": "Your family had a memorial film made. You can fetch it here.",
        "label": "The film carries the label “AI-generated” from beginning to end.",
        "code": "Code",
        "hint": "Eight characters that the studio gave you separately, for example by telephone. Capitals do not "
        "matter.",
        "get": "Get the film",
        "once": "Opening this page does not count. When you press the button, your browser saves the film on your "
        "device and one use of this link is gone.",
        "left_one": "It can be fetched one more time, until %s (UTC).",
        "left": "It can be fetched %d more times, until %s (UTC).",
        "help": "No code, or you would rather stop and not receive the film? Tell the studio that gave you the link. "
        "You need not give a reason.",
        "other": "中文",
        "sorry": "The film cannot be fetched now",
        "quiet": "This page counts nobody, sets no cookies and contacts no other site.",
    },
}

# code -> (HTTP status, Chinese, English): what happened and what to do.
REFUSALS: Final[Mapping[str, tuple[int, str, str]]] = {
    "link.unknown": (
        404,
        "这个链接无效。请确认地址复制完整；如果仍打不开，请向工作室要一个新的链接。",
        "This link is not valid. Check that the address was copied completely; if it still does not open, ask the "
        "studio for a new one.",
    ),
    "link.wrong_code": (
        403,
        "领取码不对。请对照工作室给您的八位码再输入一次；多次输错后链接会关闭。",
        "This code is not right. Compare it with the eight characters the studio gave you and type it again; after "
        "several wrong codes the link closes.",
    ),
    "link.wait": (
        429,
        "刚才多次输错。请过一会儿再试，或请工作室再告诉您一次领取码。",
        "Too many wrong codes just now. Wait a moment and try again, or ask the studio to tell you the code once more.",
    ),
    "link.locked": (
        403,
        "领取码输错太多次，这个链接已经关闭。请向工作室要一个新的链接。",
        "The code was wrong too often and this link is closed. Ask the studio for a new one.",
    ),
    "link.used": (
        410,
        "这个链接的领取次数已经用完。如果影片没有保存成功，请向工作室要一个新的链接。",
        "This link has been used as often as it can be. If the film was not saved, ask the studio for a new link.",
    ),
    "link.expired": (
        410,
        "这个链接已经过期。请向工作室要一个新的链接。",
        "This link has expired. Ask the studio for a new one.",
    ),
    "link.revoked": (
        410,
        "这个链接已经停用。如需影片，请联系工作室。",
        "This link was closed. If you still wish to have the film, speak to the studio.",
    ),
    "film.replaced": (
        410,
        "影片已经更换，这个链接指向旧的版本。请向工作室要一个新的链接。",
        "The film was replaced and this link leads to the older one. Ask the studio for a new link.",
    ),
    "film.changed": (
        503,
        "影片正在被核对，现在不能领取；这次没有计数。请告诉工作室。",
        "The film has to be checked first and cannot be fetched now; nothing was counted. Please tell the studio.",
    ),
    "consent.ended": (
        403,
        "对这部影片的同意已经结束，影片不再提供。如有疑问，请联系工作室。",
        "The consent for this film has ended and it is no longer handed out. If you have a question, speak to the "
        "studio.",
    ),
    "consent.frozen": (
        403,
        "家人之间有一件事还没有决定，影片暂停提供。影片没有丢失；请过些日子再试，或联系工作室。",
        "Something is still to be decided in the family and the film is on hold. It is not lost; try again in some "
        "days, or speak to the studio.",
    ),
    "ticket.over": (
        410,
        "这次下载已经结束。如果影片没有保存完整，请向工作室要一个新的链接。",
        "This download is over. If the film was not saved completely, ask the studio for a new link.",
    ),
    "request.wrong": (
        400,
        "无法理解这个请求。请回到链接的页面，输入领取码并按下按钮。",
        "This request could not be understood. Go back to the link's page, type the code and press the button.",
    ),
    "request.slow": (
        408,
        "请求没有完整到达；没有计数。请再试一次。",
        "The request did not arrive completely; nothing was counted. Please try again.",
    ),
    "store.unavailable": (
        503,
        "影片现在取不出来；没有计数。请过几分钟再试。",
        "The film cannot be reached just now; nothing was counted. Try again in a few minutes.",
    ),
}

STYLE: Final = """
:root { color-scheme: dark; --ink: #efe9df; --soft: #c3bbaf; --wall: #1d1c1f; --card: #29272b; --light: #d8b784; }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; background: radial-gradient(circle at 50% 10%, #3a373a, var(--wall) 70%);
  color: var(--ink); font: 17px/1.65 Georgia, "Songti SC", "Noto Serif CJK SC", serif; }
main { width: min(100%, 40rem); margin: 0 auto; padding: clamp(14px, 4vw, 48px) clamp(14px, 4vw, 32px); }
.top { display: flex; justify-content: space-between; align-items: center; gap: 1rem; }
.mark { border: 1px solid var(--light); color: var(--light); border-radius: 4px; padding: 1px 10px;
  font: 14px/1.7 system-ui, sans-serif; }
a { color: var(--light); display: inline-block; padding: 10px 0; }
h1 { font-weight: 400; font-size: clamp(1.5rem, 6vw, 2.1rem); line-height: 1.3; margin: .9em 0 .3em; }
h2 { font-weight: 400; font-size: 1.15rem; color: var(--light); margin: 0 0 .4em; }
p { margin: 0 0 .8em; }
.card { background: var(--card); border-radius: 12px; padding: clamp(16px, 4vw, 30px); margin: 1.2rem 0; }
.wrong { border-left: 4px solid #e8a07f; }
.wrong p { margin: 0; }
label { display: block; font-size: 1.1rem; margin-bottom: .2em; }
.soft, footer { color: var(--soft); font-size: .95rem; }
input { font: 1.4rem/1.4 ui-monospace, "Cascadia Mono", Menlo, monospace; letter-spacing: .12em; width: 100%;
  padding: .5em .6em; color: var(--ink); background: #17161a; border: 1px solid #857b6e; border-radius: 8px;
  text-transform: uppercase; }
button { font: inherit; font-size: 1.1rem; width: 100%; min-height: 52px; margin: 1rem 0; border-radius: 26px;
  border: 1px solid var(--light); background: var(--light); color: #241d12; cursor: pointer; }
input:focus-visible, button:focus-visible, a:focus-visible { outline: 3px solid #fff; outline-offset: 2px; }
footer { margin-top: 2rem; }
@media (prefers-contrast: more) { :root { --soft: #efe9df; --card: #000; --wall: #000; } }
"""
_STYLE_DIGEST: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()


def policy(origin: str = "") -> str:
    """The content security policy of every page. `origin` is the bucket's: Chromium follows a form's redirect only to
    where the policy lets forms go."""
    return (
        f"default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'; form-action 'self'{' ' + origin if origin else ''}; "
        "base-uri 'none'; frame-ancestors 'none'"
    )


def language_of(query: str, accept: str) -> Language:
    """The one asked for, else the first of the browser's that we speak, else English."""
    for wanted in (query, *accept[:200].split(",")):
        short = wanted.strip().lower()[:2]
        if short in {"zh", "en"}:
            return _ZH if short == "zh" else _EN
    return _EN


def _page(language: Language, body: str, here: str) -> str:
    words = {key: html.escape(value) for key, value in WORDS[language].items()}
    other = _EN if language is _ZH else _ZH
    switch = (
        f'<a href="{here}?lang={other.value[:2]}" lang="{other.value}" hreflang="{other.value}">{words["other"]}</a>'
        if here
        else ""
    )
    mark = html.escape(FILM_WORDS[language]["ai"])
    return f"""<!doctype html>
<html lang="{language.value}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex, nofollow">
<title>{words["title"]}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<div class="top"><span class="mark">{mark}</span>{switch}</div>
{body}
<footer><p>{words["help"]}</p><p>{words["quiet"]}</p></footer>
</main>
</body>
</html>
"""


def landing(language: Language, opened: Opened, here: str, refused: str = "") -> str:
    """The page with the form; `here` is the link's own path, `refused` why the last try failed."""
    words = {key: html.escape(value) for key, value in WORDS[language].items()}
    film = FILM_WORDS[language]
    wrong = ""
    if refused:
        wrong = f'<section class="card wrong" role="alert" id="wrong"><p>{_said(language, refused)}</p></section>'
    until = f"{opened.expires_at:%Y-%m-%d %H:%M}"
    left = words["left_one"] % until if opened.left == 1 else words["left"] % (opened.left, until)
    described = "wrong hint" if refused else "hint"
    invalid = ' aria-invalid="true" autofocus' if refused else ""
    body = f"""<h1>{words["title"]}</h1>
<p>{words["lead"]}</p>
{wrong}
<section class="card" aria-labelledby="before"><h2 id="before">{html.escape(film["before"])}</h2>
<p>{html.escape(film["note"])}</p><p>{words["label"]}</p></section>
<form class="card" method="post" action="{here}?lang={language.value[:2]}" autocomplete="off">
<label for="code">{words["code"]}</label>
<p class="soft" id="hint">{words["hint"]}</p>
<input id="code" name="code" required maxlength="24" autocapitalize="characters" autocomplete="one-time-code"
 autocorrect="off" spellcheck="false" aria-describedby="{described}"{invalid}>
<button type="submit">{words["get"]}</button>
<p class="soft">{words["once"]}</p><p class="soft">{left}</p>
</form>"""
    return _page(language, body, here)


def _said(language: Language, code: str) -> str:
    _, chinese, english = REFUSALS.get(code, REFUSALS["link.unknown"])
    return html.escape(chinese if language is _ZH else english)


def refusal(language: Language, code: str, here: str = "") -> str:
    """A page that says why not, and what to do."""
    words = WORDS[language]
    body = f"""<h1>{html.escape(words["sorry"])}</h1>
<section class="card wrong" role="alert"><p>{_said(language, code)}</p></section>"""
    return _page(language, body, here)


def status_of(code: str) -> int:
    """The HTTP status of a refusal."""
    return REFUSALS.get(code, REFUSALS["link.unknown"])[0]
