"""Running a job with somebody watching, and what is written and said at its end."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from dataclasses import replace

import click

from gristmill.cli.expected import check_expected
from gristmill.cli.metadata_files import write_metadata_files
from gristmill.cli.named import options_of
from gristmill.cli.options import grace_s
from gristmill.cli.progress import watcher_for
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.retry_advice import retry_command
from gristmill.ledger.run_config import RunConfig
from gristmill.ledger.words import count_text
from gristmill.run.begin import Job
from gristmill.run.driver import Ended, run
from gristmill.run.maintenance.clean import is_complete
from gristmill.run.workers.launch import Launched
from gristmill.spec.reasons import Reason
from gristmill.storage.arrow import without_pandas

__all__ = ["run_and_tell"]

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


def run_and_tell(job: Job, *, as_json: bool, part: str = "", ready: list[Launched] | None = None) -> None:
    """Run a job, write the card, the manifest and the report, say how it went.

    Args:
        job: What to run.
        as_json: Print the result so.
        part: Of a mixture, if it is run as one: options are then said with its name in front.
        ready: Workers that are launched already.

    Raises:
        Incomplete: Done, and less was kept than the recipe expects.
        GristmillError: Whatever the run raises.
    """
    without_pandas()
    if (grace := grace_s()) is not None:
        job = replace(job, grace_s=grace)
    _tell_proxies(job)
    with watcher_for(job.folder, part) as watcher:
        ended = run(job, watcher, ready, _load_writers)
    ledger = write_metadata_files(ended.folder, ended.recipe)
    ended.complete = ended.complete or is_complete(ended.config, ledger)  # by another command meanwhile
    _tell(ended, ledger, job, as_json=as_json)
    _tell_judged(job, ledger)
    check_expected(ended, ledger)


def _tell_proxies(job: Job) -> None:
    """Say that a crawl does not go through what the environment names, before it asks."""
    named = [name for name in _PROXIES if os.environ.get(name) or os.environ.get(name.lower())]
    if named and any(step.needs.network and not getattr(step, "proxy", None) for step in job.load().steps):
        click.echo(
            f"{' and '.join(named)} set: the hub and annotation files are asked through the proxy, the hosts of "
            "pictures directly, since addresses are checked where they are connected to. Where nothing but the "
            "proxy leads out, add: --proxy URL",
            err=True,
        )


def _load_writers() -> None:
    """Load what the metadata files are written with, while the last shards are packed."""
    with suppress(RuntimeError):  # the machine has no thread for it: it is loaded when it is needed
        threading.Thread(target=_import_writers, name="writers").start()


def _import_writers() -> None:
    from gristmill.cli import funnel  # noqa: F401 - to have it loaded
    from gristmill.ledger import card, croissant, manifest  # noqa: F401 - likewise
    from gristmill.viewer import report

    report.template()


def _tell(ended: Ended, ledger: Ledger, job: Job, *, as_json: bool) -> None:
    from gristmill.cli.funnel import print_status

    print_status(ended.folder, ended.config, ledger, as_json=as_json, options=options_of(ended.recipe))
    if not ended.complete and not as_json:
        click.echo(_waiting(ended.config, ledger, job), err=True)


def _tell_judged(job: Job, ledger: Ledger) -> None:
    """Say of rows that were judged before an option allowed them that the option alone does not bring them back."""
    if job.runtime.get("crawl.allow_private_addresses") != "true":
        return
    lost = ledger.totals().of("making").dropped
    barred = {str(r): lost[r] for r in (Reason.PRIVATE_ADDRESS, Reason.BAD_PORT) if lost[r]}
    if barred:
        click.echo(
            f"{count_text(sum(barred.values()), 'row')} had been judged without --allow-private-addresses, and "
            f"what is judged is asked for again only by: {retry_command(str(job.folder), barred)} "
            "--allow-private-addresses",
            err=True,
        )


def _waiting(config: RunConfig, ledger: Ledger, job: Job) -> str:
    """Say what is still to be done by other commands, and which, of the options that this one was given."""
    given = [option for option, value in (("--share", job.share), ("--to", job.last)) if value is not None]
    whole = " and ".join([*given, *(["--tasks"] if job.span else [])])
    whole = f"the same command without {whole}" if whole else "the same command"
    if job.share:
        number, of = job.share
        last = "The command whose share is done last packs what is left; if none of them says that all is complete, "
        return (
            f"Share {number} of {of} is done. {'Once all are, ' if job.last else last}{whole} does the rest."
        )
    if config.parts:
        last = ", or the last of those with --tasks," if job.span and not job.last else ""
        return (
            f"This part is done. {len(ledger.of('placing')):,} of {len(config.inputs):,} shards of the parts "
            f"are scattered; once all are, {whole}{last} gathers them."
        )
    others = " with the other --tasks" if job.span else ""
    others += (", and without --to," if others else " without --to") if job.last else ""
    return (
        f"This part is done. Shards are packed in the dataset's order, as far as all earlier {config.input_noun}s "
        f"are done; {len(ledger.of('reading')):,} of {len(config.inputs):,} are begun or done. The same "
        f"command{others} does the rest."
    )
