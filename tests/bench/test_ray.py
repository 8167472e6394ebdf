"""The Ray engine on a real cluster of two nodes on the loopback interface."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from auditkit.bench.settings import BuildSettings
from auditkit.build import build

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
from auditkit.bench.settings import BuildSettings
from auditkit.build import build

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
cluster.add_node(num_cpus=1)
ray.init(address=cluster.address, log_to_driver=False)
cluster.wait_for_nodes()
nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
settings = BuildSettings(name="small", clusters=12, per_cluster=2, k=24, cluster_score=1.5, engine="ray")
done = build(*sys.argv[2:], out=sys.argv[1], settings=settings)
print(json.dumps({"nodes": len(nodes), "prompts": done.prompts}))
ray.shutdown()
cluster.shutdown()
"""


def test_two_nodes_make_the_same_benchmark(pool: Any, pools: Any, tmp_path: Path) -> None:
    """Same input and seed, same bytes, on one process and on two nodes; a bad file is the same clear error."""
    files = []
    texts = pool[1]
    for k in range(4):
        records = [{"prompt": text} for text in texts[k::4]]
        files.append(str(pools.write_pool(tmp_path / f"part{k}.jsonl", records)))
    local = build(*files, out=tmp_path / "local", settings=SETTINGS)
    command = [sys.executable, "-W", "ignore", "-c", _CODE, str(tmp_path / "ray"), *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout.strip().splitlines()[-1])
    assert said == {"nodes": 2, "prompts": local.prompts}
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
