"""The funnel on a terminal or in a log: what ``gristmill status`` and the end of a run say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import click
import orjson
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gristmill.cli.terminal import Terminal
from gristmill.ledger.documents import Documents, documents
from gristmill.ledger.funnel import Funnel, funnel
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.losses import LossGroup as Losses
from gristmill.ledger.losses import explained, group_of
from gristmill.ledger.manifest import shards_of
from gristmill.ledger.mixture_parts import PartAccount, parts_account
from gristmill.ledger.retry_advice import retry_advice, retry_command
from gristmill.ledger.run_config import RunConfig
from gristmill.ledger.totals import Totals
from gristmill.ledger.words import count_text, duration_text, share_text, size_text, store_text
from gristmill.spec.command import printable
from gristmill.spec.sample import Json
from gristmill.storage.store import Place

__all__ = ["funnel_json", "next_steps", "print_status", "render_funnel"]

_HOSTS = 10
_NOTES = 5
_SAME = 3
_LOG_WIDTH = 120
_TONES = {
    Losses.LATER: "yellow",
    Losses.OURS: "red",
    Losses.MISSING: "yellow",
    Losses.NEVER: "default",
    Losses.RULES: "blue",
}


def print_status(
    folder: Place,
    config: RunConfig,
    ledger: Ledger,
    *,
    as_json: bool,
    options: Sequence[str] = (),
    more: Mapping[str, Json] | None = None,
    begun: tuple[int, int] = (0, 0),
) -> None:
    """Print the funnel of one dataset to stdout; as one line of JSON if asked.

    Args:
        folder: The dataset's.
        config: What it was begun with.
        ledger: Its records.
        as_json: Print it so.
        options: By which this command allowed what is stored nowhere.
        more: Said too, of JSON.
        begun: Crawl tasks under way or interrupted, and the media finished in them, which the funnel does not count.
    """
    totals = ledger.totals()
    if as_json:
        said = {"folder": str(folder), **funnel_json(totals, config), **(more or {})}
        if config.parts:
            said["parts"] = [account.to_json() for account in parts_account(config, ledger)]
        click.echo(orjson.dumps(said))
        return
    console = Terminal(markup=False, highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, _LOG_WIDTH)
    shards = shards_of(ledger)
    console.print(
        render_funnel(
            totals,
            config,
            shards=(len(shards), sum(shard.size_bytes for shard in shards)),
            parts=parts_account(config, ledger),
            begun=begun,
        )
    )
    report = f"{folder}/report.html" if ledger.store.size("report.html") is not None else ""
    for line in next_steps(totals, config, where=str(folder), options=options, report=report):
        console.print(line, soft_wrap=True)  # a command broken in two would be typed as two


def funnel_json(totals: Totals, config: RunConfig) -> dict[str, Json]:
    """The same as plain data."""
    levels = funnel(totals, config)
    facts = totals.of("making").facts
    pages = documents(totals, levels)
    return {
        "name": config.name,
        "version": config.version,
        "complete": levels.complete,
        "adds_up": levels.adds_up,
        "files": levels.files,
        "files_read": levels.files_read,
        "counts": {level.name: level.count for level in levels.levels},
        "waiting": sum(level.waiting for level in levels.levels),
        "dropped": levels.dropped(),
        "funnel": levels.to_json(),
        **({"documents": pages.to_json()} if pages else {}),
        "changes": totals.changes,
        "annotation_bytes": totals.annotations[0],
        "annotation_requests": totals.annotations[1],
        "hosts": dict(_worst_hosts(totals)),
        "same_pictures": totals.global_filter or {},
        "requests": int(facts["requests"]),
        "received_bytes": int(facts["bytes_in"]),
        "store_requests": totals.in_store,
        "listed_sizes": int(facts["listed_sizes"]),
        "other_sizes": int(facts["other_sizes"]),
        "started_at": totals.started_at,
        "finished_at": totals.finished_at,
        "notes": totals.notes,
    }


def render_funnel(
    totals: Totals,
    config: RunConfig,
    *,
    shards: tuple[int, int] | None = None,
    parts: Sequence[PartAccount] = (),
    begun: tuple[int, int] = (0, 0),
) -> RenderableType:
    """The funnel, losses by reason and host, and the rate.

    Args:
        shards: Number of finished shards and their bytes.
        parts: Of a mixture, what each part gave.
        begun: See :func:`print_status`.
    """
    levels = funnel(totals, config)
    return Group(
        _head(levels, config),
        _levels(levels),
        *_begun(*begun),
        *_parts(parts),
        *_reasons(levels),
        *_images(documents(totals, levels)),
        *_changes(totals),
        *_hosts(totals),
        *_same_pictures(totals.global_filter or {}),
        *_notes(totals),
        *_facts(levels, totals, shards),
    )


def _grid(*columns: str) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column()  # the indent
    for side in columns:
        table.add_column(justify="right" if side == "right" else "left", no_wrap=side == "right")
    return table


def _head(levels: Funnel, config: RunConfig) -> Text:
    state = ("complete", "green") if levels.complete else ("not complete yet", "yellow")
    return Text.assemble((config.name, "bold"), f" {config.version}  ", state, "\n")


def _levels(levels: Funnel) -> Table:
    table = _grid("right", "left", "right", "wrap")
    for level in levels.levels:
        lost = f"-{level.lost_count:,}" if level.lost_count else ""
        why = [f"{reason} {n:,}" for reason, n in list(level.lost.items())[:4]]
        why += [f"and {len(level.lost) - 4} more"] if len(level.lost) > 4 else []
        why += [f"{level.waiting:,} wait"] if level.waiting else []
        table.add_row(
            "", Text(f"{level.count:,}", "bold"), level.title, Text(lost), Text(", ".join(why), "dim")
        )
    return table


def _begun(tasks: int, media: int) -> Iterator[RenderableType]:
    """Tell what is done in crawl tasks whose records are not written: a zero above may stand for much."""
    if tasks:
        where = f"{count_text(tasks, 'crawl task')} under way or interrupted"
        yield Text(f"  not counted above: {media:,} media finished in {where}")


def _parts(parts: Sequence[PartAccount]) -> Iterator[RenderableType]:
    """Samples of each part, copies made of them, and where all of these are."""
    if not parts:
        return
    yield Text("\nParts")
    table = _grid("left", "left", "right", "right", "right", "wrap")
    for part in parts:
        why = [f"{reason} {n:,}" for reason, n in part.dropped.most_common()]
        why += [f"{part.waiting:,} wait"] if part.waiting else []
        more = f"+{part.repeated:,} copies" if part.repeated else ""
        left_out = f"-{part.dropped.total():,}" if part.dropped else ""
        table.add_row(
            "",
            Text(part.part, "bold"),
            part.version,
            f"{part.samples:,}",
            more,
            left_out,
            ", ".join(why),
        )
    yield table


def _reasons(levels: Funnel) -> Iterator[RenderableType]:
    dropped = levels.dropped(after_selection=True)
    chosen = levels.count("selected")
    if not dropped:
        return
    number = sum(dropped.values())
    yield Text(f"\nLost after they were chosen: {number:,}, as shares of these {chosen:,}")
    table = _grid("left", "right", "right", "wrap")
    for reason, n in dropped.items():
        tone = _TONES[group_of(reason)]
        table.add_row("", Text(reason, tone), f"{n:,}", share_text(n, chosen), Text(explained(reason), "dim"))
    yield table


def _images(said: Documents | None) -> Iterator[RenderableType]:
    if said is None:
        return
    yield Text(
        f"\nDocuments: {said.annotated:,} annotated, {said.with_images:,} with media, {said.complete:,} complete, "
        f"{said.kept:,} kept\nTheir media: {said.image_count:,}, by fate"
    )
    table = _grid("left", "right", "right", "wrap")
    for fate, n in said.images.items():
        words = Text(explained(fate), "dim")
        table.add_row("", Text(fate), f"{n:,}", share_text(n, said.image_count), words)
    yield table


def _changes(totals: Totals) -> Iterator[RenderableType]:
    if not totals.changes:
        return
    yield Text("\nChanged in samples that were kept, or let pass")
    table = _grid("left", "right")
    for word, n in totals.changes.items():
        table.add_row("", Text(word), f"{n:,}")
    yield table


def _worst_hosts(totals: Totals) -> list[tuple[str, int]]:
    return sorted(totals.hosts.items(), key=lambda item: (-item[1], item[0]))[:_HOSTS]


def _hosts(totals: Totals) -> Iterator[RenderableType]:
    if not totals.hosts:
        return
    yield Text("\nHosts with the most failures")
    table = _grid("left", "right")
    for host, n in _worst_hosts(totals):
        table.add_row("", Text(host), f"{n:,}")
    yield table


def _same_pictures(found: Mapping[str, Json]) -> Iterator[RenderableType]:
    """Pictures that many addresses were answered with: the hosts that sent most of them, the largest to look at."""
    if not found:
        return
    yield Text(
        f"\nThe same picture for many addresses: {found['media']:,} answers with {found['pictures']:,} "
        f"picture{'s' if found['pictures'] != 1 else ''}"
    )
    table = _grid("left", "right", "wrap")
    for entry in found["hosts"][:_SAME]:
        table.add_row("", Text(entry["host"]), f"{entry['media']:,}")
    for picture in found["largest"][:_SAME]:
        like = "identical" if picture["files"] == 1 else f"{picture['files']:,} different files"
        said = f"{picture['urls']:,} addresses, {like}, for example {picture['example_url']}"
        table.add_row("", Text("picture", "dim"), "", Text(said, "dim"))
    yield table


def _notes(totals: Totals) -> Iterator[RenderableType]:
    if totals.notes:
        yield Text("\nNotes")
        for note in totals.notes[:_NOTES]:
            yield Text(f"  {printable(note)}")
        if len(totals.notes) > _NOTES:
            yield Text(f"  and {len(totals.notes) - _NOTES:,} more, in dataset.json")


def _facts(levels: Funnel, totals: Totals, shards: tuple[int, int] | None) -> Iterator[RenderableType]:
    facts = totals.of("making").facts
    said = []
    if levels.count(levels.base):
        share = share_text(levels.count("kept"), levels.count(levels.base))
        said.append(f"{share} of those {'asked for' if levels.asks else 'chosen'} were kept")
    if totals.annotations[0]:
        size, requests = totals.annotations
        said.append(f"annotations: {size_text(size)} received in {count_text(requests, 'request')}")
    if facts["requests"]:
        said.append(
            f"{size_text(facts['bytes_in'])} received in {count_text(int(facts['requests']), 'request')}"
        )
    if totals.in_store:
        said.append(f"store: {store_text(totals.in_store)}")
    if facts["listed_sizes"]:
        other, of = int(facts["other_sizes"]), int(facts["listed_sizes"])
        said.append(f"{other:,} of {of:,} pictures kept are not of the size that upstream lists")
    if totals.started_at is not None and totals.finished_at is not None:
        span_s = totals.finished_at - totals.started_at
        what = "documents" if documents(totals, levels) else "addresses" if levels.asks else "samples"
        busy_s = totals.busy_s
        rate = f", {levels.count(levels.base) / busy_s:,.1f} {what} a second" if busy_s >= 1 else ""
        rest = f", {duration_text(busy_s)} of it at work" if span_s - busy_s > max(1.0, 0.05 * span_s) else ""
        said.append(f"{duration_text(span_s)} from the first task to the last{rest}{rate}")
    if shards is not None:
        said.append(f"{shards[0]:,} shard{'s' if shards[0] != 1 else ''}, {size_text(shards[1])}")
    yield Text("\n" + "\n".join(said))


def next_steps(
    totals: Totals, config: RunConfig, *, where: str = "DIR", options: Sequence[str] = (), report: str = ""
) -> Iterator[Text]:
    """Say what is still to do, a line each, and with which commands, in the dataset's folder ``where``."""
    levels = funnel(totals, config)
    waiting: Mapping[str, int] = {level.name: level.waiting for level in levels.levels if level.waiting}
    if levels.files_read < levels.files:
        yield Text(f"still to read: {levels.files - levels.files_read:,} of {levels.files:,} {levels.inputs}")
    if "selected" in waiting:
        yield Text(f"still to {'ask for' if levels.asks else 'read'}: {waiting['selected']:,}")
    if "kept" in waiting:
        yield Text(f"still to pack: {waiting['kept']:,}")
    if not levels.complete:
        yield Text("The command that began this continues it.")
    elif may := retry_advice(levels).may:
        yield Text.assemble(
            "ask again for what may come back:  ", (retry_command(where, may, options), "bold")
        )
    if config.rounds:
        again = "once" if len(config.rounds) == 1 else f"{len(config.rounds)} times"
        yield Text(f"asked again so far: {again}")
    if report:  # a first run writes it at its end
        yield Text(f"the whole account, with pictures:  {report}")
