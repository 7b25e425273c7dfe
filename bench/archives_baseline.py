"""What people do with pictures in archives: unpack all, open each with Pillow, write a tar.

Archives are unpacked by ``unzip`` and ``tar``. Each record's picture is decoded whole; its bytes go into the tar as
they are, and the record beside it as JSON. With several processes each unpacks archives, then takes every so-manieth
record to a tar of its own.

    python -m bench.archives_baseline PROCESSES RECORDS OUT ARCHIVE...
"""

import io
import json
import shutil
import subprocess
import sys
import tarfile
from multiprocessing import Pool
from pathlib import Path

from PIL import Image


def unpack(path: Path, folder: Path) -> None:
    if path.suffix != ".zip":
        subprocess.run(["tar", "-xf", path, "-C", folder], check=True)
    elif shutil.which("unzip"):
        subprocess.run(["unzip", "-q", path, "-d", folder], check=True)
    else:
        shutil.unpack_archive(path, folder)


def pack(records: Path, number: int, processes: int, folder: Path, path: Path) -> None:
    rows = json.loads(records.read_text())
    with tarfile.open(path, "w") as out:
        for row in rows[number::processes]:
            picture = folder / row["image"]
            Image.open(picture).convert("RGB")
            for part, body in (("jpg", picture.read_bytes()), ("json", json.dumps(row).encode())):
                info = tarfile.TarInfo(f"{row['id']}.{part}")
                info.size = len(body)
                out.addfile(info, io.BytesIO(body))


def main() -> int:
    processes, records, out = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    folder = out / "images"
    folder.mkdir(parents=True)
    unpacked = [(Path(path), folder) for path in sys.argv[4:]]
    packed = [(records, n, processes, folder, out / f"{n:05d}.tar") for n in range(processes)]
    if processes == 1:
        for path, where in unpacked:
            unpack(path, where)
        pack(*packed[0])
        return 0
    with Pool(processes) as pool:
        pool.starmap(unpack, unpacked, chunksize=1)
        pool.starmap(pack, packed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
