"""How the published script samples FLAN, written from its description.

Every Parquet file of every ``*_data`` folder, in sorted order, is read by pandas, whole; the questions and answers of
all of them go into Python lists; indices at even distances in 32-bit floats; a list of dicts; one pickle.
"""

import pickle
import sys
from pathlib import Path

import numpy as np
import pandas as pd


def main() -> None:
    folder, size, out = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    questions: list[str] = []
    answers: list[str] = []
    for data in sorted(path for path in folder.iterdir() if path.name.endswith("_data")):
        for file in sorted(data.iterdir()):
            frame = pd.read_parquet(file)
            questions.extend(frame["inputs"].tolist())
            answers.extend(frame["targets"].tolist())
    indices = np.linspace(0, len(questions) - 1, size, dtype=np.float32).astype(np.int64)
    chosen = [
        {"question": questions[i], "answer": answers[i], "id": f"text_flan_{n:08d}", "image": []}
        for n, i in enumerate(np.minimum(indices, len(questions) - 1))
    ]
    with out.open("wb") as stream:
        pickle.dump(chosen, stream)


if __name__ == "__main__":
    main()
