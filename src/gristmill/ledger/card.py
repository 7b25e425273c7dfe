"""``README.md``: the dataset card, as the Hugging Face hub and its library read it.

Format: https://huggingface.co/docs/hub/datasets-cards
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import orjson

from gristmill import __version__
from gristmill.ledger.features import IMAGE_PARTS, VIDEO_PARTS, features, printed, shape_of
from gristmill.ledger.funnel import Funnel, funnel
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.losses import ADVICE, explained, grouped
from gristmill.ledger.manifest import listing_digest, shards_of
from gristmill.ledger.mixture_parts import PartAccount, parts_account
from gristmill.ledger.run_config import RunConfig
from gristmill.ledger.words import share_text, size_text
from gristmill.shards.lossless import readable, utf8
from gristmill.shards.references import is_references
from gristmill.shards.shape import Shape
from gristmill.spec.command import to_type
from gristmill.spec.recipe import Recipe, Source
from gristmill.spec.sample import Json
from gristmill.spec.task import ShardInfo
from gristmill.storage.hub import MODELS

__all__ = ["REDISTRIBUTION", "card", "card_bytes", "command"]

REDISTRIBUTION: Mapping[str, str] = {
    "media": "All of it may be passed on, under the licence above.",
    "urls": "Only the addresses and annotations may be passed on; the pictures belong to their owners. "
    "Do not publish the shards.",
    "nothing": "Nothing of this may be passed on.",
}
"""What a recipe's ``redistribution`` means."""

_HUB_LICENSES = frozenset(
    {
        *(
            "apache-2.0",
            "mit",
            "cc0-1.0",
            "cc-by-2.0",
            "cc-by-3.0",
            "cc-by-4.0",
            "cc-by-sa-3.0",
            "cc-by-sa-4.0",
        ),
        *("cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-4.0"),
        *("odc-by", "odbl", "pddl", "cdla-permissive-2.0", "unknown"),
    }
)
"""Licences that the hub knows by name; others are ``other`` with a name and a link."""

_SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B", "1B<n<10B")


def card_bytes(recipe: Recipe, config: RunConfig, ledger: Ledger) -> bytes:
    """The content of ``README.md``.

    Raises:
        DamagedOutput: A shard of whose samples no record says what they are made of is damaged.
        OSError: As the system says.
    """
    return utf8(card(recipe, config, ledger))


def card(recipe: Recipe, config: RunConfig, ledger: Ledger) -> str:
    """The text of the card: YAML for machines, then prose for people."""
    levels = funnel(ledger.totals(), config)
    shards = shards_of(ledger)
    shape = shape_of(ledger)
    schema = features(shape)
    sections = (
        _opening(recipe, levels, shards),
        _contents(schema, shape, mixed=bool(config.parts), refers=_refers(shards)),
        _making(recipe, config),
        _parts(parts_account(config, ledger)),
        _funnel_table(levels),
        _loss_tables(levels),
        (_reading if _refers(shards) else _loading)(_where(config, ledger), shape, shards),
        _licence(recipe, schema),
        _traps(recipe),
        _citation(recipe),
    )
    return _front_matter(recipe, levels, schema, shards) + "\n\n".join(s for s in sections if s) + "\n"


def _where(config: RunConfig, ledger: Ledger) -> str:
    """Say where the dataset lies if its command is given ``--out DIR``: one over a person's files writes there."""
    return "DIR" if config.built else f"DIR/{ledger.store.title}"


def command(config: RunConfig) -> str:
    """The command that makes this dataset, as far as it bears on what comes out."""
    plain = ("mix", Path(config.recipe).name) if config.parts else ("run", config.name)
    words = ["gristmill", *(config.built.command if config.built else plain), "--out", "DIR"]
    if config.only is not None:
        words += ["--only", str(config.only)]
    words += [f"--{name.replace('_', '-')}={value}" for name, value in config.arguments.items() if value]
    for name, value in config.settings.items():
        words += ["--set", f"{name}={value}"]
    return shlex.join(words)


def _front_matter(recipe: Recipe, levels: Funnel, schema: Sequence[Json], shards: Sequence[ShardInfo]) -> str:
    """JSON is YAML, so every value is written as JSON: quoted text cannot break out.

    ``datasets`` finds what it has prepared before by this text alone, not by the files: it tells what is in them.
    """
    split = {
        "name": "train",
        "num_bytes": sum(shard.size_bytes for shard in shards),
        "num_examples": sum(shard.samples for shard in shards),
    }
    keys: dict[str, Json] = {
        **_hub_license(recipe),
        "pretty_name": recipe.title,
        "size_categories": [_size_category(levels.count("packed"))],
        "task_categories": ["video-text-to-text"]
        if _videos(schema)
        else ["image-to-text", "image-text-to-text"]
        if _pictures(schema)
        else ["text-generation", "question-answering"],
        "source_datasets": list(
            dict.fromkeys(
                source.hub for source in recipe.sources if source.hub and not source.hub.startswith(MODELS)
            )
        ),
        "tags": ["webdataset", "gristmill"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": "train", "path": _PATTERNS[_refers(shards)]}],
                "description": f"Shards of checksum {listing_digest((s.path, s.digest) for s in shards)}",
            },
        ],
    }
    lines = [f"{key}: {_json(value)}" for key, value in keys.items() if value]
    lines += ["dataset_info:"]
    if not _refers(shards):  # of references the library finds the columns in the files
        lines += ["  features:", *(f"  - {_json(field)}" for field in schema)]
    lines += ["  splits:", f"  - {_json(split)}"] if shards else []
    lines += [f"  {name}: {split['num_bytes']}" for name in ("download_size", "dataset_size")]
    return "---\n" + "\n".join(lines) + "\n---\n\n"


_PATTERNS = ("shards/*.tar", "references/*.parquet")


def _refers(shards: Sequence[ShardInfo]) -> bool:
    return any(is_references(shard.path) for shard in shards)


_NOT_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def _json(value: Json) -> str:
    """JSON without the characters that YAML takes for line ends, or refuses."""
    return _NOT_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", orjson.dumps(readable(value)).decode())


def _hub_license(recipe: Recipe) -> dict[str, Json]:
    name = re.sub(r"[^a-z0-9.]+", "-", recipe.license.lower()).strip("-")
    if name in _HUB_LICENSES:
        return {"license": name}
    return {"license": "other", "license_name": name or "unnamed", "license_link": recipe.homepage}


def _size_category(samples: int) -> str:
    return next((s for i, s in enumerate(_SIZES) if samples < 10 ** (i + 3)), "10B<n<100B")


def _opening(recipe: Recipe, levels: Funnel, shards: Sequence[ShardInfo]) -> str:
    size = size_text(sum(shard.size_bytes for shard in shards))
    boxes = f"{len(shards):,} shard{'s' if len(shards) != 1 else ''}"
    state = "" if levels.complete else f"\n\n**Not complete yet.** {_waiting(levels)}"
    place = f", from <{recipe.homepage}>" if recipe.homepage else ""
    return (
        f"# {recipe.title}\n\n{recipe.description.strip()}\n\n"
        f"Recipe `{recipe.public_name}`, version {recipe.version}{place}: "
        f"{levels.count('packed'):,} samples in {boxes}, {size}.{state}"
    )


def _waiting(levels: Funnel) -> str:
    waiting = sum(level.waiting for level in levels.levels)
    return (
        f"{levels.files_read:,} of {levels.files:,} {levels.inputs} are read and {waiting:,} samples wait. "
        "The command that made it continues it."
    )


def _contents(schema: Sequence[Json], shape: Shape, *, mixed: bool, refers: bool) -> str:
    parts = [field["name"] for field in schema if not field["name"].startswith("__")]
    media = [part for part in parts if part not in ("txt", "json")]
    numbered = [part for part in media if part[0].isdigit()]
    lines = [
        f"- `<key>.{part}`: the {'video' if part in VIDEO_PARTS else 'picture'} as stored"
        for part in media
        if part not in numbered
    ]
    frames = numbered and "frames" in shape.json.fields
    if numbered:
        upto = f" ... `<key>.{numbered[-1]}`" if len(numbered) > 1 else ""
        what = "the frames of its video, in order" if frames else "the pictures as stored, by position"
        lines.append(f"- `<key>.{numbered[0]}`{upto}: {what}, as many as there are")
    lines += ["- `<key>.txt`: its text; empty where there is none"] if "txt" in parts else []
    said = "`turns`, each with its `role` and its `parts`, text or a picture's name; " if numbered else ""
    videos = frames or any(part.rpartition(".")[2] in VIDEO_PARTS for part in media)
    medium = "video" if videos else "picture"
    counted = "; of a video `duration_s`, `fps` and `frames`, measured on what is stored" if videos else ""
    facts = (
        f"{said}`url`; `sha256`, `md5` and `bytes` of the {medium} as it came; `original_width`, `original_height`; "
        f"`width`, `height`, `stored_bytes` as stored{counted}; `phash` and `phash_distance`"
        if media
        else "`turns`, each with its `role` and text"
    )
    lines.append(f"- `<key>.json`: {facts}; `origin` (file and row); `upstream`, the row verbatim")
    return (
        "## What is in it\n\n"
        + (_REFERRING if refers else "`shards/*.tar` in WebDataset form.")
        + " Keys are unique and the same on every run.\n\n"
        + "\n".join(lines)
        + _differing(shape)
        + "\n\nThe fate of every "
        + (
            "sample that was left out is in `fates/*.parquet`, that of every upstream row with the parts"
            if mixed
            else "upstream row, kept or not and why, is in `fates/*.parquet`"
        )
        + "; `dataset.json` holds the pinned sources, counts and the checksum of each shard; `report.html` shows all "
        "this in one page."
    )


_MOST_NAMED = 20


def _differing(shape: Shape) -> str:
    """Say which samples have other parts than the rest, and which columns have values of several types."""
    said = ""
    if shape.sets is None:
        said += "\n\nSamples differ in their parts: ask each for what it has."
    elif len(shape.sets) > 1:
        sets = "; or ".join(" ".join(f"`{part}`" for part in sorted(one)) for one in shape.sets)
        said += f"\n\nSamples differ in their parts. A sample has {sets}."
    if columns := printed(shape):
        names = ", ".join(f"`{_json(name)[1:-1]}`" for name in columns[:_MOST_NAMED])
        more = f" and {len(columns) - _MOST_NAMED} more" if len(columns) > _MOST_NAMED else ""
        hold = "hold" if len(columns) > 1 else "holds"
        said += (
            f"\n\nIn the `json` part {names}{more} {hold} values of several types, or integers from 2^63 on. "
            "Through `datasets` these load as text, each value as Python prints it."
        )
    return said


def _making(recipe: Recipe, config: RunConfig) -> str:
    lines = ["## How it was made", "", f"By Gristmill {__version__}:", ""]
    lines += ["```sh", command(config), "```", ""]
    for source in () if config.parts else recipe.sources:
        pinned = _pinned(source, config)
        files = [i for i in config.files if i.source == source.key]
        if not files and source.role == "media":
            lines.append(f"- source `{source.key}`: left out, nothing was read of it")
            continue
        if source.home is not None and files and all(file.path is not None for file in files):
            pinned = f"somebody's own copy, in the place of {pinned}"
        size = size_text(sum(i.size_bytes for i in files))
        lines.append(
            f"- source `{source.key}`: {pinned}, {len(files):,} file{'s' if len(files) != 1 else ''}, {size}"
        )
    for number, step in enumerate(config.identity["steps"], 1):
        settings = ", ".join(
            f"{key} = `{_json(_listed(value))}`"
            for key, value in step.items()
            if key not in ("step", "revision")
        )
        lines.append(
            f"- step {number}, **{step['step']}** (revision {step['revision']}): {settings or 'as is'}"
        )
    return "\n".join(lines)


def _pinned(source: Source, config: RunConfig) -> str:
    if source.hub:
        return f"`{source.hub}` at revision `{config.revision_of(source)}`"
    if source.downloads:
        return ", ".join(f"<{one.url}>" for one in source.downloads)
    if source.role == "media":
        return f"{source.title or source.key}, by hand"
    return f"<{source.url}> of SHA-256 `{source.sha256}`" if source.url else "a local list"


def _parts(accounts: Sequence[PartAccount]) -> str:
    """List what each part of a mixture gave, and by which shards."""
    if not accounts:
        return ""
    rows = [
        (
            f"`{part.part}` {part.version}",
            f"{part.samples:,}",
            f"{part.repeated:,}" if part.repeated else "",
            f"{part.dropped.total():,}" if part.dropped else "",
            f"{part.waiting:,}" if part.waiting else "",
            f"{part.kept:,}",
            f"`{part.checksum[:16]}`",
        )
        for part in accounts
    ]
    head = ("part", "samples", "copies", "left out", "waiting", "in the mixture", "its shards")
    return "## Parts\n\n" + _table(head, rows)


def _listed(value: Json) -> Json:
    return sorted(value) if isinstance(value, (set, frozenset)) else value


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rule = ["---", *("---:" if title not in ("", "meaning", "of which") else "---" for title in head[1:])]
    lines = [head, rule, *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _funnel_table(levels: Funnel) -> str:
    rows = []
    for level in levels.levels:
        lost = ", ".join(f"{reason} {number:,}" for reason, number in list(level.lost.items())[:4])
        rest = len(level.lost) - 4
        rows.append(
            (
                level.title,
                f"{level.count:,}",
                f"{level.lost_count:,}" if level.phase else "",
                f"{level.waiting:,}" if level.waiting else "",
                lost + (f", and {rest} more" if rest > 0 else ""),
            )
        )
    table = _table(("rows", "number", "lost after", "waiting", "of which"), rows)
    return f"## Where every row went\n\nEach number is the next one, plus what was lost or waits.\n\n{table}"


def _loss_tables(levels: Funnel) -> str:
    chosen = levels.count("selected")  # what is lost before it is asked for is among the losses
    if not chosen:
        return ""
    blocks = ["## Losses by reason", f"Shares are of the {chosen:,} samples chosen."]
    for group, reasons in grouped(levels.dropped(after_selection=True)).items():
        rows = [(f"`{r}`", f"{n:,}", share_text(n, chosen), explained(r)) for r, n in reasons.items()]
        blocks += [f"{ADVICE[group]}", _table(("reason", "number", "share", "meaning"), rows)]
    return "\n\n".join(blocks) if len(blocks) > 2 else ""


_DECODED_BY_DEFAULT = frozenset({"jpg", "jpeg", "png"})


def _loading(where: str, shape: Shape, shards: Sequence[ShardInfo]) -> str:
    wanted = _of_every_sample(shape)
    taken = f".to_tuple({', '.join(map(_json, wanted))})" if wanted else ""
    extensions = {part.rpartition(".")[2] for part in (*shape.parts, *shape.positions)} & IMAGE_PARTS
    pictures = '"pil"'
    if extensions - _DECODED_BY_DEFAULT:
        pictures = f'wds.imagehandler("pil", {_json(sorted(extensions))})'
    last = Path(shards[-1].path).stem if shards else "00000"
    return f"""## How to load it

```python
import webdataset as wds

dataset = wds.WebDataset("shards/{{00000..{last}}}.tar", shardshuffle=100).decode({pictures}){taken}
```

```python
from datasets import load_dataset

dataset = load_dataset("{where}", split="train", streaming=True)
```

```sh
{to_type("verify", where)}
{to_type("export", where, "--to", "vila", "--out", "X")}
```

The features are declared above on purpose: without them `datasets` looks at the first five samples only and
silently leaves out what later ones have."""


_REFERRING = (
    "An index, and no samples: `references/*.parquet` say in order which sample of which part's shard stands where "
    "(`part`, `shard`, `offset`, `size`, `crc32`; `prefix` and `suffix` go around its key). The samples are read "
    "from the parts, which must stay where they are, or beside this folder. There they have:"
)


def _reading(where: str, shape: Shape, shards: Sequence[ShardInfo]) -> str:
    return f"""## How to read it

```sh
{to_type("verify", where)}
{to_type("export", where, "--to", "vila", "--out", "X")}
```

The `size` bytes at `offset` of a shard are one sample: the members of a tar file, headers and all."""


def _of_every_sample(shape: Shape) -> list[str]:
    """What a tuple can ask of every sample, in the words of ``webdataset``; nothing where samples are too unlike."""
    sets = [one & frozenset(shape.parts) for one in shape.sets or ()]
    media = [part for part in shape.parts if part in IMAGE_PARTS or part in VIDEO_PARTS]
    if not sets or shape.positions or any(len(one.intersection(media)) != bool(media) for one in sets):
        return []
    both = [part for part in ("txt", "json") if all(part in one for one in sets)]
    return [";".join(media), *both] if media else both


def _pictures(schema: Sequence[Json]) -> list[str]:
    """Parts that are pictures."""
    return [field["name"] for field in schema if field["name"].rpartition(".")[2] in IMAGE_PARTS]


def _videos(schema: Sequence[Json]) -> list[str]:
    """Parts that are videos."""
    return [field["name"] for field in schema if field["name"].rpartition(".")[2] in VIDEO_PARTS]


def _licence(recipe: Recipe, schema: Sequence[Json]) -> str:
    said = f"## Licence\n\n{recipe.license}, as upstream states it."
    if not _pictures(schema) and not _videos(schema):
        return said
    return (
        f"{said} {REDISTRIBUTION[recipe.redistribution]} "
        f"Each {'video' if _videos(schema) else 'picture'} has its own owner, whatever the licence of the list says."
    )


def _traps(recipe: Recipe) -> str:
    return "## Known traps\n\n" + "\n".join(f"- {trap}" for trap in recipe.traps) if recipe.traps else ""


def _citation(recipe: Recipe) -> str:
    return f"## Citation\n\n```bibtex\n{recipe.citation.strip()}\n```" if recipe.citation else ""
