"""All 23 parts of ``vila-v1.5`` small: a hub of the recipes' golden rows, and the media that those rows name."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gristmill import mixtures, recipes
from gristmill.spec.recipe import Source
from gristmill.testing.check_recipe import golden_rows
from gristmill.testing.documents import write_mmc4
from gristmill.testing.instructions import write_flan
from gristmill.testing.pictures import shipped_pictures
from gristmill.testing.rows import write_coyo
from gristmill.testing.videos import MadeVideo, made_video
from gristmill.testing.web import FakeWeb

__all__ = ["BY_HAND", "parts_of", "write_world"]

GOLDEN = Path(__file__).parents[1] / "recipes"
WRITTEN = ("coyo-700m", "mmc4-core", "text-flan")
BY_HAND = ("sam", "vcr", "scienceqa", "youcook2-videos", "kinetics-videos", "activitynet-videos")
"""What only a person can fetch, by its folder in ``DIR/sources``."""
_RATE = 4


def parts_of(name: str) -> Iterator[str]:
    """The recipes of a mixture or of a group, those of mixtures in it in their place."""
    for one in mixtures.groups().get(name, (name,)):
        for part in mixtures.find(one).parts:
            yield from parts_of(part.name) if mixtures.is_mixture(part.name) else (part.name,)


def write_world(folder: Path, web: FakeWeb) -> tuple[dict[str, dict[str, bytes | Path]], dict[str, Path]]:
    """What lies on the hub by repository and path, and what is given as ``--source`` by what is typed.

    What waits by hand is in ``folder / "by-hand"``.
    """
    hub: dict[str, dict[str, bytes | Path]] = defaultdict(dict)
    copies: dict[str, Path] = dict.fromkeys(("*.gqa", "*.textvqa"), Path("none"))
    wanted: dict[tuple[str, str], tuple[Source, set[str]]] = {}
    for name in parts_of("vila-v1.5"):
        recipe, golden = recipes.find(name), GOLDEN / recipes.find(name).name
        rows, base = recipe.source("annotations"), folder / "rows" / name
        _write_rows(base, name, rows, golden, web)
        for source in (one for one in recipe.sources if one.role == "aux"):
            for path in (golden / pattern.rpartition("/")[2] for pattern in source.patterns):
                if path.is_file() and source.hub:
                    hub[source.hub][str(Path(_named(rows)).parent / path.name)] = path
                elif path.is_file():
                    copies[f"{name}.{source.key}"] = path
        if rows.hub:
            hub[rows.hub] |= {str(path.relative_to(base)): path for path in base.rglob("*") if path.is_file()}
        else:
            copies[f"{name}.annotations"] = base / _named(rows)
        for key, place in () if name in WRITTEN else _media(golden):
            source = recipe.source(key)
            known = f"{name if source.folder else '*'}.{key}", source.folder or key
            wanted.setdefault(known, (source, set()))[1].add(place)
    for (typed, at), (source, places) in wanted.items():
        if at not in BY_HAND:
            copies[typed] = folder / "media" / at
        _write_media(folder / ("by-hand" if at in BY_HAND else "media") / at, source, sorted(places))
    return dict(hub), copies


def _write_rows(folder: Path, name: str, source: Source, golden: Path, web: FakeWeb) -> None:
    if name == "coyo-700m":
        write_coyo(folder, web, files=1, rows=80)
    elif name == "mmc4-core":
        write_mmc4(folder, web, documents=20)
    elif name == "text-flan":
        write_flan(folder, rows=96)
    else:
        body = _file(source, golden)
        if name == "wit":  # at another host, whose own rules do not hold
            body = re.sub(rb"https?://upload\.wikimedia\.org/[^\"]*", web.url("/photo/1.jpg").encode(), body)
        path = folder / _named(source)
        path.parent.mkdir(parents=True)
        path.write_bytes(body)


def _named(source: Source) -> str:
    """The first name that its patterns allow."""
    return source.patterns[0].replace("*", "00000-of-00001")


def _file(source: Source, golden: Path) -> bytes:
    rows = golden_rows(golden)
    if golden.name == "wit":  # the others have no address but one that is made of their names, at Wikimedia
        rows = [row for row in rows if "image_url" in row]
    if source.format == "parquet":
        shown = {"bytes": shipped_pictures().get(1, "png", 64).data, "path": "image.png"}
        made = [
            {key: value for key, value in {**row, "image": row["image"] and shown}.items() if key[0] != "_"}
            for row in rows
            if isinstance(row.get("choices"), list) and isinstance(row.get("answer"), int)
        ]
        out = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(made), out)
        return out.getvalue().to_pybytes()
    if source.format == "json":
        return json.dumps(rows).encode()
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


def _media(golden: Path) -> Iterator[tuple[str, str]]:
    """Source and name of each medium of the golden samples that lies in a source."""
    for line in (golden / "expected.jsonl").read_text("utf-8").splitlines()[1:]:
        for medium in json.loads(line).get("sample", {}).get("media", {}).values():
            at = medium.get("at", {})
            if name := at.get("path") or at.get("name") or at.get("folder"):
                yield at["source"], name


def _write_media(folder: Path, source: Source, names: list[str]) -> None:
    for number, name in enumerate(names):
        if source.key == "videos":
            files = {f"{name}.mp4": _video(number)}
        elif source.key == "frames":
            files = {f"{name}/c01_{n:04d}.jpeg": _picture(n, "jpeg") for n in range(1, 11)}
        else:
            files = {name: _picture(number, name.rpartition(".")[2])}
        for file, body in files.items():
            path = folder / _member(source, file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)


def _member(source: Source, path: str) -> str:
    """A name in the source by which records find the medium: in the first layout that can hold it."""
    for layout in source.layouts:
        folders = layout.example.split("/")[:-1]
        for count in range(len(folders), -1, -1):
            member = "/".join([*folders[:count], path])
            if layout.path_of(member) == path:
                return member
    return path


def _picture(number: int, ending: str) -> bytes:
    return shipped_pictures().get(number, "png" if ending == "png" else "jpg", 64).data


def _video(number: int) -> bytes:
    return made_video(MadeVideo(frames=100 * _RATE + number, rate=Fraction(_RATE), size_px=(64, 48)))
