"""``gristmill new mixture NAME``."""

from __future__ import annotations

import os
import re
from pathlib import Path

import click

from gristmill.cli.options import LocalPath
from gristmill.spec.command import to_type
from gristmill.spec.errors import UsageError
from gristmill.storage.files import machine_error

_MIXTURE = """\
# A mixture of your own. Paths are relative to this file.
# What each key means: docs/how-to/mix.md

name = "{name}"
title = "{name}"
stages = ["sft"]             # align, pretrain, sft
# decontaminate = "benchmarks/"   # evaluation sets that are kept out of the parts that are prepared

[shuffle]
seed = 1                     # another seed, another order
index_only = true            # no sample is copied; false writes shards
shard_samples = 10000
# duplicates = "drop"        # a picture that an earlier part has

[[part]]
recipe = "gsm8k-screl"       # gristmill list names them; or the path of a recipe's file
weight = 2                   # each sample twice

# [[part]]
# conversations = "mine.json"     # LLaVA's form
# media = "pictures.zip"
# weight = 0.5                    # half of it
# subset = "random"               # even (default), first, random
# where = ["upstream.score >= 0.3", "upstream.language = en|de"]
# cap = 100000

# [[part]]
# folder = "/data/finished"       # a dataset that Gristmill finished

# [[part]]
# list = "urls.parquet"           # crawled
# options = ["--caption-column", "text", "--contact", "me@example.org"]
"""


@click.command("new")
@click.argument("kind", type=click.Choice(["mixture"]))
@click.argument("path", type=LocalPath())
def command(kind: str, path: Path) -> None:
    """Write a file to begin with: a mixture of your own, PATH.toml. What is there is not overwritten.

    \b
    Example:
      gristmill new mixture mine.toml
    """
    path = path if path.suffix == ".toml" else path.with_name(f"{path.name}.toml")
    name = re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-")
    if not re.match(r"[a-z]", name):
        raise UsageError(f"{path.name}: a mixture's name begins with a letter")
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "w") as stream:
            stream.write(_MIXTURE.format(name=name))
    except FileExistsError:
        raise UsageError(f"{path} is there already. Name another file.") from None
    except OSError as err:
        raise machine_error(err, path) from err
    click.echo(f"{path} is written. Change it, then: {to_type('run', str(path), '--out', 'DIR')}")
