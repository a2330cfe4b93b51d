"""The family's papers: one-page PDFs drawn with Pillow, each marked as fictional across the whole page."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

_SIZE = (827, 1169)  # A4 at 100 dpi
_SYSTEM_FONTS = (
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",
)


def find_font(assets: Path | None) -> Path | None:
    """A font with Chinese letters: the fetched one, else one of the system's, else None."""
    candidates = [assets / "NotoSansCJKsc-Regular.otf"] if assets is not None else []
    return next((path for path in (*candidates, *map(Path, _SYSTEM_FONTS)) if path.is_file()), None)


def _drawable(text: str, font_path: Path | None) -> str:
    """Without a Chinese font the letters are written as their code points rather than as empty boxes."""
    if font_path is not None:
        return text
    return "".join(letter if ord(letter) < 0x250 else f"u{ord(letter):x} " for letter in text)


def draw_paper(path: Path, title: str, rows: Sequence[tuple[str, str]], font_path: Path | None) -> None:
    """Write one paper as PDF: `title`, `rows` of label and value, and a mark over the page that it is invented."""

    def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
        return ImageFont.truetype(str(font_path), size) if font_path else ImageFont.load_default(size)

    page = Image.new("RGB", _SIZE, (252, 250, 245))
    draw = ImageDraw.Draw(page)
    draw.rectangle((40, 40, _SIZE[0] - 40, _SIZE[1] - 40), outline=(140, 60, 50), width=3)
    draw.text((_SIZE[0] // 2, 150), _drawable(title, font_path), font=font(36), fill=(40, 40, 40), anchor="mm")
    for index, (label, value) in enumerate(rows):
        top = 270 + 80 * index
        draw.text((110, top), _drawable(label, font_path), font=font(22), fill=(110, 105, 100))
        draw.text((300, top), _drawable(value, font_path), font=font(22), fill=(30, 30, 30))
        draw.line((110, top + 46, _SIZE[0] - 110, top + 46), fill=(215, 208, 198))
    mark = Image.new("RGBA", _SIZE, (0, 0, 0, 0))
    brush = ImageDraw.Draw(mark)
    words = _drawable("虚构 FICTIONAL", font_path) if font_path else "FICTIONAL"
    for top in (420, 700, 980):
        brush.text((_SIZE[0] // 2, top), words, font=font(64), fill=(190, 40, 40, 46), anchor="mm")
    page.paste(mark.rotate(20, center=(_SIZE[0] // 2, _SIZE[1] // 2)), (0, 0), mark.rotate(20))
    # A fixed date and no producer: the same paper has the same bytes.
    page.save(path, "PDF", resolution=100.0, title="fictional", creationDate=None, modDate=None)


def draw_papers(folder: Path, papers: Mapping[str, tuple[str, Sequence[tuple[str, str]]]], assets: Path | None) -> None:
    """Write every paper of a family into `folder` as ``<stem>.pdf``."""
    folder.mkdir(parents=True, exist_ok=True)
    font_path = find_font(assets)
    for stem, (title, rows) in papers.items():
        draw_paper(folder / f"{stem}.pdf", title, rows, font_path)
