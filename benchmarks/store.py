"""How long a large results folder takes to open, filter and summarise: 2,000 examples × 25 methods × 3 kinds.

python benchmarks/store.py --examples 2000 --methods 25 --kinds 3
"""

import argparse
import multiprocessing
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from evaluate.errors import StoreError
from evaluate.pipeline.store import Score, Store


def write(folder: Path, examples: int, methods: int, kinds: int) -> None:
    rng = np.random.default_rng(0)
    with Store(folder) as store:
        for kind in range(kinds):
            for method in range(methods):
                values = rng.random((examples, 8))
                store.add_scores(
                    [
                        Score(
                            key=f"{kind:04d}{method:04d}{row:024d}",
                            attribution=f"{method:08d}{row:024d}",
                            kind=f"kind-{kind}",
                            example_id=f"p{row:05d}",
                            method=f"method-{method}",
                            config={"n_probes": 10},
                            values={f"metric-{i}": float(value) for i, value in enumerate(row_values)},
                            status="ok",
                        )
                        for row, row_values in enumerate(values)
                    ]
                )


def second_writer(folder: Path, told: "multiprocessing.Queue[str]") -> None:
    try:
        with Store(folder):
            told.put("no error")
    except StoreError as error:
        told.put(str(error))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=2000)
    parser.add_argument("--methods", type=int, default=25)
    parser.add_argument("--kinds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        began = time.perf_counter()
        write(folder, options.examples, options.methods, options.kinds)
        print(f"written in {time.perf_counter() - began:.1f} s")
        began = time.perf_counter()
        with Store(folder) as store:
            opened = time.perf_counter()
            rows = [row for row in store.scores.values() if row.kind == "kind-1"]
            filtered = time.perf_counter()
            frame = pd.DataFrame([{"method": row.method, **row.values} for row in rows])
            means = frame.groupby("method").mean()
            summarised = time.perf_counter()
            told: multiprocessing.Queue[str] = multiprocessing.Queue()
            other = multiprocessing.Process(target=second_writer, args=(folder, told))
            other.start()
            print(f"a second writer: {told.get()}")
            other.join()
        print(
            f"{len(store.scores):,} rows: opened in {opened - began:.2f} s, filtered {len(rows):,} in "
            f"{filtered - opened:.2f} s, {len(means)} means in {summarised - filtered:.2f} s"
        )


if __name__ == "__main__":
    main()
