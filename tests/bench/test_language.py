"""Which language a prompt is in, on prompts whose language their file tells."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from auditkit.bench.language import language_of
from auditkit.bench.reading import raws_of

#: Share of the 500 questions of each file that were labelled right before scripts were looked at, and what is asked now.
BEFORE = {"en": 0.974, "ar": 0.930, "de": 0.978, "hi": 0.988, "zh": 0.896}
ASKED = {"en": 0.985, "ar": 0.99, "de": 0.98, "hi": 0.995, "zh": 0.995}


@pytest.mark.parametrize("code", sorted(ASKED))
def test_five_languages_of_real_questions(shared_data: Path, code: str) -> None:
    """Arena-Hard's questions, many of them half code, and their translations: no variety makes a stratum of its own."""
    folder = f"m_arena_hard/m-arena-hard-{code}" if code != "en" else "arena_hard/arena-hard-v0.1"
    found = Counter(
        language_of(raw.turns[0])[0] for _, raw in raws_of(shared_data / folder / "question.jsonl", "first")
    )
    assert found.total() == 500
    assert found[code] / 500 >= ASKED[code] > BEFORE[code]
    assert set(found) <= {code, "en", "und"}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("你好", "zh"), ("编写 Python 代码从 yfinance 获取每日股票数据并绘制图表", "zh"), ("呢個問題點樣解決好呀唔該晒", "zh"),
        ("日本語で説明してください。この関数は何をしますか", "ja"), ("関数の説明", "ja"), ("请介绍优の良品这家公司的主要产品和历史", "zh"), ("우리 회사의 매출을 분석해 주세요", "ko"),
        ("写一个 python function to_sum(x) which returns the total", "zh"), ("اكتب كود بايثون", "ar"),
        ("این متن را به فارسی ترجمه کنید و توضیح دهید", "fa"), ("اس متن کا اردو میں ترجمہ کریں اور وضاحت کریں", "ur"),
        ("Напиши функцию на Python", "ru"), ("Напиши функцію, що рахує рядки у файлі", "uk"), ("यह कोड समझाइए", "hi"),
        ("translate 你好 to English and explain the usage of the word in a sentence please", "en"), ("หนังสือเล่มนี้", "th"),
        ("Explain why https://www.beispiel.de/seite/ueber/uns gives the error 404 on my phone", "en"),
        ("", "und"), ("12 + 12 = ?", "und"), ("```python\nfor line in lines: print(line)\n```", "und"), ("f(x)=y; g(x)=z", "und"),
    ],
)  # fmt: skip
def test_the_script_decides(text: str, code: str) -> None:
    """Signs and letters tell the language, whatever code stands among them; code alone tells none."""
    assert language_of(text)[0] == code


def test_probabilities_are_in_range() -> None:
    """A probability is one, also where the script alone decides."""
    for text in ("你好", "Напиши функцию на Python", "xyz abc def", "Ein Satz mit deutschen Wörtern"):
        assert 0.0 <= language_of(text)[1] <= 1.0
