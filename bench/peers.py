"""Virtual environments of the projects that are measured beside auditkit, under ``.bench/``, made on first use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PEERS = {
    "alpaca-eval": ["alpaca-eval==0.6.6", "setuptools<81", "scikit-learn<1.8"],  # pkg_resources; penalty=None
    "arena-rank": ["arena-rank==0.1.1"],
    "evalica": ["evalica==0.4.2", "pandas", "pyarrow"],
    "inspect-ai": ["inspect-ai==0.3.285", "openai>=2.54"],
    "torch": ["torch==2.13.0", "numpy"],
}


def peer(name: str) -> Path:
    """Return the Python of a peer's virtual environment; make it if it is not there."""
    folder = ROOT / ".bench" / name.replace("-", "_")
    python = folder / "bin" / "python"
    made = folder / ".made"
    if not made.is_file():
        print(f"making .bench/{folder.name} ({', '.join(PEERS[name])})", flush=True)
        uv = Path(sys.executable).parent / "uv"
        subprocess.run([uv, "venv", "--quiet", "--seed", "--clear", folder], check=True)
        # pip, for it also looks where the user's configuration points it (a machine's own PyTorch wheels)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PEERS[name]], check=True)
        made.touch()
    return python
