"""Measure the engine: ``engine.py [--calls 2000] [--latency 0.1] [--concurrency 64] [--rounds 3] [--no-peers]``.

Every side sends the same requests to one loopback server in a process of its own and reads the replies. Ours is a
whole run: prompts and answers read, rendered, looked up, asked, parsed and stored on disk, tables published. A second
part starts a run of 200,000 games that are stored already and measures how soon the first open one is asked, and how
much memory the stored ones take.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from peers import peer

HERE = Path(__file__).resolve()
MODEL = "judge"
WALL = 1.2
NOTES = """- Only `auditkit run` reads files, renders, claims, parses, stores every reply and verdict durably (SQLite, full
  synchronisation) and publishes tables; the other sides hold their requests ready and keep nothing. Imports are outside
  the clock everywhere.
- Processor time is that of the client's process, which has one of the cores to itself only if nothing else runs."""


# --- the server -----------------------------------------------------------------------------------------------------


def serve(latency: float) -> None:
    """Answer every chat call after `latency` seconds; print the port."""
    from aiohttp import web

    first: list[float] = []
    counted = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal counted
        first.append(time.time()) if not first else None
        await request.read()
        await asyncio.sleep(latency)
        counted += 1
        choice = {"index": 0, "message": {"role": "assistant", "content": "[[A>B]]"}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 500, "completion_tokens": 5, "total_tokens": 505}
        body = {
            "id": "x",
            "object": "chat.completion",
            "created": 1,
            "model": MODEL,
            "choices": [choice],
            "usage": usage,
        }
        return web.json_response(body)

    async def report(request: web.Request) -> web.Response:
        nonlocal counted
        found = {"first": first[0] if first else None, "counted": counted}
        first.clear()
        counted = 0
        return web.json_response(found)

    async def main() -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", answer)
        app.router.add_get("/report", report)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.Event().wait()

    asyncio.run(main())


def reported(url: str) -> dict[str, float]:
    """Return what the server has seen since it was asked last."""
    with urllib.request.urlopen(url.removesuffix("/v1") + "/report") as response:  # noqa: S310  our own server
        found: dict[str, float] = json.load(response)
    return found


# --- inputs ---------------------------------------------------------------------------------------------------------


def benchmark(folder: Path, url: str, prompts: int, models: int, concurrency: int) -> Path:
    """Write prompts, answers and a run spec with ``2 x prompts x models`` games."""
    folder.mkdir(parents=True, exist_ok=True)
    filler = "one more thing to weigh in the answer, "
    with (folder / "question.jsonl").open("w") as handle:
        for i in range(prompts):
            handle.write(json.dumps({"uid": f"q{i}", "category": "essay", "prompt": f"Question {i}: why?"}) + "\n")
    names = ["base", *(f"model-{k}" for k in range(models))]
    for name in names:
        with (folder / f"{name}.jsonl").open("w") as handle:
            for i in range(prompts):
                handle.write(json.dumps({"uid": f"q{i}", "model": name, "answer": f"{name} {i}: {filler * 12}"}) + "\n")
    listed = "\n".join(f'[[models]]\nname = "{name}"\nanswers = "{name}.jsonl"' for name in names[1:])
    spec = folder / "audit.toml"
    spec.write_text(
        f'[benchmark]\npath = "question.jsonl"\nbaseline = "base.jsonl"\n{listed}\n[judge]\nuse = "arena-hard-v2.0"\n'
        f'model = "openai/{MODEL}"\nbase_url = "{url}"\nparams = {{ max_tokens = 256 }}\n[run]\n'
        f"concurrency = {concurrency}\n"
    )
    return spec


def requests_of(spec: Path) -> list[list[dict[str, str]]]:
    """Return the messages that our run sends, for the peers."""
    from auditkit.judging.plan import plan
    from auditkit.judging.resolve import resolve
    from auditkit.judging.runspec import load_spec

    contest = resolve(load_spec(spec)).contest
    tasks = [(task, item) for task in plan(contest) for item in task.items]
    return [[{"role": m.role, "content": m.content} for m in contest.request(t, i).messages] for t, i in tasks]


# --- sides, each in a fresh process ---------------------------------------------------------------------------------


def say(started: float, cpu: float, **more: object) -> None:
    """Print what a side took."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    wall = time.perf_counter() - started
    print(json.dumps({"wall": wall, "cpu": used.ru_utime + used.ru_stime - cpu, "mb": used.ru_maxrss / 1024, **more}))


def clocks() -> tuple[float, float]:
    """Return the time now and the processor time used so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), used.ru_utime + used.ru_stime


def side_ours(spec: Path, out: Path, limit: int | None = None) -> None:
    """A whole run of ours, or of its first `limit` prompts."""
    import pandas  # noqa: F401  imports are no part of the measure, on either side

    from auditkit.judging.clients import openai_client  # noqa: F401
    from auditkit.judging.prices import table
    from auditkit.run import run

    table()
    started, cpu = clocks()
    begun = time.time()
    result = run(spec, out=out, limit=limit)
    say(started, cpu, done=result.done, calls=result.calls, begun=begun)


def side_aiohttp(url: str, messages: list[list[dict[str, str]]], concurrency: int) -> None:
    """A bare loop over aiohttp: what this machine and server allow; nothing is stored."""
    import aiohttp

    async def main() -> int:
        gate = asyncio.Semaphore(concurrency)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            async def ask(message: list[dict[str, str]]) -> str:
                body = {"model": MODEL, "messages": message, "temperature": 0, "max_tokens": 256}
                async with gate, session.post(f"{url}/chat/completions", json=body) as response:
                    return str((await response.json())["choices"][0]["message"]["content"])

            return sum(1 for text in await asyncio.gather(*map(ask, messages)) if text)

    started, cpu = clocks()
    say(started, cpu, done=asyncio.run(main()))


def side_openai(url: str, messages: list[list[dict[str, str]]], concurrency: int) -> None:
    """The openai SDK's asynchronous client on its aiohttp transport; nothing is stored."""
    import openai

    async def main() -> int:
        gate = asyncio.Semaphore(concurrency)
        client = openai.AsyncOpenAI(
            base_url=url, api_key="none", max_retries=0, http_client=openai.DefaultAioHttpClient()
        )

        async def ask(message: list[dict[str, str]]) -> str:
            async with gate:
                made = await client.chat.completions.create(
                    model=MODEL, messages=message, temperature=0, max_tokens=256,  # type: ignore[arg-type]
                )  # fmt: skip
                return made.choices[0].message.content or ""

        done = sum(1 for text in await asyncio.gather(*map(ask, messages)) if text)
        await client.close()
        return done

    started, cpu = clocks()
    say(started, cpu, done=asyncio.run(main()))


def side_threads(url: str, messages: list[list[dict[str, str]]], concurrency: int) -> None:
    """A plain thread pool over the openai client; nothing is stored."""
    from concurrent.futures import ThreadPoolExecutor

    import openai

    client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)

    def ask(message: list[dict[str, str]]) -> str:
        made = client.chat.completions.create(model=MODEL, messages=message, temperature=0, max_tokens=256)  # type: ignore[arg-type]
        return made.choices[0].message.content or ""

    started, cpu = clocks()
    with ThreadPoolExecutor(concurrency) as pool:
        done = sum(1 for text in pool.map(ask, messages) if text)
    say(started, cpu, done=done)


def side_litellm(url: str, messages: list[list[dict[str, str]]], concurrency: int) -> None:
    """litellm's own asynchronous call; nothing is stored."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm

    async def main() -> int:
        gate = asyncio.Semaphore(concurrency)

        async def ask(message: list[dict[str, str]]) -> str:
            async with gate:
                made = await litellm.acompletion(
                    model=f"openai/{MODEL}", messages=message, api_base=url, api_key="none", temperature=0, max_tokens=256,
                    num_retries=0,
                )  # fmt: skip
                return str(made.choices[0].message.content)

        return sum(1 for text in await asyncio.gather(*map(ask, messages)) if text)

    started, cpu = clocks()
    say(started, cpu, done=asyncio.run(main()))


def side_inspect(url: str, messages: list[list[dict[str, str]]], concurrency: int) -> None:
    """inspect_ai's model layer, with as many connections; nothing is stored."""
    os.environ["BENCH_API_KEY"] = "none"
    os.environ["BENCH_BASE_URL"] = url
    from inspect_ai.model import ChatMessageSystem, ChatMessageUser, GenerateConfig, get_model

    async def main() -> int:
        config = GenerateConfig(max_connections=concurrency, max_retries=0, temperature=0, max_tokens=256)
        model = get_model(f"openai-api/bench/{MODEL}", config=config)

        async def ask(message: list[dict[str, str]]) -> str:
            kinds = {"system": ChatMessageSystem, "user": ChatMessageUser}
            return str((await model.generate([kinds[m["role"]](content=m["content"]) for m in message])).completion)

        return sum(1 for text in await asyncio.gather(*map(ask, messages)) if text)

    started, cpu = clocks()
    say(started, cpu, done=asyncio.run(main()))


# --- the comparison -------------------------------------------------------------------------------------------------


def side(python: Path | str, name: str, *arguments: object) -> dict[str, float]:
    """Run one side in a fresh process."""
    done = subprocess.run(
        [python, HERE, "side", name, *map(str, arguments)], check=True, stdout=subprocess.PIPE, encoding="utf-8"
    )
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def compare(url: str, work: Path, calls: int, latency: float, concurrency: int, rounds: int, peers: bool) -> list[str]:
    """Run every side in turn and return a table of the best of each."""
    spec = benchmark(work / "speed", url, calls // 2, 1, concurrency)
    messages = work / "messages.json"
    messages.write_text(json.dumps(requests_of(spec)))
    others: dict[str, Path | str] = dict.fromkeys(("aiohttp", "openai", "threads", "litellm"), sys.executable)
    if peers:
        others["inspect"] = peer("inspect-ai")
    best: dict[str, dict[str, float]] = {}
    for number in range(rounds):
        found = {"ours": side(sys.executable, "ours", spec, work / f"run-{number}")}
        seen = reported(url)
        assert found["ours"]["done"] == calls == seen["counted"], (found, seen)
        for name, python in others.items():
            found[name] = side(python, name, url, messages, concurrency)
            assert found[name]["done"] == calls, found[name]
            reported(url)
        for name, one in found.items():
            print(f"round {number + 1}: {name} {one['wall']:.2f} s, {one['cpu']:.2f} s of processor", flush=True)
            if name not in best or one["wall"] < best[name]["wall"]:
                best[name] = one
    ideal = calls * latency / concurrency
    titles = {
        "ours": "**`auditkit run`**, everything from files to tables, durable store",
        "aiohttp": "bare aiohttp loop", "openai": "openai SDK, asynchronous, aiohttp transport",
        "threads": f"{concurrency} threads over the openai SDK", "litellm": "litellm `acompletion`",
        "inspect": "inspect_ai 0.3.285, model layer",
    }  # fmt: skip
    wall, cpu = best["ours"]["wall"] / ideal, best["ours"]["cpu"] / best["litellm"]["cpu"]
    return [
        (
            f"{calls:,} judgments against a loopback server that answers after {1000 * latency:g} ms, {concurrency} at once: "
            f"ideally {ideal:.2f} s. The same requests on every side, the best of {rounds} rounds in turn."
        ),
        "",
        "| side | wall time | x ideal | processor a call | peak memory |",
        "|---|--:|--:|--:|--:|",
        *(
            f"| {titles[name]} | {one['wall']:.2f} s | {one['wall'] / ideal:.2f} | {1000 * one['cpu'] / calls:.2f} ms "
            f"| {one['mb']:.0f} MB |"
            for name, one in best.items()
        ),
        "",
        (
            f"Targets: wall time at most {WALL:g}x ideal: {_met(wall <= WALL)} ({wall:.2f}); processor time a call at most "
            f"half of litellm's own: {_met(cpu <= 0.5)} ({cpu:.2f})."
        ),
    ]


def _met(yes: bool) -> str:
    return "yes" if yes else "**no**"


def resumed(url: str, work: Path, games: int) -> list[str]:
    """Fill a store with games, leave a few open, and measure how soon the first of them is asked."""
    from auditkit.judging.export import run_name
    from auditkit.judging.plan import plan
    from auditkit.judging.resolve import resolve
    from auditkit.judging.runspec import load_spec
    from auditkit.judging.store import Game, Run, Store

    models = 10
    spec = benchmark(work / "resume", url, games // (2 * models), models, 64)
    out = work / "resumed"
    contest = resolve(load_spec(spec)).contest
    tasks = list(plan(contest))
    with Store.open(out / "store.sqlite") as store:
        runs = {model: run_name(out.name, contest, model) for model in contest.models}
        for model, run in runs.items():
            store.put_run(Run(run))
            played = [
                Game(
                    t.prompt.id, t.model, t.opponent, contest.judge_name, contest.judge_sha256, t.order, "A>B",
                    float(t.order == "model_first"),
                )
                for t in tasks[:-64] if t.model == model
            ]  # fmt: skip
            for start in range(0, len(played), 5000):
                store.put_games(run, played[start : start + 5000])
    empty = side(sys.executable, "ours", spec, work / "empty", 3)
    reported(url)
    one = side(sys.executable, "ours", spec, out)
    seen = reported(url)
    assert seen["counted"] == 64, seen
    first, more = seen["first"] - one["begun"], (one["mb"] - empty["mb"]) * 2**20 / len(tasks)
    line = (
        f"Resume: {len(tasks):,} games, all but 64 stored. The first call goes out after {first:.1f} s (target 5 s: "
        f"{_met(first <= 5)}); tables published after {one['wall']:.1f} s. Peak memory {one['mb']:.0f} MB, of which "
        f"{empty['mb']:.0f} MB are there with nothing stored (libraries, {models * games // (2 * models):,} answers): "
        f"{more:.0f} bytes a stored game."
    )
    print(line, flush=True)
    return [line]


def main() -> None:
    """Measure everything, or be one of the processes."""
    if sys.argv[1:2] == ["serve"]:
        serve(float(sys.argv[2]))
        return
    if sys.argv[1:2] == ["side"]:
        name, arguments = sys.argv[2], sys.argv[3:]
        if name == "ours":
            side_ours(Path(arguments[0]), Path(arguments[1]), int(arguments[2]) if arguments[2:] else None)
            return
        url, messages, concurrency = arguments[0], json.loads(Path(arguments[1]).read_text()), int(arguments[2])
        sides = {
            "aiohttp": side_aiohttp, "openai": side_openai, "threads": side_threads, "litellm": side_litellm,
            "inspect": side_inspect,
        }  # fmt: skip
        sides[name](url, messages, concurrency)
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--latency", type=float, default=0.1)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--games", type=int, default=200_000)
    parser.add_argument("--no-peers", action="store_true", help="without those that need a virtual environment")
    parser.add_argument("--out", type=Path, help="also write the figures there, as Markdown")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as scratch,
        subprocess.Popen(
            [sys.executable, HERE, "serve", str(options.latency)], stdout=subprocess.PIPE, text=True
        ) as server,
    ):
        assert server.stdout is not None
        try:
            url = f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
            lines = compare(
                url, Path(scratch), options.calls, options.latency, options.concurrency, options.rounds,
                not options.no_peers,
            )  # fmt: skip
            if options.games:
                lines += ["", *resumed(url, Path(scratch), options.games)]
        finally:
            server.kill()
    lines += ["", NOTES]
    print("\n".join(lines))
    if options.out:
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
