"""``gristmill check`` over 665,000 made-up records, and over pictures, against a loop of Pillow.

The records have the shape and size of LLaVA-1.5's mix665k (one array, indented by 2, 0.98 GB): one to twelve rounds,
questions of 4 to 14 words, answers of 1 to 60. The pictures are JPEG of 640 x 480, each named by one record.

``python -m bench.check_records 0.01`` alone takes a hundredth of each.
"""

import io
import json
import random
import sys
import time
from pathlib import Path

from bench.measure import Measurement, measured
from bench.paths import WORK, say

RECORDS, PICTURES = 665_000, 8_000
SEED = 11
ROUNDS, ANSWER_WORDS = (1, 1, 2, 3, 5, 8, 12), (1, 2, 5, 20, 60)
LOOP = """
import glob, sys
from PIL import Image
for name in glob.glob(sys.argv[1] + "/*.jpg"):
    Image.open(name).load()
"""


def check_records(share: float = 1) -> dict[str, Measurement]:
    """What each costs, in a process of its own, imports included."""
    program = str(Path(sys.executable).with_name("gristmill"))
    records, (named, pictures) = _records(int(RECORDS * share)), _pictures(int(PICTURES * share))
    return {
        "records": measured([program, "check", str(records)]),
        "pictures": measured([program, "check", str(named), "--media", str(pictures)]),
        "pillow": measured([sys.executable, "-c", LOOP, str(pictures)]),
    }


def _records(count: int) -> Path:
    path = WORK / f"records-{count}.json"
    if path.exists():
        return path
    say(f"check: writing {count:,} records")
    draw = random.Random(SEED)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 9))) for _ in range(5000)]
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("w") as out:
        for number in range(count):
            turns = []
            for turn in range(draw.choice(ROUNDS)):
                question = " ".join(draw.choices(words, k=draw.randint(4, 14)))
                turns.append({"from": "human", "value": f"{'' if turn else '<image>' + chr(10)}{question}?"})
                answer = " ".join(draw.choices(words, k=draw.choice(ANSWER_WORDS)))
                turns.append({"from": "gpt", "value": f"{answer}."})
            name = f"{number:012d}"
            row = {"id": name, "image": f"coco/train2017/{name}.jpg", "conversations": turns}
            text = json.dumps(row, indent=2).replace("\n", "\n  ")
            out.write(("," if number else "[") + "\n  " + text)
        out.write("\n]\n")
    unfinished.rename(path)
    return path


def _pictures(count: int) -> tuple[Path, Path]:
    """Records that name so many pictures, and the pictures' folder."""
    from PIL import Image

    folder = WORK / f"pictures-{count}"
    rows = folder.with_suffix(".json")
    if rows.exists():
        return rows, folder
    say(f"check: writing {count:,} pictures")
    folder.mkdir(parents=True, exist_ok=True)
    named = []
    plain = [Image.effect_noise((40, 30), 90).resize((640, 480)).convert("RGB") for _ in range(20)]
    for number in range(count):
        body = io.BytesIO()
        picture = plain[number % len(plain)]
        picture.putpixel((number % 640, number // 640 % 480), (number % 256, 0, 0))
        picture.save(body, "JPEG", quality=90)
        (folder / f"{number:06d}.jpg").write_bytes(body.getvalue())
        turns = [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "Noise."}]
        named.append({"id": f"{number:06d}", "image": f"{number:06d}.jpg", "conversations": turns})
    rows.write_text(json.dumps(named))
    return rows, folder


if __name__ == "__main__":
    started = time.monotonic()
    for name, cost in check_records(float(sys.argv[1]) if len(sys.argv) > 1 else 1).items():
        print(f"{name}: {cost.wall_s:.1f} s, {cost.cpu_s:.1f} CPU s, {cost.peak_rss_bytes / 1e6:.0f} MB RSS")
    say(f"{time.monotonic() - started:.0f} s")
