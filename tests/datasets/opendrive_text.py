"""Writes small OpenDRIVE documents."""

from __future__ import annotations

from pathlib import Path

HEADER = '<header revMajor="1" revMinor="6" name="" version="1.00"/>'


def width(*rows: tuple[float, float, float, float, float]) -> str:
    """Records of (sOffset, a, b, c, d)."""
    return "".join(
        f'<width sOffset="{s}" a="{a}" b="{b}" c="{c}" d="{d}"/>'
        for s, a, b, c, d in rows or [(0, 3.5, 0, 0, 0)]
    )


def lane(number: int, inside: str = "", kind: str = "driving", link: str = "") -> str:
    widths = "" if "<width" in inside or "<border" in inside or number == 0 else width()
    return f'<lane id="{number}" type="{kind}" level="false"><link>{link}</link>{widths}{inside}</lane>'


def section(*lanes: str, s: float = 0.0, center: str = "") -> str:
    left = "".join(x for x in lanes if 'lane id="-' not in x)
    right = "".join(x for x in lanes if 'lane id="-' in x)
    return (
        f'<laneSection s="{s}">'
        + (f"<left>{left}</left>" if left else "")
        + f"<center>{lane(0, center, 'none')}</center>"
        + (f"<right>{right}</right>" if right else "")
        + "</laneSection>"
    )


def geometry(
    body: str = "<line/>",
    length: float = 100.0,
    s: float = 0.0,
    x: float = 0.0,
    y: float = 0.0,
    hdg: float = 0.0,
) -> str:
    return f'<geometry s="{s}" x="{x}" y="{y}" hdg="{hdg}" length="{length}">{body}</geometry>'


def road(
    number: int = 1,
    sections: str | None = None,
    plan: str | None = None,
    length: float = 100.0,
    link: str = "",
    junction: int = -1,
    more: str = "",
    offsets: str = "",
    rule: str = "",
) -> str:
    rule = f' rule="{rule}"' if rule else ""
    return (
        f'<road name="" length="{length}" id="{number}" junction="{junction}"{rule}><link>{link}</link>'
        f"<planView>{plan or geometry(length=length)}</planView>{more}"
        f"<lanes>{offsets}{sections or section(lane(1), lane(-1))}</lanes></road>"
    )


def document(*parts: str, header: str = HEADER) -> str:
    return f'<?xml version="1.0"?>\n<OpenDRIVE>{header}\n' + "\n".join(parts) + "\n</OpenDRIVE>\n"


def write(folder: Path, text: str | bytes, name: str = "road.xodr") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path
