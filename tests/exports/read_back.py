"""Reads exports with a trainer's own library, in its environment: ``python read_back.py LOADER FOLDER ...``.

Prints a line of JSON for each sample: its folder and its values by column, of bytes their SHA-256.
"""

import contextlib
import hashlib
import importlib
import importlib.machinery
import itertools
import json
import sys
import types
from collections.abc import Iterator
from typing import Any


def plain(value: Any) -> Any:
    """The value as JSON can say it; of a picture that was opened but not decoded its file."""
    if hasattr(value, "fp"):
        value = value.fp.getvalue()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return hashlib.sha256(value).hexdigest()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def without_torchvision() -> None:
    """Two of the libraries import it, and use it for nothing that is read here."""
    with contextlib.suppress(ImportError):
        importlib.import_module("torchvision")
        return
    for name in ("", ".transforms", ".transforms.functional", ".io", ".datasets", ".datasets.vision"):
        module = types.ModuleType(f"torchvision{name}")
        module.__path__ = []
        module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, None)
        module.__getattr__ = lambda name: None if name.startswith("__") else type(name, (), {})
        sys.modules[module.__name__] = module


def mds(folder: str) -> Iterator[Any]:
    from streaming import StreamingDataset

    yield from StreamingDataset(local=folder, batch_size=1, shuffle=False, validate_hash=None)


def mds_hashed(folder: str) -> Iterator[Any]:
    from streaming import StreamingDataset

    yield from StreamingDataset(local=folder, batch_size=1, shuffle=False, validate_hash="sha1")


def litdata(folder: str) -> Iterator[Any]:
    from litdata import StreamingDataset

    dataset = StreamingDataset(folder)
    at_random = [dataset[n] for n in range(len(dataset))]
    assert at_random == list(dataset)
    yield from at_random


def lance(folder: str) -> Iterator[Any]:
    import lance

    dataset = lance.dataset(f"{folder}/data.lance")
    blobs = [field.name for field in dataset.schema if "lance.blob" in str(field.type)]
    names = [name for name in dataset.schema.names if name not in blobs]
    for n, row in enumerate(dataset.to_table(columns=names).to_pylist()):
        yield row | {name: dataset.take_blobs(name, indices=[n])[0].readall() for name in blobs}


def energon(folder: str) -> Iterator[Any]:
    """Undecoded, in order; of a mixture a thousand samples as a trainer draws them."""
    import dataclasses

    from megatron import energon

    @energon.edataclass
    class Whole(energon.Sample):
        parts: dict

    @energon.stateless
    def cook(sample: dict) -> Whole:
        parts = {name: body for name, body in sample.items() if not name.startswith("__")}
        return Whole(**energon.basic_sample_keys(sample), parts=parts)

    class Raw(energon.DefaultTaskEncoder):
        decoder = None
        cookers = (energon.Cooker(cook),)

        def batch(self, samples):
            return samples[0]

        def encode_batch(self, batch):
            return batch

    config = energon.WorkerConfig(rank=0, world_size=1, num_workers=0)
    common = {"worker_config": config, "task_encoder": Raw(), "batch_size": 1}
    if folder.endswith(".yaml"):
        more = {"shuffle_buffer_size": None, "max_samples_per_sequence": None}
        drawn = itertools.islice(
            energon.get_loader(energon.get_train_dataset(folder, **more, **common)), 1000
        )
    else:
        drawn = energon.get_loader(energon.get_val_dataset(folder, split_part="train", **common))
    for sample in drawn:
        values = {
            field.name: getattr(sample, field.name)
            for field in dataclasses.fields(sample)
            if field.name[0] != "_"
        }
        said = (sample.__subflavors__ or {}).get("source")
        yield {"key": sample.__key__, "source": said, **values.pop("parts", {}), **values}


if __name__ == "__main__":
    without_torchvision()
    for place in sys.argv[2:]:
        for sample in globals()[sys.argv[1]](place):
            print(json.dumps([place, plain(sample)]))
