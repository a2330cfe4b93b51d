"""A small PDF writer (ISO 32000-1) for reports: text that can be selected, searched and read aloud, lines and boxes.

The font is embedded as a subset of the letters that were used, so that a page looks the same everywhere and a report of
two languages stays below some hundred kilobytes. Coordinates are points (1/72 inch) from the top left.
"""

import io
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from memorial_tasks.errors import Unavailable

WIDTH, HEIGHT = 595.0, 842.0  # A4


class Paper:
    """Pages to draw on; `save` writes them.

    Raises:
        Unavailable: the font cannot be used.
    """

    def __init__(self, font: Path, title: str, language: str) -> None:
        from fontTools.ttLib import TTFont, TTLibError

        try:
            number = 0 if font.suffix.lower() in (".ttc", ".otc") else -1
            self._font: Any = TTFont(font, fontNumber=number, lazy=True)
            self._names: dict[int, str] = self._font.getBestCmap()
            self._widths: Any = self._font["hmtx"].metrics
            self._scale = 1 / float(self._font["head"].unitsPerEm)
        except (OSError, TTLibError, KeyError) as error:
            raise Unavailable("the font cannot be read", where=font.name, remedy="run `memorial init`") from error
        self._title, self._language = title, language
        self._pages: list[list[str | tuple[str, str, str]]] = []
        self._marks: list[tuple[str, int]] = []
        self.turn()

    @property
    def number(self) -> int:
        """Of the page that is being drawn, from 1."""
        return len(self._pages)

    def turn(self) -> None:
        """The next page."""
        self._pages.append([])

    def mark(self, title: str) -> None:
        """An entry of the table of contents that readers show beside the pages."""
        self._marks.append((title, len(self._pages) - 1))

    def width(self, text: str, size: float) -> float:
        """How wide the text is at this size."""
        return float(sum(self._widths[self._glyph(letter)][0] for letter in text)) * self._scale * size

    def text(self, x: float, y: float, text: str, size: float, colour: str = "#000000") -> None:
        """One line whose letters stand on `y`."""
        head = f"BT {_rgb(colour)} rg /F1 {size:.2f} Tf {x:.2f} {HEIGHT - y:.2f} Td "
        self._pages[-1].append((head, text, " Tj ET"))

    def line(self, x: float, y: float, to_x: float, to_y: float, colour: str, width: float = 0.7) -> None:
        """A straight line."""
        self._pages[-1].append(
            f"{_rgb(colour)} RG {width:.2f} w {x:.2f} {HEIGHT - y:.2f} m {to_x:.2f} {HEIGHT - to_y:.2f} l S"
        )

    def box(self, x: float, y: float, width: float, height: float, fill: str, edge: str) -> None:
        """A filled rectangle with an edge."""
        place = f"{x:.2f} {HEIGHT - y - height:.2f} {width:.2f} {height:.2f} re B"
        self._pages[-1].append(f"{_rgb(fill)} rg {_rgb(edge)} RG 0.7 w {place}")

    def save(self, path: Path) -> None:
        """Writes the file, complete or not at all."""
        letters = {letter for page in self._pages for part in page if isinstance(part, tuple) for letter in part[1]}
        codes, program, kind = self._subset(letters)
        writer = _Objects()
        catalog, tree, font = writer.reserve(), writer.reserve(), self._write_font(writer, codes, program, kind)
        pages = []
        for page in self._pages:
            drawn = "\n".join(
                part if isinstance(part, str) else f"{part[0]}<{_hex(codes, part[1])}>{part[2]}" for part in page
            )
            content = writer.stream(drawn.encode("ascii"))
            pages.append(
                writer.add(
                    f"<</Type/Page/Parent {tree} 0 R/MediaBox[0 0 {WIDTH:g} {HEIGHT:g}]"
                    f"/Resources<</Font<</F1 {font} 0 R>>>>/Contents {content} 0 R>>"
                )
            )
        kids = " ".join(f"{page} 0 R" for page in pages)
        writer.put(tree, f"<</Type/Pages/Count {len(pages)}/Kids[{kids}]>>")
        outline = self._write_marks(writer, pages)
        writer.put(
            catalog,
            f"<</Type/Catalog/Pages {tree} 0 R/Outlines {outline} 0 R/PageMode/UseOutlines/Lang({self._language})"
            "/ViewerPreferences<</DisplayDocTitle true>>>>",
        )
        information = writer.add(f"<</Title<{_utf16(self._title)}>/Producer(Memorial Studio)>>")
        temporary = path.with_name(f".{path.name}")
        temporary.write_bytes(writer.document(catalog, information))
        temporary.replace(path)

    def _glyph(self, letter: str) -> str:
        return self._names.get(ord(letter), ".notdef") if ".notdef" in self._widths else self._names[ord(letter)]

    def _subset(self, letters: Iterable[str]) -> tuple[dict[str, int], bytes, str]:
        """(code of each letter, the font program, its kind in a PDF)."""
        from fontTools.subset import Options, Subsetter
        from fontTools.ttLib import TTFont

        used = sorted(set(letters))
        options = Options(layout_features=[], hinting=False, notdef_outline=True, name_IDs=[], glyph_names=False)
        options.drop_tables += ["GSUB", "GPOS", "BASE", "VORG", "vhea", "vmtx", "STAT", "DSIG"]
        names = {letter: self._glyph(letter) for letter in used}
        subsetter = Subsetter(options)
        subsetter.populate(unicodes=[ord(letter) for letter in used])
        subsetter.subset(self._font)
        whole = io.BytesIO()
        self._font.save(whole)
        small: Any = TTFont(io.BytesIO(whole.getvalue()), lazy=True)
        if "CFF " not in small:
            order = {name: place for place, name in enumerate(self._font.getGlyphOrder())}
            return {letter: order.get(name, 0) for letter, name in names.items()}, whole.getvalue(), "TrueType"
        program = bytes(small.reader["CFF "])
        if hasattr(self._font["CFF "].cff.topDictIndex[0], "ROS"):  # the code is the character's id in the collection
            return {x: int(name[3:]) if name[:3] == "cid" else 0 for x, name in names.items()}, program, "CFF"
        order = {name: place for place, name in enumerate(self._font.getGlyphOrder())}
        return {letter: order.get(name, 0) for letter, name in names.items()}, program, "CFF"

    def _write_font(self, writer: "_Objects", codes: dict[str, int], program: bytes, kind: str) -> int:
        cff = kind == "CFF"
        file = writer.stream(program, "/Subtype/CIDFontType0C" if cff else f"/Length1 {len(program)}")
        os2, box = self._font["hhea"], self._font["head"]
        bounds = [round(1000 * self._scale * value) for value in (box.xMin, box.yMin, box.xMax, box.yMax)]
        ascent, descent = (round(1000 * self._scale * value) for value in (os2.ascent, os2.descent))
        described = writer.add(
            f"<</Type/FontDescriptor/FontName/MEMORI+Report/Flags 4/FontBBox{bounds}/ItalicAngle 0/Ascent {ascent}"
            f"/Descent {descent}/CapHeight {ascent}/StemV 80/FontFile{3 if cff else 2} {file} 0 R>>".replace(",", "")
        )
        widths = " ".join(
            f"{code}[{1000 * self.width(letter, 1):.0f}]" for letter, code in sorted(codes.items(), key=lambda x: x[1])
        )
        descendant = writer.add(
            f"<</Type/Font/Subtype/CIDFontType{0 if cff else 2}/BaseFont/MEMORI+Report/FontDescriptor {described} 0 R"
            f"/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>/DW 1000/W[{widths}]"
            f"{'' if cff else '/CIDToGIDMap/Identity'}>>"
        )
        unicode = writer.stream(_to_unicode(codes).encode("ascii"))
        return writer.add(
            "<</Type/Font/Subtype/Type0/BaseFont/MEMORI+Report/Encoding/Identity-H"
            f"/DescendantFonts[{descendant} 0 R]/ToUnicode {unicode} 0 R>>"
        )

    def _write_marks(self, writer: "_Objects", pages: list[int]) -> int:
        outline = writer.reserve()
        numbers = [writer.reserve() for _ in self._marks]
        for place, (title, page) in enumerate(self._marks):
            before = f"/Prev {numbers[place - 1]} 0 R" if place else ""
            after = f"/Next {numbers[place + 1]} 0 R" if place + 1 < len(numbers) else ""
            writer.put(
                numbers[place],
                f"<</Title<{_utf16(title)}>/Parent {outline} 0 R{before}{after}/Dest[{pages[page]} 0 R/Fit]>>",
            )
        ends = f"/First {numbers[0]} 0 R/Last {numbers[-1]} 0 R" if numbers else ""
        writer.put(outline, f"<</Type/Outlines/Count {len(numbers)}{ends}>>")
        return outline


class _Objects:
    """The numbered objects of a file."""

    def __init__(self) -> None:
        self._bodies: list[bytes] = []

    def reserve(self) -> int:
        self._bodies.append(b"null")
        return len(self._bodies)

    def put(self, number: int, body: str) -> None:
        self._bodies[number - 1] = body.encode("ascii")

    def add(self, body: str) -> int:
        number = self.reserve()
        self.put(number, body)
        return number

    def stream(self, content: bytes, more: str = "") -> int:
        packed = zlib.compress(content, 9)
        number = self.reserve()
        head = f"<</Length {len(packed)}/Filter/FlateDecode{more}>>\nstream\n".encode("ascii")
        self._bodies[number - 1] = head + packed + b"\nendstream"
        return number

    def document(self, catalog: int, information: int) -> bytes:
        out, places = io.BytesIO(), []
        out.write(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
        for number, body in enumerate(self._bodies, 1):
            places.append(out.tell())
            out.write(f"{number} 0 obj\n".encode("ascii") + body + b"\nendobj\n")
        start = out.tell()
        out.write(f"xref\n0 {len(places) + 1}\n0000000000 65535 f \n".encode("ascii"))
        out.write("".join(f"{place:010d} 00000 n \n" for place in places).encode("ascii"))
        size = len(places) + 1
        trailer = f"trailer\n<</Size {size}/Root {catalog} 0 R/Info {information} 0 R>>\nstartxref\n{start}\n%%EOF\n"
        out.write(trailer.encode("ascii"))
        return out.getvalue()


def _rgb(colour: str) -> str:
    return " ".join(f"{int(colour[at : at + 2], 16) / 255:.3f}" for at in (1, 3, 5))


def _hex(codes: dict[str, int], text: str) -> str:
    return "".join(f"{codes[letter]:04X}" for letter in text)


def _utf16(text: str) -> str:
    return "FEFF" + text.encode("utf-16-be").hex().upper()


def _to_unicode(codes: dict[str, int]) -> str:
    """The map from codes back to letters: what makes text searchable."""
    pairs = [f"<{code:04X}> <{letter.encode('utf-16-be').hex().upper()}>" for letter, code in sorted(codes.items())]
    blocks = [pairs[at : at + 100] for at in range(0, len(pairs), 100)]
    lines = "\n".join(f"{len(block)} beginbfchar\n" + "\n".join(block) + "\nendbfchar" for block in blocks)
    return (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap\n"
        "/CMapName /Report-UCS def /CMapType 2 def\n"
        "1 begincodespacerange <0000> <FFFF> endcodespacerange\n"
        f"{lines}\nendcmap CMapName currentdict /CMap defineresource pop end end"
    )
