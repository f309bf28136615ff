"""Puts a page together: one file, no request to anywhere, and nothing in it that data could run.

The policy in the page's head allows exactly this script and this style (by their hashes) and pictures
inside the page; everything else, any connection included, is refused by the browser. Data stand in a
block that browsers do not run, with every character escaped that could end it.
"""

from __future__ import annotations

import base64
import hashlib
import html
import importlib.resources
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


def asset(package: str, name: str) -> str:
    """A text file that lies beside a module."""
    return (importlib.resources.files(package) / name).read_text(encoding="utf-8")


def script_of(package: str, names: Sequence[str]) -> str:
    """Several script files as one, closed off from the page's other names."""
    body = "\n".join(asset(package, name).strip() for name in names)
    return f'(() => {{\n"use strict";\n{body}\n}})();\n'


def json_block(value: Any) -> str:
    """JSON that is safe between script tags: `<`, `>`, `&` and line separators are escaped."""
    text = json.dumps(value, sort_keys=True, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def build_page(title: str, body: str, style: str, script: str, data: Any = None) -> str:
    """The whole file. `body` must be markup of ours; `title` and `data` may hold any text."""
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_hash(script)}'",
            f"style-src '{_hash(style)}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    block = "" if data is None else f'<script type="application/json" id="data">{json_block(data)}</script>\n'
    return (
        "<!doctype html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<meta name="referrer" content="no-referrer">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{html.escape(title)}</title>\n"
        f"<style>{style}</style>\n</head>\n<body>\n{body.strip()}\n{block}"
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
