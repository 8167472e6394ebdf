"""Fixtures of the tests of a build."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auditkit.bench import plot


def _pools() -> Any:
    name = "auditkit_test_pools"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("pools.py"))
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(autouse=True)
def _maps_once(request: pytest.FixtureRequest, _drawn: dict[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Place the dots of equal pools once: it takes a third of a small build. Marked `map_anew`, a test does all itself."""
    if request.node.get_closest_marker("map_anew"):
        return
    real = plot._layout

    def layout(vectors: Any, seed: int) -> Any:
        key = (np.ascontiguousarray(vectors).tobytes(), seed)
        if key not in _drawn:
            _drawn[key] = real(vectors, seed)
        return _drawn[key]

    monkeypatch.setattr(plot, "_layout", layout)


@pytest.fixture(scope="session")
def _drawn() -> dict[Any, Any]:
    return {}


@pytest.fixture(scope="session")
def pools() -> Any:
    """The module `pools`, whichever way pytest imports."""
    return _pools()


@pytest.fixture
def llm(pools: Any) -> Iterator[Any]:
    """An annotator on the loopback interface."""
    with pools.annotator() as served:
        yield served


@pytest.fixture(scope="session")
def pool(pools: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A planted pool of 700 prompts: its file, texts and truth."""
    folder = tmp_path_factory.mktemp("pool")
    texts, truth = pools.planted().prompts(700, topics=24, seed=3)
    file = pools.write_pool(folder / "pool.jsonl", [{"id": f"p{i}", "prompt": text} for i, text in enumerate(texts)])
    return file, texts, truth
