"""Measure the client ``local`` against a bare loop over xllamacpp: ``local.py [--rounds 2] [--out FILE]``.

All sides answer the same requests with the embedded model, in turn, in fresh processes; best times are compared.
The bare loop takes the engine as it comes (its own threads, flash attention) and asks one prompt after the other,
without reuse or with the engine's own. Tokens a second count every prompt and generated token once, whether it was
computed or reused.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

MODEL = "smollm2-135m"
WORDS = [
    "river",
    "market",
    "lantern",
    "early",
    "quiet",
    "engine",
    "window",
    "garden",
    "copper",
    "letter",
    "morning",
    "signal",
    "harbour",
    "paper",
    "travel",
    "winter",
    "bright",
    "method",
    "simple",
    "answer",
    "because",
    "measure",
    "number",
    "careful",
    "example",
    "second",
    "between",
    "table",
    "reason",
    "follow",
    "change",
]
PROMPTS, QUESTIONS, ATTACKS = 16, 4, 8
WORKLOADS = {
    "ratings": f"nothing shared: {PROMPTS} prompts of about 350 tokens, 16 tokens generated",
    "verdicts": f"nothing shared: {PROMPTS} prompts of about 350 tokens, one token with log-probabilities",
    "grid": f"an attack grid: {QUESTIONS} questions x {ATTACKS} attacks on the second answer, one token with "
    "log-probabilities",
}
SIDES = {"bare": "bare loop", "reusing": "bare loop, its own reuse", "ours": "client `local`"}
TARGETS = {"ratings": 0.9, "verdicts": 0.9, "grid": 1.5}
NOTES = """- The bare loop takes the engine as it comes: all cores for one prompt, flash attention. The client runs one prompt on
  each core and, so that an answer does not depend on what was asked before, without flash attention.
- The grid is what a stress test asks: rubric, question and first answer are the same from attack to attack, and are
  computed once a core and question. The engine's own reuse does as much where prompts happen to come in that order,
  but its log-probabilities then depend on what was asked before (up to 0.2)."""


def text(start: int, count: int) -> str:
    """Return so many words, different for each start."""
    return " ".join(WORDS[(start * 7 + i * (1 + start % 5)) % len(WORDS)] for i in range(count))


def workload(name: str) -> list[dict[str, Any]]:
    """Return the bodies of the calls."""
    one = {"max_tokens": 1, "logprobs": True, "top_logprobs": 20, "temperature": 0.0}
    if name != "grid":
        params = one if name == "verdicts" else {"max_tokens": 16, "temperature": 0.0, "ignore_eos": True}
        return [{"messages": [{"role": "user", "content": f"{i} {text(i, 290)}"}], **params} for i in range(PROMPTS)]
    from auditkit.judging.render import render
    from auditkit.judging.spec import load_judge

    spec = load_judge("alpaca-eval-2")
    bodies = []
    for question in range(QUESTIONS):
        for attack in range(ATTACKS):
            rendered = render(
                spec,
                turns=f"Explain this: {text(question, 30)}?",
                answers=(
                    text(question + 50, 120),
                    f"{text(question + 90, 60)}\n\n{text(question * ATTACKS + attack + 200, 20)}",
                ),
            )
            bodies.append({"messages": [{"role": m.role, "content": m.content} for m in rendered.messages], **one})
    return bodies


def bare(bodies: list[dict[str, Any]], reuse: bool = False) -> tuple[float, int]:
    """Ask one after the other; return seconds and tokens."""
    import xllamacpp

    from auditkit.judging.clients.local import model_file

    params = xllamacpp.CommonParams()
    params.model.path = str(model_file(MODEL))
    params.n_ctx = 8192
    params.verbosity = -1
    server = xllamacpp.Server(params)
    server.handle_chat_completions({**bodies[0], "cache_prompt": False})
    start, tokens = time.perf_counter(), 0
    for body in bodies:
        reply = server.handle_chat_completions({**body, "cache_prompt": reuse})
        tokens += reply["usage"]["prompt_tokens"] + reply["usage"]["completion_tokens"]
    return time.perf_counter() - start, tokens


def ours(bodies: list[dict[str, Any]]) -> tuple[float, int]:
    """Ask through the client, as a run does, in the order for prefixes; return seconds and tokens."""
    from auditkit.judging.calls import Message, Request
    from auditkit.judging.clients.local import LocalClient, order_for_prefix
    from auditkit.judging.runspec import RunSettings

    requests = []
    for body in bodies:
        messages = tuple(Message(m["role"], m["content"]) for m in body["messages"])
        requests.append(Request(f"local/{MODEL}", messages, {k: v for k, v in body.items() if k != "messages"}))
    requests = [requests[i] for i in order_for_prefix(requests)]

    async def main() -> tuple[float, int]:
        client = LocalClient()
        gate = asyncio.Semaphore(RunSettings().concurrency)

        async def one(request: Request) -> int:
            async with gate:
                usage = (await client.complete(request)).usage
            return (usage.tokens_in or 0) + (usage.tokens_out or 0)

        warm = [Request(f"local/{MODEL}", (Message("user", str(i)),), {"max_tokens": 1}) for i in range(8)]
        await asyncio.gather(*map(one, warm))
        start = time.perf_counter()
        tokens = sum(await asyncio.gather(*map(one, requests)))
        seconds = time.perf_counter() - start
        await client.close()
        return seconds, tokens

    return asyncio.run(main())


def measured(side: str, name: str) -> tuple[float, int]:
    """Run one side in a fresh process."""
    done = subprocess.run([sys.executable, __file__, side, name], capture_output=True, text=True, check=True)
    seconds, tokens = json.loads(done.stdout)
    return seconds, tokens


def main() -> None:
    """Measure every workload and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", nargs="*")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", type=Path, help="also write the figures there, as Markdown")
    options = parser.parse_args()
    if options.side:
        side, name = options.side
        run = {"bare": bare, "reusing": partial(bare, reuse=True), "ours": ours}[side]
        print(json.dumps(run(workload(name))))
        return
    lines = [
        f"SmolLM2-135M-Instruct, the best of {options.rounds} rounds; tokens a second of prompts and replies together.",
        "",
        f"| requests | {' | '.join(SIDES.values())} | ratio to the bare loop | target, met |",
        "|---|--:|--:|--:|--:|---|",
    ]
    for name, what in WORKLOADS.items():
        speeds: dict[str, list[float]] = {side: [] for side in SIDES}
        for _ in range(options.rounds):
            counted = {}
            for side, found in speeds.items():
                if side == "reusing" and name != "grid":
                    continue  # there is nothing to reuse
                seconds, counted[side] = measured(side, name)
                found.append(counted[side] / seconds)
            assert len(set(counted.values())) == 1, "all sides count the same tokens"
        best = {side: max(found) for side, found in speeds.items() if found}
        ratio = best["ours"] / best["bare"]
        met = "yes" if ratio >= TARGETS[name] else "**no**"
        shown = " | ".join(f"{best[side]:.0f}" if side in best else "–" for side in SIDES)
        lines.append(f"| {what} | {shown} | {ratio:.2f} | {TARGETS[name]}, {met} |")
        print(lines[-1], flush=True)
    lines += ["", NOTES]
    if options.out:
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
