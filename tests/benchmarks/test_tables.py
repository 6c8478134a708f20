"""Tables of results, the sections of documents that they fill, and the times that follow from rates."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gpu_parts.kernels import Span, is_copy, largest, summary, union
from benchmarks.gpu_parts.tables import BEGIN, END, NO_TIMES, NONE_YET, fill, markdown, show, tables, times
from tests.studies import REPOSITORY

RESULTS = {
    "commit": "c0ffee", "command": "python benchmarks/gpu.py", "date": "2026-01-02", "seed": 3, "tiny": False,
    "device": "cuda",
    "parts": {
        "machine": {
            "about": "the machine", "status": "ok", "seconds": 8.5, "measurements": [{
                "name": "description", "status": "ok", "numbers": {
                    "machine": {"gpu": "NVIDIA H200", "cores": 16, "memory, GiB": 139.8},
                    "versions": {"torch": "2.11.0", "wandb": "missing"},
                },
            }],
        },
        "throughput": {
            "about": "steps", "status": "failed", "seconds": 60.0, "error": ["ended by signal SIGSEGV", "last words"],
            "measurements": [
                {"name": "fine-tune through resnet50, 256 pixels, batch 64", "status": "ok",
                 "numbers": {"images/s": 2562.334, "memory, GiB": 21.4, "share of peak": None}},
                {"name": "fine-tune through resnet50, 256 pixels, batch 512", "status": "out of memory",
                 "error": ["Traceback", "OutOfMemoryError: tried to allocate 2 GiB"]},
                {"name": "pre-train, 256 pixels, batch 64", "status": "ok",
                 "numbers": {"images/s": 1000.0, "memory, GiB": 30.0, "share of peak": 0.5}},
                {"name": "pre-train, 256 pixels, batch 64, channels first", "status": "ok",
                 "numbers": {"images/s": 1.0, "memory, GiB": 30.0, "share of peak": 0.5}},
            ],
        },
        "methods": {
            "about": "methods", "status": "ok", "seconds": 3.0, "measurements": [
                {"name": "decoding", "status": "ok", "numbers": {"images/s": 2500.0}},
                {"name": "agrees", "status": "ok", "numbers": {"as expected": False}},
            ],
        },
    },
}  # fmt: skip


def test_a_table_for_each_part_and_everything_that_failed() -> None:
    text = markdown(RESULTS)
    assert text.startswith("# One GPU\n\nMachine: gpu NVIDIA H200, cores 16, memory, GiB 140.")
    assert "torch 2.11.0; missing: wandb." in text
    assert "| throughput | steps | failed | 60 |" in text
    assert "|  | images/s | memory, GiB | share of peak |" in text
    assert "| fine-tune through resnet50, 256 pixels, batch 64 | 2,562 | 21.4 | – |" in text
    assert "- the part: failed: ended by signal SIGSEGV; last words" in text
    joined = " ".join(text.split())
    assert "batch 512: out of memory: OutOfMemoryError: tried to allocate 2 GiB" in joined
    assert "- agrees: not as expected" in text
    assert all(len(line) < 120 or line.startswith("|") for line in text.splitlines())


def test_values_are_shown_with_three_digits() -> None:
    values = [None, True, False, 12345, 0.12345, 12345.6, 1e-7, "a|b"]
    assert [show(value) for value in values] == ["–", "yes", "no", "12,345", "0.123", "12,346", "1e-07", "a\\|b"]


def test_times_follow_from_the_rates_of_the_usual_setting() -> None:
    text = times(RESULTS)
    assert "| A_S | 92,000,000 | 1,000 | 25.6 h |" in text  # 92,000 s
    assert "| A_i, fine-tune through resnet50 | 1,281,167 | 2,562 | 8.33 min |" in text  # 500 s
    assert "| decoding | 50,000 | 2,500 | 20 s |" in text
    assert text.count("A_S") == 1
    assert NO_TIMES in times(None)
    assert NO_TIMES in times(RESULTS | {"parts": {}})


def test_sections_are_filled_and_filled_again() -> None:
    document = f"# Page\n\n{BEGIN.format('tables')}\nold\n{END.format('tables')}\n\nThe end.\n"
    once = fill(document, RESULTS)
    assert fill(once, RESULTS) == once
    assert "old" not in once
    assert tables(RESULTS) in once
    assert once.endswith("\n\nThe end.\n")
    assert NONE_YET in fill(once, None)
    assert "NVIDIA H200" not in fill(once, None)


def test_documents_without_sections_are_refused() -> None:
    with pytest.raises(ValueError, match="has no line"):
        fill("# Page\n", RESULTS)
    with pytest.raises(ValueError, match="has no end"):
        fill(f"{BEGIN.format('times')}\n", RESULTS)


def test_numbers_of_small_runs_do_not_get_into_documents() -> None:
    with pytest.raises(ValueError, match="their numbers mean nothing"):
        fill(f"{BEGIN.format('times')}\n{END.format('times')}\n", RESULTS | {"tiny": True})


@pytest.mark.parametrize(("name", "empty"), [("benchmarks.md", NONE_YET), ("imagenet.md", NO_TIMES)])
def test_the_documents_have_their_sections(name: str, empty: str) -> None:
    text = (REPOSITORY / "docs" / name).read_text(encoding="utf-8")
    filled = fill(text, RESULTS)
    assert "NVIDIA H200" in filled
    if empty in text:
        assert fill(text, None) == text  # as the command writes it


def test_the_command_fills_documents_all_or_none(tmp_path: Path) -> None:
    results, good, bad = tmp_path / "gpu.json", tmp_path / "good.md", tmp_path / "bad.md"
    results.write_text(json.dumps(RESULTS))
    before = f"{BEGIN.format('times')}\n{END.format('times')}\n"
    good.write_text(before)
    bad.write_text("no section")
    command = [sys.executable, "benchmarks/gpu.py", "--summary", str(results)]

    def call(*documents: Path) -> subprocess.CompletedProcess[str]:
        filled = ["--fill", *map(str, documents)] if documents else []
        return subprocess.run([*command, *filled], cwd=REPOSITORY, capture_output=True, text=True, check=False)

    assert call().stdout == markdown(RESULTS)
    assert call(good, bad).returncode == 2
    assert good.read_text() == before
    assert call(good).returncode == 0
    assert "25.6 h" in good.read_text()


def test_busy_time_counts_overlapping_kernels_once() -> None:
    spans = [Span("gemm", 0, 4), Span("gemm", 3, 6), Span("nchwToNhwcKernel", 8, 10), Span("relu", 8.5, 9)]
    assert union(spans) == 8
    numbers = summary(spans)
    assert numbers["idle share"] == pytest.approx(0.2)
    assert numbers["share of copies"] == pytest.approx(2 / 9.5)
    assert largest(spans)[0] == {"kernel": "gemm", "calls": 2, "ms": 0.007, "share": pytest.approx(7 / 9.5)}
    assert is_copy("void cudnn::ops::nchwToNhwcKernel<half>")
    assert not is_copy("ampere_gemm")
    with pytest.raises(ValueError, match="no kernel"):
        summary([])
