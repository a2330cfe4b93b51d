"""The audit report as a PDF: plain A4 pages drawn with Pillow, because a report that is handed to a court or a
family must not depend on a browser. The pages are pictures of text at 150 dpi; the HTML is the readable form for
screen readers and copying.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from memorial_tasks.audit.report import Box, Report, layout, of_section, sentence, verdict, who
from memorial_tasks.audit.words import SECTIONS, STEPS, Tongue, word
from memorial_tasks.errors import Unavailable

_WIDTH, _HEIGHT, _MARGIN = 1240, 1754, 110  # A4 at 150 dpi
_INK, _SOFT, _LINE, _GOOD, _BAD = "#22262b", "#667077", "#c9ced5", "#1d6b3c", "#a3211b"
_KINDS = {"order": ("委托", "Order"), "subject": ("逝者代号", "Subject"), "period": ("期间", "Period")}


def pdf(report: Report, path: Path, font: Path) -> int:
    """Writes the report to `path` with the given font file (one with Chinese letters); returns the pages.

    Raises:
        Unavailable: the font cannot be used.
    """
    try:
        pages = _Pages(font)
    except OSError as error:
        raise Unavailable("the font cannot be read", where=font.name, remedy="run `memorial init`") from error
    tongues: tuple[Tongue, ...] = ("zh", "en")
    for tongue in tongues:
        if tongue == "en":
            pages.turn()
        _write(pages, report, tongue)
    pages.save(path)
    return len(pages.sheets)


def _write(pages: "_Pages", report: Report, tongue: Tongue) -> None:
    zh = tongue == "zh"
    pick = 0 if zh else 1
    pages.text("审计报告" if zh else "Audit report", 40)
    made = report.made_at.strftime("%Y-%m-%d %H:%M UTC")
    pages.text(f"{_KINDS[report.kind][pick]} {report.about} · {made}", 20, _SOFT)
    pages.space(14)
    pages.text(verdict(report, tongue), 23, _GOOD if report.verification.ok else _BAD)
    pages.text(
        "本报告不含姓名等个人信息。时间均为协调世界时（UTC）。" if zh else "This report holds no names. Times are UTC.",
        18,
        _SOFT,
    )
    for key, heading, types, none in SECTIONS:
        if key == "approved" and report.made and report.kind != "period":
            pages.heading("由什么制作了什么" if zh else "What was made from what")
            pages.picture(layout(report.made), tongue)
        pages.heading(heading[pick])
        pages.rows(report, of_section(report, types), tongue, none[pick])
    pages.heading("全部记录，按先后" if zh else "Everything, in order")
    pages.rows(report, report.entries, tongue, "-")
    pages.heading("这份记录可信吗" if zh else "Can this record be trusted?")
    pages.text(verdict(report, tongue), 20)
    for fault in report.verification.faults[:20]:
        pages.text(str(fault), 18, _BAD)
    pages.text(
        "您可以不经过工作室自行核验：请索取导出的日志并用随附的程序检查。本报告所依据的检查点："
        if zh
        else "You can check this without the studio: ask for the exported log and run its verifier. The checkpoint:",
        20,
    )
    for line in report.checkpoint.splitlines():
        pages.text(line, 15, _SOFT)


class _Pages:
    """A pen that turns the page when it is full."""

    def __init__(self, font: Path) -> None:
        from PIL import ImageFont

        self._file = str(font)
        self._fonts: dict[int, Any] = {}
        self._load = ImageFont.truetype
        self.font(20)
        self.sheets: list[Any] = []
        self.turn()

    def font(self, size: int) -> Any:
        if size not in self._fonts:
            self._fonts[size] = self._load(self._file, size)
        return self._fonts[size]

    def turn(self) -> None:
        from PIL import Image, ImageDraw

        self.sheets.append(Image.new("RGB", (_WIDTH, _HEIGHT), "white"))
        self._draw = ImageDraw.Draw(self.sheets[-1])
        self._draw.text((_WIDTH - _MARGIN, _HEIGHT - 70), str(len(self.sheets)), _SOFT, self.font(16), anchor="ra")
        self._y = _MARGIN

    def space(self, height: int) -> None:
        self._y += height
        if self._y > _HEIGHT - _MARGIN - 40:
            self.turn()

    def text(self, text: str, size: int, colour: str = _INK) -> None:
        for line in self.wrap(text, size, _WIDTH - 2 * _MARGIN):
            self._draw.text((_MARGIN, self._y), line, colour, self.font(size))
            self.space(round(size * 1.55))

    def heading(self, text: str) -> None:
        if self._y > _HEIGHT - 300:
            self.turn()
        self.space(26)
        self.text(text, 26)
        self._draw.line((_MARGIN, self._y - 3, _WIDTH - _MARGIN, self._y - 3), _LINE, 2)
        self.space(8)

    def rows(self, report: Report, entries: Iterable[dict[str, Any]], tongue: Tongue, none: str) -> None:
        empty = True
        for entry in entries:
            empty = False
            lines = self.wrap(sentence(entry, tongue), 18, 560)
            if self._y + 27 * len(lines) > _HEIGHT - _MARGIN - 40:
                self.turn()
            self._draw.text((_MARGIN, self._y), f"#{entry['entry']}", _SOFT, self.font(16))
            self._draw.text((_MARGIN + 90, self._y), entry["at"][:16].replace("T", " "), _SOFT, self.font(16))
            self._draw.text((_MARGIN + 840, self._y), self.wrap(who(entry, tongue), 16, 180)[0], _SOFT, self.font(16))
            for line in lines:
                self._draw.text((_MARGIN + 260, self._y), line, _INK, self.font(18))
                self._y += 27
            self.space(5)
        if empty:
            self.text(none, 18, _SOFT)

    def picture(self, boxes: list[Box], tongue: Tongue) -> None:
        columns, rows = max(b.column for b in boxes) + 1, max(b.row for b in boxes) + 1
        across, down = min(170, (_WIDTH - 2 * _MARGIN) // columns), 84
        wide, size = across - 22, 15 if across > 120 else 11
        if self._y + down * rows > _HEIGHT - _MARGIN:
            self.turn()
        for box in boxes:
            for source in (boxes[index] for index in box.sources):
                start = (_MARGIN + across * source.column + wide, self._y + down * source.row + 28)
                end = (_MARGIN + across * box.column, self._y + down * box.row + 28)
                self._draw.line((*start, *end), "#8a93a0", 2)
        for box in boxes:
            left, top = _MARGIN + across * box.column, self._y + down * box.row
            self._draw.rounded_rectangle((left, top, left + wide, top + 56), 8, "#eef2f6", "#b8c1cc", 2)
            label = self.wrap(word(STEPS, box.made.step, tongue), size, wide)[0]
            self._draw.text((left + wide / 2, top + 18), label, _INK, self.font(size), anchor="mm")
            self._draw.text((left + wide / 2, top + 40), box.made.digest[:8], _SOFT, self.font(size - 1), anchor="mm")
        self.space(down * rows + 6)

    def wrap(self, text: str, size: int, width: int) -> list[str]:
        """Lines no wider than `width`; breaks at spaces, and inside text that has none (Chinese, digests)."""
        font, lines, line = self.font(size), [], ""
        for letter in text:
            line += letter
            if font.getlength(line) <= width:
                continue
            cut = line.rfind(" ", len(line) // 2)
            cut = cut if cut > 0 else len(line) - 1
            lines.append(line[:cut].rstrip())
            line = line[cut:].lstrip()
        return [*lines, line] if line or not lines else lines

    def save(self, path: Path) -> None:
        first, *rest = self.sheets
        first.save(path, "PDF", resolution=150.0, save_all=True, append_images=rest, title="Audit report", quality=80)
