"""One ``playground/data`` of all of a training's datasets, with the paths and names that VILA's release has for them.

Each dataset of conversations is first written whole into ``.parts/NAME``, then given its names in the common tree, as
hard links. Pickles are written where they stay. The release has two folders for the same pictures: here
``ShareGPT4V/data`` is a link to ``playground/data`` itself.
"""

from __future__ import annotations

import filecmp
import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from gristmill.exports._dialect import command
from gristmill.exports._exporter import Exported, FinishedShards
from gristmill.exports._vila import ASKED_FOR
from gristmill.spec.errors import UsageError
from gristmill.storage.files import write_whole

__all__ = ["PICKLES", "join_tree", "part_folder", "pickle_folder"]

PICKLES: Mapping[str, tuple[str, str]] = {
    "coyo-700m": ("coyo", "coyo-700m/pkl02-split"),
    "mmc4-core": ("mmc4", "mmc4-core/pkl-core"),
    "vflan": ("vflan", "vlm-flan-clean-text1m-nosqa-sharded"),
    "gsm8k-screl": ("vflan", "math"),
}
"""By recipe or mixture: the loader in the release's registry, and the folder below ``playground/data``."""

_DATA = "playground/data"
_PARTS = ".parts"
_SAME_ROOT = ("ShareGPT4V", "data")
_ENTRIES, _LINES, _MIXTURES = "vila.yaml", "add_dataset.py", "mixtures.yaml"


def part_folder(out: Path, name: str) -> Path:
    """Say where the conversations of one dataset are written first."""
    return out / _PARTS / name


def pickle_folder(out: Path, name: str) -> Path:
    """Say where the pickles of one dataset are written."""
    return out / _DATA / PICKLES[name][1]


def join_tree(datasets: Sequence[FinishedShards], out: Path) -> Exported:
    """Give what was written of each dataset its names in the common tree, and register all of it once.

    Args:
        datasets: All that lie beside each other; mixtures of them are named with their parts.
        out: The folder.

    Raises:
        UsageError: Two datasets have other bytes of the same name.
    """
    entries, lines, heads, names = "", [], set[str](), dict[str, list[str]]()
    done = Exported(form="playground/data")
    for dataset in datasets:
        part = part_folder(out, dataset.name)
        if dataset.name in PICKLES and pickle_folder(out, dataset.name).is_dir():
            loader, folder = PICKLES[dataset.name]
            names[dataset.name] = [ASKED_FOR[dataset.name]]
            where = {"dataset_type": loader, "data_path": f"./{_DATA}/{folder}"}
            lines.append(_line({"dataset_name": ASKED_FOR[dataset.name], **where}))
        elif part.is_dir():
            _link_all(part / _DATA, out / _DATA, dataset.name)
            said = (part / _ENTRIES).read_text("utf-8")
            names[dataset.name] = re.findall(r"(?m)^(\w+):$", said)
            heads |= {*names[dataset.name]}
            entries += said
            lines += re.findall(r"(?m)^add_dataset.*\n", (part / _LINES).read_text("utf-8"))
    mixtures = {one.name: _of(one, names) for one in datasets if one.parts and one.name not in names}
    mixtures = {name: parts for name, parts in mixtures.items() if parts}
    for mixture in (one for one in datasets if one.name in mixtures):
        if missing := [part for part in mixture.parts if part not in names]:
            done.notes.append(f"{mixture.name} lacks here: {', '.join(missing)}")
    head = {name: [one for one in parts if one in heads] for name, parts in mixtures.items()}
    done.start = "\n".join(_start(mixtures, head, out.resolve()))
    where_to = "# in llava/data/datasets_mixture.py of VILA's release, instead of entries of these names\n"
    listed = "".join(f"{json.dumps(name)}:\n" + "".join(f"- {one}\n" for one in head[name]) for name in head)
    for name, text in {
        _ENTRIES: entries,
        _LINES: where_to + "".join(lines),
        _MIXTURES: f"# for llava/data/registry/mixtures.yaml of VILA's head, which reads no pickles\n{listed}",
        "README.md": f"# For VILA\n\nStart training:\n\n```sh\n{done.start}\n```\n",
    }.items():
        write_whole(out / name, text.encode())
    return done


def _of(mixture: FinishedShards, names: Mapping[str, list[str]]) -> list[str]:
    return [name for part in mixture.parts for name in names.get(part, ())]


def _line(where: Mapping[str, str]) -> str:
    said = ", ".join(f"{key}={json.dumps(value)}" for key, value in where.items())
    return f"add_dataset(Dataset({said}))\n"


def _start(mixtures: Mapping[str, list[str]], head: Mapping[str, list[str]], out: Path) -> Iterator[str]:
    yield "# VILA's release (143c773), with what add_dataset.py has"
    yield command("cp", "-al", f"{out / _DATA}/.", f"{_DATA}/")
    for name, parts in mixtures.items():
        yield from (f"# {name}", _train(name, parts))
    yield "# VILA's head, which reads no pickles"
    for name, parts in head.items():
        if parts:
            yield f"VILA_DATASETS={shlex.quote(str(out / _ENTRIES))} {_train(name, parts)}"


def _train(name: str, parts: Sequence[str]) -> str:
    plain = ("--vflan_no_system_prompt", "True") if "vflan" in parts else ()
    return command(
        *("torchrun", "llava/train/train_mem.py", "--model_name_or_path", "$MODEL"),
        *("--data_mixture", "+".join(parts), *plain, "--output_dir", f"checkpoints/{name}"),
    )


def _link_all(part: Path, data: Path, name: str) -> None:
    """Give all files of a part their names in the common tree too.

    Raises:
        UsageError: A name is taken by other bytes.
    """
    data.mkdir(parents=True, exist_ok=True)
    root = data.joinpath(*_SAME_ROOT)
    if not root.is_symlink():
        root.parent.mkdir(exist_ok=True)
        root.symlink_to("..")
    for folder, _, files in os.walk(part):
        below = Path(folder).relative_to(part)
        place = data.joinpath(*below.parts[2:]) if below.parts[:2] == _SAME_ROOT else data / below
        place.mkdir(parents=True, exist_ok=True)
        for file in files:
            path, to = Path(folder) / file, place / file
            try:
                to.hardlink_to(path)
            except FileExistsError:
                if not (to.samefile(path) or filecmp.cmp(to, path, shallow=False)):
                    raise UsageError(
                        f"{to} is there with other bytes than {name} has under that name. Export {name} by itself."
                    ) from None
