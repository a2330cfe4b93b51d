"""The recipient's pages: what they say, what they keep to themselves, what they may load."""

import base64
import hashlib
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from memorial_tasks.delivery import pages
from memorial_tasks.delivery.door import Opened
from memorial_tasks.domain.words import Language

OPENED = Opened("lnk-0123456789abcdef", 1, datetime(2026, 12, 1, 9, 30, tzinfo=UTC))
HERE = "/film/" + "t" * 43


class Outline(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("language", list(Language))
def test_the_landing_page_says_what_it_is_before_anybody_presses_anything(language: Language) -> None:
    page = Outline(pages.landing(language, OPENED, HERE))
    chinese = language is Language.ZH_CN
    for words in (
        ("人工智能生成", "难过", "一次") if chinese else ("artificial intelligence", "can hurt", "one more time")
    ):
        assert words in page.text
    assert "2026-12-01" in page.text
    assert OPENED.link_id not in page.text
    form = next(attributes for tag, attributes in page.tags if tag == "form")
    assert form["method"] == "post"
    assert str(form["action"]).startswith(HERE)
    assert {"html", "label", "h1", "main", "button"} <= {tag for tag, _ in page.tags}
    assert next(attributes for tag, attributes in page.tags if tag == "html")["lang"] == language.value


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize("code", sorted(pages.REFUSALS))
def test_every_refusal_says_what_to_do_in_both_languages(language: Language, code: str) -> None:
    said = Outline(pages.refusal(language, code, HERE)).text
    assert re.search("工作室|再试|再输入|请" if language is Language.ZH_CN else "studio|again|Compare|type", said)
    assert 400 <= pages.status_of(code) < 600


def test_the_pages_load_nothing_and_run_nothing() -> None:
    for page in (pages.landing(Language.EN_US, OPENED, HERE, "link.wrong_code"), pages.refusal(Language.ZH_CN, "x")):
        outline = Outline(page)
        assert not {"script", "img", "link", "iframe", "object", "base"} & {tag for tag, _ in outline.tags}
        addresses = [
            v for _, attributes in outline.tags for k, v in attributes.items() if k in {"href", "src", "action"}
        ]
        assert all(str(address).startswith("/film/") for address in addresses)
        assert not any(name.startswith("on") or name == "style" for _, found in outline.tags for name in found)


def test_the_policy_allows_exactly_our_style_and_one_bucket() -> None:
    page = pages.landing(Language.EN_US, OPENED, HERE)
    style = page[page.index("<style>") + 7 : page.index("</style>")]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = pages.policy("https://films.s3.eu-central-1.amazonaws.com")
    assert f"style-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "form-action 'self' https://films.s3.eu-central-1.amazonaws.com;" in policy
    assert "script" not in policy


def test_a_wrong_code_is_announced_to_a_screen_reader() -> None:
    outline = Outline(pages.landing(Language.EN_US, OPENED, HERE, "link.wrong_code"))
    field = next(attributes for tag, attributes in outline.tags if tag == "input")
    assert field["aria-invalid"] == "true"
    assert "wrong" in str(field["aria-describedby"]).split()
    assert any(attributes.get("role") == "alert" for _, attributes in outline.tags)


@pytest.mark.parametrize(
    ("query", "accept", "expected"),
    [
        ("", "zh-CN,zh;q=0.9,en;q=0.8", Language.ZH_CN),
        ("", "fr-FR,en;q=0.5", Language.EN_US),
        ("", "", Language.EN_US),
        ("en", "zh-CN", Language.EN_US),
        ("<script>", "zh-TW", Language.ZH_CN),
    ],
)
def test_the_language_is_the_readers(query: str, accept: str, expected: Language) -> None:
    assert pages.language_of(query, accept) is expected
