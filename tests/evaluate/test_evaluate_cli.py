"""The command line as a person meets it: output, one-line errors, a kill in the middle."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from fakes.benchmarks import make_gold, make_paragraph

from annotate.benchmark import Benchmark
from evaluate.cli import main
from evaluate.pipeline.runner import CHUNK, why_only_named

CHECKOUT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "transformers", "numpy", "pandas", "scipy", "sklearn", "matplotlib")


@dataclass(frozen=True)
class Run:
    """What a command left on the terminal."""

    code: int
    stdout: str
    stderr: str


Evaluate = Callable[..., Run]


@pytest.fixture
def evaluate(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Evaluate:
    """Run a command in an empty folder, in this process, which has loaded torch already."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Run:
        monkeypatch.setattr(sys, "argv", ["evaluate", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        return Run(code, *capfd.readouterr())

    return run


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize("arguments", [["--help"], ["alignment", "--help"], ["report", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    code = (
        "import sys; from evaluate.cli import app\n"
        f"try: app({arguments!r})\n"
        f"finally: print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=environment(),
        check=True,
    )
    assert run.stderr.strip() == "[]"
    assert "Usage" in run.stdout


def test_help_shows_an_example(evaluate: Evaluate) -> None:
    assert "Example: evaluate alignment" in evaluate("--help").stdout
    assert "Example: evaluate reader" in evaluate("reader", "--help").stdout
    assert "evaluate alignment --method heat --method" in evaluate("alignment", "--help").stdout


def test_a_run_prints_benchmark_model_table_and_report(
    evaluate: Evaluate, benchmark_of: Benchmark, lm_folder: Path, tmp_path: Path
) -> None:
    command = ["alignment", "--benchmark", benchmark_of.path, "--model", lm_folder]
    command += ["--method", "random", "--method", "input-x-gradient"]
    run = evaluate(*command, "--html", "page.html")
    assert run.code == 0
    assert f"benchmark: {benchmark_of.path}, 5 examples" in run.stderr
    assert f"model: {lm_folder} (revision " in run.stderr
    assert "10 computed, 0 reused" in run.stderr
    assert "OFFLINE annotators" in run.stdout
    assert all(name in run.stdout for name in ("random", "input-x-gradient", "chance", "AUPRC", "F1@|gold|"))
    assert max(map(len, run.stdout.splitlines())) <= 120
    assert (tmp_path / "page.html").exists()
    assert (
        (tmp_path / "results" / "alignment.csv").read_text().startswith("method,method_kind,auprc,auprc_low")
    )
    assert "0 computed, 10 reused" in evaluate(*command).stderr


def test_report_prints_its_path(
    evaluate: Evaluate, benchmark_of: Benchmark, lm_folder: Path, tmp_path: Path
) -> None:
    evaluate("alignment", "--benchmark", benchmark_of.path, "--model", lm_folder, "--method", "random")
    path = evaluate("report", "results").stdout.strip()
    assert path == "results/report.html"
    assert (tmp_path / path).exists()


def test_json_alone_on_stdout_and_curated_by_default(
    evaluate: Evaluate, benchmark_of: Benchmark, lm_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(benchmark_of.path, tmp_path / "curated")
    run = evaluate("alignment", "--model", lm_folder, "--method", "random", "--limit", "2", "--json")
    result = json.loads(run.stdout)
    assert result["folder"] == str(tmp_path / "curated")
    assert (result["scored"], result["computed"], result["reused"]) == (2, 2, 0)
    assert result["gold"]["offline"]
    assert "--limit 2 --json" in result["command"]
    assert run.stderr == ""


def test_method_all_leaves_out_the_costly(
    evaluate: Evaluate, benchmark_of: Benchmark, lm_folder: Path
) -> None:
    import heat

    run = evaluate(
        *("alignment", "--benchmark", benchmark_of.path, "--model", lm_folder),
        *("--method", "all", "--limit", "1", "--json"),
    )
    assert {row["method"] for row in json.loads(run.stdout)["methods"]} == {
        name for name in heat.methods() if not why_only_named(name)
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--method", "haet"], "there is no method 'haet'; did you mean 'heat'? there are: "),
        (["--model", "./nowhere"], "nowhere"),
        (["--gold", "best"], "there are: auto, gold, intersection"),
        (["--gold", "union"], "has no labels and so no gold words; run: annotate label"),
        (
            ["--benchmark", "nowhere"],
            "no benchmark is called 'nowhere' and no folder is; there are: curated, ",
        ),
        (
            ["--benchmark", "lambada-rationale"],
            "no folder is; did you mean 'lambada-rationales'? there are: ",
        ),
        (["--out", "taken"], "taken is a file; name a folder with --out"),
        (["--out", "taken/in"], "taken"),
    ],
)
def test_bad_input_is_one_line(
    evaluate: Evaluate,
    benchmark_of: Benchmark,
    lm_folder: Path,
    tmp_path: Path,
    options: list[str],
    message: str,
) -> None:
    (tmp_path / "taken").write_text("a file")
    base = ["--benchmark", benchmark_of.path, "--model", lm_folder, "--method", "random"]
    run = evaluate("alignment", *base, *options)
    assert run.code == 1
    errors = [line for line in run.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "" not in run.stderr.splitlines()
    assert message in errors[0]
    assert run.stdout == ""


def test_a_negative_seed_is_refused(evaluate: Evaluate) -> None:
    run = evaluate("alignment", "--seed", "-1")
    assert run.code == 2
    assert "greater than or equal to 0" in run.stderr


def test_derivatives_in_float16_are_refused_before_a_model_is_loaded(
    evaluate: Evaluate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*arguments: object, **options: object) -> None:
        raise AssertionError("loaded")

    monkeypatch.setattr("heat.load", load)
    run = evaluate("alignment", "--limit", 1, "--dtype", "float16")
    assert run.code == 1
    assert "method 'heat' needs derivatives, which underflow in float16" in run.stderr


def test_a_seed_of_too_many_bits_is_refused(evaluate: Evaluate) -> None:
    assert evaluate("alignment", "--seed", 1 << 63).code == 2


def test_torn_gold_is_not_less_gold(evaluate: Evaluate, benchmark_of: Benchmark, lm_folder: Path) -> None:
    gold = benchmark_of.gold_path
    gold.write_bytes(gold.read_bytes()[:-20])
    run = evaluate("alignment", "--benchmark", benchmark_of.path, "--model", lm_folder)
    assert run.code == 1
    assert f"error: {gold} is torn: it ends within a line; make it again with: annotate" in run.stderr


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (b"\x1f\x8b\x08\x00", "rows.jsonl is gzip data; unpack it first"),
        (b"PAR1\x15\x04", "rows.jsonl is parquet; let its name end with .parquet"),
        (b"GGUF\x03\x00", "rows.jsonl is the weights of a model; it goes to --model"),
    ],
)
def test_a_file_named_as_what_it_is_not_is_told(
    evaluate: Evaluate, tmp_path: Path, start: bytes, message: str
) -> None:
    (tmp_path / "rows.jsonl").write_bytes(start)
    run = evaluate("alignment", "--benchmark", "lambada-rationales", "--source", "rows.jsonl")
    assert run.code == 1
    assert message in run.stderr


def test_random_first_is_said_loudly_even_when_quiet(
    evaluate: Evaluate, benchmark_of: Benchmark, lm_folder: Path, tmp_path: Path
) -> None:
    # Of a model of random weights and five texts, some method is no better than random.
    command = ["alignment", "--benchmark", benchmark_of.path, "--model", lm_folder, "--quiet"]
    names = ["heat", "input-x-gradient", "transition-only", "attention-last", "position"]
    run = evaluate(*command, *(word for name in names for word in ("--method", name)))
    rows = {
        row["method"]: row
        for row in json.loads((tmp_path / "results" / "alignment.json").read_text())["methods"]
    }
    means = {name: row["metrics"]["auprc"]["mean"] for name, row in rows.items()}
    beaten = [
        name for name in rows if rows[name]["method_kind"] != "control" and means[name] <= means["random"]
    ]
    assert beaten
    words = " ".join(run.stdout.split())
    assert f"WARNING: random (AUPRC) is at or above {', '.join(beaten)}: they say nothing here." in words


def test_at_80_columns_no_number_is_cut(
    evaluate: Evaluate, benchmark_of: Benchmark, lm_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [
        "alignment",
        "--benchmark",
        benchmark_of.path,
        "--model",
        lm_folder,
        "--method",
        "gradient-norm",
    ]

    def row_of(text: str) -> list[str]:
        return next(line.split() for line in text.splitlines() if " gradient-norm " in line and "[" in line)

    whole = row_of(evaluate(*command).stdout)
    monkeypatch.setenv("COLUMNS", "80")
    narrow = evaluate(*command).stdout
    assert max(map(len, narrow.splitlines())) <= 80
    row = row_of(narrow)
    assert row == whole[: len(row)]
    assert "80 columns are too few for: s/1000, DSA" in narrow


def test_debug_shows_the_traceback(evaluate: Evaluate) -> None:
    assert "Traceback" not in evaluate("report", "nowhere").stderr
    shown = evaluate("report", "nowhere", "--debug")
    assert shown.code == 1
    assert "Traceback" in shown.stderr
    assert "holds no alignment.json" in shown.stderr.splitlines()[-1]


def test_killed_and_run_again_gives_the_same_bytes(
    make_benchmark: Callable[..., Benchmark], lm_folder: Path, tmp_path: Path
) -> None:
    rows = [
        make_paragraph(i, f"Tom met queen {i}.", f"The tower {i} is tin.", "What is it made of?", "tin")
        for i in range(4 * CHUNK)
    ]
    benchmark = make_benchmark(rows, gold=[make_gold(p, p.evidence) for p in rows])

    def start(place: str) -> subprocess.Popen[bytes]:
        (tmp_path / place).mkdir(exist_ok=True)
        options = ["--benchmark", benchmark.path, "--model", lm_folder, "--method", "heat", "--json"]
        command = [sys.executable, "-m", "evaluate.cli", "alignment", *options]
        return subprocess.Popen(
            list(map(str, command)), cwd=tmp_path / place, env=environment(), stdout=subprocess.PIPE
        )

    def files(place: str) -> dict[Path, bytes]:
        folder = tmp_path / place
        return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    whole = start("whole")
    whole.communicate()
    killed = start("broken")
    scores = tmp_path / "broken" / "results" / "scores.jsonl"
    while killed.poll() is None and not scores.exists():
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    unfinished = [".alignment.json.x1.part", "attributions/.a1.safetensors.1234"]
    for name in unfinished:  # what a kill in the middle of a write leaves
        (tmp_path / "broken" / "results" / name).write_text("half")
    assert len(scores.read_bytes()) < len(files("whole")[Path("results/scores.jsonl")])
    resumed = json.loads(start("broken").communicate()[0])
    assert 0 < resumed["computed"] < 2 * len(rows)
    assert resumed["methods"][0]["seconds_per_1000"] > 0
    timings = {Path("results/timings.jsonl"): b""}
    assert files("broken") | timings == files("whole") | timings


def test_a_prompt_template_changes_the_key_and_is_named(
    evaluate: Evaluate, benchmark_of: Benchmark, lm_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "own.toml").write_text('prefix = "Say it. "\ntext = "{text}"\nsuffix = " So:"\n')
    command = ["alignment", "--benchmark", benchmark_of.path, "--model", lm_folder, "--method", "random"]
    assert "5 computed, 0 reused" in evaluate(*command).stderr
    run = evaluate(*command, "--prompt", "own.toml")
    assert "5 computed, 0 reused" in run.stderr
    assert "prompt: own.toml " in run.stderr
    assert "Prompt: own.toml " in run.stdout
    stored = json.loads((tmp_path / "results" / "alignment.json").read_text())
    first = json.loads((tmp_path / "results" / stored["examples"]).read_text().splitlines()[0])
    assert first["prompt"].startswith("Say it. Tom met the queen.")
    assert first["prompt"].endswith("What is the tower made of? So:")
    start, end = first["words"][0]
    assert first["prompt"][start:end] == "Tom"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--prompt", "nowhere.toml"], "--prompt takes auto, plain, qa, few-shot, chat, or a TOML file"),
        (["--prompt", "chat"], "has no chat template; use --prompt plain, qa or few-shot"),
        (["--benchmark", "lambada-rationales", "--prompt", "qa"], "asks nothing: its texts are continued"),
        (["--foil"], "none of the 2 examples could be scored: 2 no foil"),
    ],
)
def test_prompts_that_cannot_be_are_one_line(
    evaluate: Evaluate, lm_folder: Path, options: list[str], message: str
) -> None:
    run = evaluate("alignment", "--limit", 2, "--model", lm_folder, "--method", "random", *options)
    assert run.code == 1
    assert message in run.stderr
    assert run.stderr.strip().splitlines()[-1].startswith("error: ")


@pytest.mark.parametrize(
    "command", ["alignment", "faithfulness", "ablation", "sanity", "reproduce", "robustness"]
)
def test_every_command_that_puts_texts_takes_a_prompt(evaluate: Evaluate, command: str) -> None:
    assert "--prompt" in evaluate(command, "--help").stdout
