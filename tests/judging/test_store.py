"""What goes into a store comes out of it, on SQLite and on Postgres."""

from __future__ import annotations

import math
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.errors import InputError
from auditkit.judging.calls import Completion, Message, Request, TokenLogprob, Usage
from auditkit.judging.store import Answer, Game, Rating, Run, Store, StoreError, game_key, rating_key
from auditkit.judging.store.redaction import without_secrets

if TYPE_CHECKING:
    from tests.judging.postgres_server import PostgresServer

pytest_plugins = ["tests.judging.postgres_server"]

#: Every text that Python can hold: NUL, unpaired surrogates and the character that the store escapes with included.
TEXTS = st.text(st.characters() | st.sampled_from("\x00\x1a\ud800\udfff0aф漢"), max_size=40)
NUMBERS = st.floats(allow_nan=True, allow_infinity=False)
COUNTS = st.none() | st.integers(0, 2**63 - 1)
USAGES = st.builds(Usage, COUNTS, COUNTS, COUNTS)
COSTS = st.none() | st.floats(0, 1e6)
LOGPROBS = st.floats(max_value=0.0, allow_nan=False)
COMPLETIONS = st.builds(
    Completion,
    text=TEXTS,
    finish=TEXTS,
    logprobs=st.none()
    | st.lists(
        st.builds(TokenLogprob, TEXTS, LOGPROBS, st.lists(st.tuples(TEXTS, LOGPROBS), max_size=3).map(tuple)),
        max_size=3,
    ).map(tuple),
    usage=USAGES,
    cost=COSTS,
    latency=st.floats(0, 1e6),
    served=TEXTS,
    trace=TEXTS,
)
GAMES = st.builds(
    Game,
    prompt_id=TEXTS,
    model=TEXTS,
    opponent=TEXTS,
    judge=TEXTS,
    judge_sha256=TEXTS,
    order=st.sampled_from(["model_first", "model_second", "unknown"]),
    label=TEXTS,
    outcome=st.floats(0, 1) | st.just(math.nan),
    weight=st.floats(0.1, 10),
    variant=TEXTS,
    turn=st.integers(1, 5),
    sample=st.integers(0, 9),
    gold=st.sampled_from([0.0, 1.0, math.nan]),
    request_key=TEXTS,
    reason=TEXTS,
    usage=USAGES,
    cost=COSTS,
    latency=st.floats(0, 1e6),
)
RATINGS = st.builds(
    Rating,
    prompt_id=TEXTS,
    model=TEXTS,
    judge=TEXTS,
    judge_sha256=TEXTS,
    score=NUMBERS,
    label=TEXTS,
    variant=TEXTS,
    turn=st.integers(1, 5),
    sample=st.integers(0, 9),
    request_key=TEXTS,
    reason=TEXTS,
    usage=USAGES,
    cost=COSTS,
    latency=st.floats(0, 1e6),
)
ANSWERS = st.builds(
    Answer,
    prompt_id=TEXTS,
    model=TEXTS,
    text=TEXTS,
    turn=st.integers(1, 5),
    trace=TEXTS,
    finish=TEXTS,
    request_key=TEXTS,
    tokens=COUNTS,
)


def request(text: str, sample: int = 0, **params: Any) -> Request:
    return Request("openai/judge", (Message("system", "Judge."), Message("user", text)), params, sample)


def game(number: int = 0, **more: Any) -> Game:
    usual: dict[str, Any] = {
        "prompt_id": f"p{number:05d}", "model": "candidate", "opponent": "baseline", "judge": "judge",
        "judge_sha256": "sha", "order": "model_first", "outcome": 1.0,
    }  # fmt: skip
    return Game(**usual | more)


def same(a: object, b: object) -> bool:
    """Tell whether two records are equal where NaN equals NaN."""
    return repr(a) == repr(b)


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with Store.open(store_url) as store:
        yield store


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def lasting(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One store for all examples of a property."""
    if request.param == "sqlite":
        where = str(tmp_path_factory.mktemp("lasting") / "store.sqlite")
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        where = server.database()
    with Store.open(where) as store:
        store.put_run(Run("all"))
        yield store


# --- completions ----------------------------------------------------------------------------------------------------


@given(text=TEXTS, completion=COMPLETIONS)
def test_a_completion_comes_back_exactly(lasting: Store, text: str, completion: Completion) -> None:
    """Texts of any characters, infinite log-probabilities, counts and costs survive; a stored one is not replaced."""
    asked = request(text)
    before = lasting.completions([asked.key]).get(asked.key, completion)
    lasting.put_completions([(asked, completion)])
    assert lasting.completions([asked.key]) == {asked.key: before}


def test_what_cannot_be_true_is_missing(store: Store) -> None:
    """A count that is negative or astronomical, and a cost or latency that is no number, are stored as unknown."""
    odd = Completion("x", usage=Usage(10**30, -1, 5), cost=math.nan, latency=math.inf)
    store.put_completions([(request("q"), odd)])
    back = store.completions([request("q").key])[request("q").key]
    assert back.usage == Usage(None, None, 5)
    assert back.cost is None
    assert math.isnan(back.latency)


def test_keys_are_found_among_thousands(store: Store) -> None:
    """Of more keys than one query takes, exactly the stored ones are known, and each with its own completion."""
    pairs = [(request(f"q{i}"), Completion(f"a{i}")) for i in range(300)]
    store.put_completions(pairs)
    keys = [request(f"q{i}").key for i in range(12_000)]
    assert store.known(keys) == {asked.key for asked, _ in pairs}
    assert store.completions(keys) == {asked.key: completion for asked, completion in pairs}
    assert store.known([]) == set()


def test_the_sample_number_makes_another_call(store: Store) -> None:
    """Repeated draws of one request are kept apart."""
    store.put_completions([(request("q", sample=i), Completion(str(i))) for i in range(3)])
    assert [store.completions([request("q", sample=i).key]).popitem()[1].text for i in range(3)] == ["0", "1", "2"]


def test_a_batch_goes_in_whole_or_not_at_all(store: Store) -> None:
    """When one row cannot be stored, none of its transaction is."""
    store.put_run(Run("r"))
    with pytest.raises((OverflowError, StoreError), match=r"too large|out of range"):
        store.put_games("r", [game(1), game(2, turn=2**70)])
    assert list(store.games("r")) == []


# --- games, ratings, answers ----------------------------------------------------------------------------------------


@given(given_game=GAMES)
def test_a_game_comes_back_exactly(lasting: Store, given_game: Game) -> None:
    """A game is the same after the store, NaN included, however often it is put."""
    lasting.put_games("all", [given_game])
    lasting.put_games("all", [given_game, given_game])
    found = [g for g in lasting.games("all") if g.key == given_game.key]
    assert len(found) == 1
    assert same(found[0], given_game)


@given(rating=RATINGS, answer=ANSWERS)
def test_ratings_and_answers_come_back_exactly(lasting: Store, rating: Rating, answer: Answer) -> None:
    """So are ratings and answers."""
    lasting.put_ratings("all", [rating, rating])
    lasting.put_answers("all", [answer, answer])
    assert [same(r, rating) for r in lasting.ratings("all") if r.key == rating.key] == [True]
    assert [same(a, answer) for a in lasting.answers("all") if a.key == answer.key] == [True]


def test_a_missing_outcome_is_null(store_url: str, tmp_path: Path) -> None:
    """NaN is NULL in the database: no query mistakes it for a number."""
    if "://" in store_url:
        pytest.skip("looked at with SQLite's own module")
    import sqlite3

    with Store.open(store_url) as store:
        store.put_run(Run("r"))
        store.put_games("r", [game(outcome=math.nan, reason="no label on the last line")])
        connection = sqlite3.connect(store_url)
        assert connection.execute("SELECT outcome, gold, cost FROM games").fetchall() == [(None, None, None)]
        connection.close()


def test_a_game_is_identified_by_who_met_whom_how(store: Store) -> None:
    """Each part of a game's identity makes another game; verdict, spec version and cost do not: the newer stands."""
    store.put_run(Run("r"))
    base = game()
    others = [
        replace(base, judge="other"), replace(base, prompt_id="other"), replace(base, model="other"),
        replace(base, opponent="other"), replace(base, order="model_second"), replace(base, turn=2),
        replace(base, variant="other"), replace(base, sample=1),
    ]  # fmt: skip
    store.put_games("r", [base, *others])
    newer = replace(base, outcome=0.0, judge_sha256="sha-2", label="B", cost=1.0)
    store.put_games("r", [newer])
    assert len(list(store.games("r"))) == 9
    assert store.game_keys("r") == {g.key for g in [base, *others]}
    assert store.game_keys("r", judge_sha256="sha-2") == {base.key}
    assert newer in list(store.games("r"))
    assert base.key == game_key("judge", "p00000", "candidate", "baseline", "model_first")


def test_a_rating_is_identified_by_who_was_rated_how(store: Store) -> None:
    """Ratings are kept by judge, prompt, model, turn, variant and sample."""
    store.put_run(Run("r"))
    rating = Rating("p", "m", "j", "sha", 7.0)
    store.put_ratings("r", [rating, replace(rating, turn=2), replace(rating, score=8.0)])
    assert sorted(r.score for r in store.ratings("r")) == [7.0, 8.0]
    assert store.rating_keys("r", judge_sha256="sha") == {rating.key, replace(rating, turn=2).key}
    assert rating.key == rating_key("j", "p", "m")


def test_the_order_of_games_does_not_depend_on_who_was_first(store: Store) -> None:
    """Two runs with the same games give them in the same order, whatever order they were put in."""
    games = [game(i) for i in range(50)]
    for name, order in (("a", games), ("b", games[::-1])):
        store.put_run(Run(name))
        store.put_games(name, order)
    assert list(store.games("a")) == list(store.games("b"))
    assert {g.prompt_id for g in store.games("a")} == {g.prompt_id for g in games}


def test_runs_do_not_see_each_other(store: Store) -> None:
    """A run's games are its own, under the same keys too."""
    store.put_run(Run("a"))
    store.put_run(Run("b"))
    store.put_games("a", [game(outcome=1.0)])
    store.put_games("b", [game(outcome=0.0)])
    assert [g.outcome for g in store.games("a")] == [1.0]
    assert [g.outcome for g in store.games("b")] == [0.0]


def test_a_long_name_is_no_obstacle(store: Store) -> None:
    """A model name longer than any index entry may be is stored like another."""
    store.put_run(Run("r"))
    long = game(model="m" * 100_000, judge="ж" * 5_000)
    store.put_games("r", [long])
    assert list(store.games("r")) == [long]


def test_reading_many_games_takes_little_memory(tmp_path: Path) -> None:
    """Games are read page by page: more of them take hardly more memory."""
    peaks = []
    with Store.open(tmp_path / "store.sqlite") as store:
        for size in (2_500, 6_000):
            name = str(size)
            store.put_run(Run(name))
            store.put_games(name, [game(i, reason="why " * 100) for i in range(size)])
            tracemalloc.start()
            try:
                assert sum(1 for _ in store.games(name)) == size
                peaks.append(tracemalloc.get_traced_memory()[1])
            finally:
                tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def test_an_impossible_verdict_is_refused() -> None:
    """An outcome outside 0..1, a weight that counts nothing and an infinite score are our own mistakes."""
    with pytest.raises(ValueError, match="outcome"):
        game(outcome=1.5)
    with pytest.raises(ValueError, match="weight"):
        game(weight=0.0)
    with pytest.raises(ValueError, match="score"):
        Rating("p", "m", "j", "s", math.inf)


# --- runs -----------------------------------------------------------------------------------------------------------


def test_the_first_spec_of_a_run_stands(store: Store) -> None:
    """Putting a run again returns the stored one, for the caller to compare."""
    first = store.put_run(Run("mine", {"seed": 1, "models": ["a", {"b": None}]}, {"prompts": "ab12"}))
    again = store.put_run(Run("mine", {"seed": 2}))
    assert again == first
    assert (again.spec, again.hashes) == ({"seed": 1, "models": ["a", {"b": None}]}, {"prompts": "ab12"})
    assert again.created.endswith("+00:00")
    store.put_run(Run("other\x00\ud800"))
    assert [run.name for run in store.runs()] == ["mine", "other\x00\ud800"]
    assert store.run("mine") == first
    assert store.run("nobody's") is None


@pytest.mark.parametrize("name", ["", "n" * 256])
def test_a_run_needs_a_name(store: Store, name: str) -> None:
    """An empty name and one of over 255 characters are refused."""
    with pytest.raises(InputError, match="1 to 255 characters"):
        store.put_run(Run(name))


def test_an_unknown_run_is_an_error(store: Store) -> None:
    """Nothing is silently empty: a run that is not there is said not to be."""
    with pytest.raises(InputError, match="no run named 'nobody'"):
        list(store.games("nobody"))
    with pytest.raises(InputError, match="no run named"):
        store.put_games("nobody", [game()])


# --- secrets --------------------------------------------------------------------------------------------------------

CANARY = "sk-canary-4242424242"


def test_secrets_never_enter(store_url: str, postgres: PostgresServer) -> None:
    """A key in parameters, headers, addresses or a run's spec is nowhere in the database; what is beside it is."""
    asked = request(
        "q",
        api_key=CANARY,
        temperature=0.5,
        max_tokens=77,
        extra_headers={"Authorization": f"Bearer {CANARY}", "X-Api-Key": CANARY, "X-Title": "audit"},
        extra_body={"nested": [{"clientSecret": CANARY, "note": f"Bearer {CANARY}"}]},
        api_base=f"https://user:{CANARY}@host/v1",
    )
    spec = asdict(asked)["params"] | {"access_token": CANARY, "stop_token": "END", "aws_secret_access_key": CANARY}
    with Store.open(store_url) as store:
        store.put_completions([(asked, Completion("a"))])
        run = store.put_run(Run("r", spec))
        assert store.known([asked.key]) == {asked.key}
    if "://" in store_url:
        tables = ("completions", "runs")
        dump = str([postgres.execute(f"SELECT * FROM auditkit.{t}") for t in tables]).encode()  # noqa: S608
    else:
        dump = b"".join(path.read_bytes() for path in Path(store_url).parent.iterdir())
    assert CANARY.encode() not in dump
    assert b"max_tokens" in dump
    assert b"X-Title" in dump
    assert (run.spec["stop_token"], run.spec["api_base"]) == ("END", "https://[removed]@host/v1")
    assert run.spec["extra_body"] == {"nested": [{"clientSecret": "[removed]", "note": "Bearer [removed]"}]}


def test_a_parameter_that_is_not_json_is_refused() -> None:
    """What cannot be looked through for secrets is not stored."""
    with pytest.raises(TypeError, match="not JSON: bytes"):
        without_secrets({"stop": [b"END"]})


def test_the_store_says_where_it_is_without_the_password(postgres: PostgresServer) -> None:
    """The name that errors show holds neither the password nor the address's options."""
    url = postgres.emptied().replace("tester@", f"tester:{CANARY}@") + f"?application_name={CANARY}"
    with Store.open(url) as store:
        assert CANARY not in store.name
        assert store.name.startswith("postgresql://tester@127.0.0.1:")
        with pytest.raises(InputError) as caught:
            store.put_games("nobody", [game()])
    assert CANARY not in str(caught.value)


def test_importing_the_records_does_not_import_sqlalchemy() -> None:
    """The package's records and errors come without the database library, which is loaded when a store is opened."""
    code = (
        "import sys; from auditkit.judging.store import Answer, Claim, Game, Rating, Run, StoreError, new_owner; "
        "print('sqlalchemy' in sys.modules); from auditkit.judging.store import Store; print('sqlalchemy' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["False", "True"]
