"""Counts what each part gave to a mixture, so that it adds up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from gristmill.ledger.ledger import Ledger
from gristmill.ledger.run_config import RunConfig
from gristmill.spec.sample import Json

__all__ = ["PartAccount", "parts_account", "samples_and_copies"]


@dataclass(slots=True, kw_only=True)
class PartAccount:
    """One part: ``samples`` + ``repeated`` = ``kept`` + all of ``dropped`` + ``waiting``.

    Attributes:
        checksum: Of its shards, as its manifest says.
        samples: In its shards.
        repeated: Further copies of these.
        kept: In the mixture's shards, or on their way there.
        waiting: Not yet scattered.
    """

    part: str
    version: str
    weight: float
    prefix: str
    checksum: str
    shards: int = 0
    size_bytes: int = 0
    samples: int = 0
    repeated: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    waiting: int = 0

    def to_json(self) -> dict[str, Json]:
        """Plain data."""
        return {**asdict(self), "dropped": dict(self.dropped.most_common())}


def samples_and_copies(config: RunConfig) -> int:
    """Count the samples in all parts of a mixture, further copies included; 0 for a dataset."""
    return sum(max(said["samples"], said["taken"] + said.get("spare", 0)) for said in config.parts.values())


def parts_account(config: RunConfig, ledger: Ledger) -> list[PartAccount]:
    """An account for each part of a mixture, in its order; none for a dataset."""
    accounts = {name: _opened(name, said) for name, said in config.parts.items()}
    for file in config.inputs:
        if file.source in accounts:
            accounts[file.source].shards += 1
            accounts[file.source].size_bytes += file.size_bytes
    for record in ledger.of("placing"):
        account = accounts.get(config.inputs[record.number[1]].source)
        if account is not None:
            account.kept += record.kept
            account.dropped.update(record.dropped)
    for account in accounts.values():
        done = account.kept + account.dropped.total()
        account.waiting = account.samples + account.repeated - done
    return list(accounts.values())


def _opened(name: str, said: Mapping[str, Json]) -> PartAccount:
    return PartAccount(
        part=name,
        version=said["version"],
        weight=said["weight"],
        prefix=said["prefix"],
        checksum=said["checksum"],
        samples=said["samples"],
        repeated=max(0, said["taken"] - (said["samples"] - said.get("spare", 0))),
    )
