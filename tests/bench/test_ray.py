"""The Ray engine on a real cluster of two nodes on the loopback interface."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from auditkit.bench.settings import Annotator, BuildSettings
from auditkit.build import build

if TYPE_CHECKING:
    from tests.judging.postgres_server import PostgresServer

pytest_plugins = ["tests.judging.postgres_server"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="the extra ray is not installed"),
]

SETTINGS = BuildSettings(name="small", clusters=12, per_cluster=2, workers=1, k=24, cluster_score=1.5)
FILES = ("question.jsonl", "prompts.jsonl", "datasheet.json", "datasheet.html", "ledger.parquet")
#: In a process of its own: Ray's own warnings are not ours to mend, and a cluster leaves threads behind.
_CODE = """
import json, sys
import ray
from ray.cluster_utils import Cluster
from auditkit.bench.settings import Annotator, BuildSettings
from auditkit.build import build

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
cluster.add_node(num_cpus=1)
ray.init(address=cluster.address, log_to_driver=False)
cluster.wait_for_nodes()
nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
url, store = sys.argv[2:4]
asked = {"first": Annotator("openai/cheap", url), "second": Annotator("openai/strong", url)} if url else {}
asked |= {"store": store, "concurrency": 8, "first_cluster": 1.0} if url else {}
settings = BuildSettings(name="small", clusters=12, per_cluster=2, k=24, cluster_score=1.5, engine="ray", **asked)
done = build(*sys.argv[4:], out=sys.argv[1], settings=settings)
print(json.dumps({"nodes": len(nodes), "prompts": done.prompts, "calls": done.calls}))
ray.shutdown()
cluster.shutdown()
"""


def _spread(pool: Any, pools: Any, folder: Path) -> list[str]:
    """Write the pool as four files and return their paths."""
    return [
        str(pools.write_pool(folder / f"part{k}.jsonl", [{"prompt": text} for text in pool[1][k::4]])) for k in range(4)
    ]


def _on_two_nodes(out: Path, files: list[str], url: str = "", store: str = "") -> dict[str, int]:
    """Build on a cluster of two nodes; return what the process says."""
    command = [sys.executable, "-W", "ignore", "-c", _CODE, str(out), url, store, *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr[-2000:]
    said: dict[str, int] = json.loads(done.stdout.strip().splitlines()[-1])
    return said


def test_two_nodes_make_the_same_benchmark(pool: Any, pools: Any, tmp_path: Path) -> None:
    """Same input and seed, same bytes, on one process and on two nodes."""
    files = _spread(pool, pools, tmp_path)
    local = build(*files, out=tmp_path / "local", settings=SETTINGS)
    assert _on_two_nodes(tmp_path / "ray", files) == {"nodes": 2, "prompts": local.prompts, "calls": 0}
    for name in FILES:
        assert (tmp_path / "ray" / name).read_bytes() == (local.folder / name).read_bytes()


def test_two_nodes_share_a_store_on_postgres_and_pay_for_nothing_twice(
    pool: Any, pools: Any, llm: Any, postgres: PostgresServer, tmp_path: Path
) -> None:
    """Both nodes annotate in two passes through one store: every question is asked once, the benchmark is the local one,
    and a second build of the same pool elsewhere asks nobody.
    """
    files, store = _spread(pool, pools, tmp_path), postgres.emptied()
    said = _on_two_nodes(tmp_path / "ray", files, llm.url, store)
    assert said["nodes"] == 2
    asked = [(body["model"], body["messages"][1]["content"].partition("\n")[2]) for body in llm.seen]
    assert len(asked) == said["calls"] > 600
    assert len({(model, text.rpartition("\n")[0]) for model, text in asked}) == len(asked), "a call was made twice"
    assert _on_two_nodes(tmp_path / "again", files, llm.url, store)["calls"] == 0
    assert len(llm.seen) == len(asked)
    settings = replace(
        SETTINGS, first=Annotator("openai/cheap", llm.url), second=Annotator("openai/strong", llm.url),
        first_cluster=1.0, concurrency=8,
    )  # fmt: skip
    local = build(*files, out=tmp_path / "local", settings=settings)
    assert local.prompts == said["prompts"]
    for name in FILES:
        assert (tmp_path / "ray" / name).read_bytes() == (local.folder / name).read_bytes()


def test_the_command_starts_a_cluster_of_its_own(pool: Any, tmp_path: Path) -> None:
    """`--engine ray` without a cluster uses this machine; an error in a task keeps its message and exit code."""
    (tmp_path / "bad.jsonl").write_text('{"nothing": 1}\n')
    command = [sys.executable, "-W", "ignore", "-m", "auditkit", "build", "--engine", "ray", "--quiet"]
    bad = subprocess.run(
        [*command, str(tmp_path / "bad.jsonl"), "--out", str(tmp_path / "bad")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert bad.returncode == 2
    assert "no prompt in this file (line 1: no_prompt)" in bad.stderr
