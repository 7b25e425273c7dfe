"""The baseline of the shuffle: how the published script works, written from its description.

All pickles of a folder, by sorted names, loaded and concatenated in memory; shuffled with seed 1; cut into 128 equal
parts, each a pickle with a ``.count`` beside it; the rest is dropped.
"""

import pickle
import random
import sys
from pathlib import Path

PARTS = 128


def main(folder: Path, out: Path) -> None:
    everything = []
    for path in sorted(folder.glob("*.pkl")):
        with path.open("rb") as stream:
            everything += pickle.load(stream)
    random.seed(1)
    random.shuffle(everything)
    out.mkdir(parents=True)
    size = len(everything) // PARTS
    for n in range(PARTS):
        part = everything[n * size : (n + 1) * size]
        with (out / f"part-{n:05d}.pkl").open("wb") as stream:
            pickle.dump(part, stream)
        (out / f"part-{n:05d}.count").write_text(str(len(part)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
