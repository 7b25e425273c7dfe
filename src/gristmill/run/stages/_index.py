"""One media source, made ready to be read from."""

from __future__ import annotations

from gristmill.ledger.words import count_text
from gristmill.run.inputs.media import Watch, media_of
from gristmill.run.stages.index import IndexDecision
from gristmill.run.state.context import Context, Work
from gristmill.spec.recipe import Recipe
from gristmill.spec.sample import Json
from gristmill.spec.task import Task, decided

__all__ = ["run_index"]


class _Watch(Watch):
    """Tells the run how much is fetched, and ends with it."""

    def __init__(self, task: Task, context: Context) -> None:
        self._task, self._context = task, context
        self._size = sum(shard.size_bytes for shard in task.inputs)
        self._have: dict[str, int] = {}  # of files that are being fetched

    def check(self) -> None:
        """See :class:`gristmill.run.inputs.media.Watch`.

        Raises:
            Stopped: The run is to stop.
        """
        self._context.check_stop()

    def fetched(self, name: str, have_bytes: int) -> None:
        """See :class:`gristmill.run.inputs.media.Watch`; several files may be on their way."""
        self._have[name] = have_bytes
        self._context.report_fetch(self._task, sum(self._have.values()), self._size)


def run_index(recipe: Recipe, task: Task, context: Context, work: Work) -> None:
    """Fetch and index a media source; the record says what is in it."""
    key = decided(task, IndexDecision).source
    digests = {shard.digest for shard in task.inputs}
    own = [file for file in context.media if file.source == key]
    files = [file for file in own if file.digest in digests] or own  # a folder may have more in it since
    (media,) = media_of(recipe, files, context.remotes, context.shared, context.store)
    missing = sum(file.size_bytes for file in media.files if not media.is_here(file))
    try:
        work.found = media.prepare(_Watch(task, context))
    finally:
        context.report_fetch(task, 0, None)
    work.facts["bytes_in"] += missing
    work.notes.append(_said(work.found))
    work.notes += [f"{key}: {note}" for archive in work.found["archives"] for note in archive["notes"]]


def _said(found: dict[str, Json]) -> str:
    """A sentence about a source."""
    archives = found["archives"]
    if "layout" not in found:
        return f"{found['source']}: {count_text(sum(one['members'] for one in archives), 'row')}."
    layout = f" in the layout {found['layout']}" if found["layout"] else ""
    said = f"{found['source']}: {count_text(found['members'], 'member')}{layout}"
    refused: dict[str, int] = {}
    for one in (*archives, found):
        for why, number in one["refused"].items():
            refused[why] = max(refused.get(why, 0), number) if one is found else refused.get(why, 0) + number
    if refused:
        said += f"; refused: {', '.join(f'{why} {number:,}' for why, number in sorted(refused.items()))}"
    if found["passed_over"]:
        said += f"; passed over {found['passed_over']:,} of no layout, such as {', '.join(found['examples'])}"
    return f"{said}."
