"""Text that means something to a harness: delimiters of judge templates, placeholders, special tokens of chat models.

Counts on 227 honest AlpacaEval submissions (181,918 answers): template tokens 0 (MT-Bench's ``[[5]]`` 3, in code),
exact placeholders 0, ordinary placeholders such as ``{question}`` 13 (f-strings), special tokens 23.
"""

from __future__ import annotations

import re
from typing import Final

from auditkit.attacks.detect.answers import (
    DEFAULTS,
    answers_of,
    find_hits,
    invited_note,
    judged,
    pattern_share,
    quote_hits,
    unmeasured,
)
from auditkit.records import Detection, Settings, Submission
from auditkit.text import without_code

__all__ = ["REJECT_ANSWERS", "REJECT_SHARE", "placeholders", "special_tokens", "template_tokens"]

#: More than a trivial share of answers: a slip does not happen in one answer of fifty, and in three at least.
REJECT_SHARE: Final = 0.02
REJECT_ANSWERS: Final = 3
#: A placeholder outside code is rejected from the second answer on: 0 of 181,918 honest answers hold one at all.
PLACEHOLDER_REJECT_ANSWERS: Final = 2
#: Special tokens are left behind by careless decoding; a review is worth it from this share on (one honest model of
#: 227 has most of the 23 hits). Below it, three hits are information.
SPECIAL_REVIEW: Final = 0.02

#: Delimiters of the published judge templates: AlpacaEval's clf template, Arena-Hard v0.1 and v2.0, MT-Bench,
#: WildBench v2 (the files `alpaca_eval_clf.txt`, `arena-hard-v*.yaml`, `judge_prompts.jsonl`, `eval_template.*.md`).
_TEMPLATE: Final = re.compile(
    r"model_identifier|##[ \t]*(?:Model Outputs|Best Model Identifier)\b"
    r"|\[\[[ \t]*[AB][ \t]*(?:>>|>|=|<<|<)[ \t]*[AB][ \t]*\]\]"
    r"|<\|(?:The (?:Start|End) of (?:Assistant|Reference)|User Prompt\|>)"
    r"|\[The (?:Start|End) of (?:Assistant|Reference)"
    r"|<\|(?:begin|end)_of_(?:response|query|history|checklist)"
)
_TEMPLATE_NEEDLES: Final = (
    "model_identifier", "model outputs", "best model identifier", "[[", "<|the ", "<|user prompt", "[the ",
    "<|begin_of_", "<|end_of_",
)  # fmt: skip
#: A rating as MT-Bench's judge writes it. In prose only: `x[[5]]` and `[[1], [2]]` are code.
_RATING: Final = re.compile(r"(?<![\w\]\)\[,])\[\[\d{1,3}(?:\.\d{1,3})?\]\](?![\]\[\(,])")
_TEMPLATE_SUBJECT: Final = re.compile(
    r"(?i)\b(?:judg|grad(?:e|er|ing)\b|evaluat|rubric|annotat|leaderboard|benchmark|prompt templat|prompt engineer"
    r"|\bLLMs?\b|language model|chatbot|AI assistant)"
)

#: Keys that published harnesses fill in by repeated replacement, so that an answer which holds one is expanded:
#: AlpacaEval (`{output_1}`), WildBench (`{$checklist}`), HealthBench (`<<rubric_item>>`), Arena-Hard and MT-Bench
#: (`{ANSWER_A}`, `{answer_a}`: safe there, but nobody's English).
_EXACT: Final = re.compile(
    r"\{output_[12]\}"
    r"|\{\$(?:candidate_[AB]|model_output|checklist|history|user_query)\}"
    r"|<<(?:rubric_item|conversation)>>"
    r"|\{ANSWER_[AB]\}|\{answer_[ab](?:_[12])?\}|\{ref_answer_[12]\}"
)
_EXACT_NEEDLES: Final = ("{output_", "{$", "<<rubric_item>>", "<<conversation>>", "{answer_", "{ref_answer_")
#: Keys of harnesses that are also what anyone calls a variable.
_ORDINARY: Final = re.compile(r"\{\{?(?:instruction|question(?:_[12])?|QUESTION|answer|prompt|output|response)\}\}?")
_ORDINARY_NEEDLES: Final = (
    "{instruction}", "{question", "{answer}", "{prompt}", "{output}", "{response}",
)  # fmt: skip
_PLACEHOLDER_SUBJECT: Final = re.compile(
    r"(?i)placeholder|template|f-?string|format string|string format|\bprompt|mustache|jinja|handlebars|\bLLMs?\b"
    r"|language model|chatbot|langchain"
)

#: Control tokens of chat models and tokenisers.
_SPECIAL: Final = re.compile(
    r"<\|(?:im_start|im_end|im_sep|endoftext|endofprompt|eot_id|end_of_text|begin_of_text|start_header_id|end_header_id"
    r"|eom_id|python_tag|assistant|user|system|end|channel|message|return|fim_(?:prefix|middle|suffix))\|>"
    r"|<(?:start|end)_of_turn>|<\uff5c(?:begin|end)\u2581of\u2581sentence\uff5c>|\[/?INST\]|<</?SYS>>"
)
_SPECIAL_NEEDLES: Final = ("<|", "_of_turn>", "<\uff5c", "[inst]", "[/inst]", "<<sys>>", "<</sys>>")
_SPECIAL_SUBJECT: Final = re.compile(
    r"(?i)\btokens?\b|tokeni[sz]|chatml|\bllama|chat template|\bGPT|\bLLMs?\b|language model|\bprompt"
)


def template_tokens(submission: Submission, settings: Settings = DEFAULTS) -> Detection:
    """Find delimiters and verdict tokens of published judge templates in the answers.

    The statistic is the share of answers that hold one which their prompt neither quotes nor asks about. One answer
    is for review; a fiftieth of the answers (three at least) is rejected. Ratings in MT-Bench's notation, outside
    code, count from three answers on.

    Source: specification D-tmpl; Zheng et al. 2024, arXiv:2410.07137 (null models), for what the tokens do.
    """
    answers = answers_of(submission)
    if not len(answers):
        return unmeasured("template_tokens", "no answers are recorded")
    hits, searched = find_hits(answers, _TEMPLATE, _TEMPLATE_NEEDLES, _TEMPLATE_SUBJECT)
    ratings, rated = find_hits(answers, _RATING, ("[[",), _TEMPLATE_SUBJECT, without_code)
    if sum(not hit.invited for hit in ratings) >= REJECT_ANSWERS:
        known = {hit.row for hit in hits}
        hits += [hit for hit in ratings if hit.row not in known]
        searched += [text for hit, text in zip(ratings, rated, strict=True) if hit.row not in known]
    n = len(answers)
    return judged(
        "template_tokens",
        sum(not hit.invited for hit in hits) / n,
        n=n,
        review=1 / n,
        reject=max(REJECT_SHARE, REJECT_ANSWERS / n),
        evidence=quote_hits(answers, hits, searched),
        note=invited_note(hits),
    )


def placeholders(submission: Submission, settings: Settings = DEFAULTS) -> Detection:
    """Find placeholders that a harness would expand inside the answers.

    The statistic is the share of answers that hold an exact key of a published template which their prompt neither
    quotes nor asks about. In code it is for review; outside code, or in a fiftieth of all answers, it is
    rejected from the second answer on. Keys that are ordinary variable names (``{question}``) are mentioned, and for
    review from a fiftieth of the answers on, outside code only.

    Source: specification D-ph and F-01 to F-03; 0 of 181,918 honest answers hold an exact key.
    """
    answers = answers_of(submission)
    n = len(answers)
    if not n:
        return unmeasured("placeholders", "no answers are recorded")
    hits, searched = find_hits(answers, _EXACT, _EXACT_NEEDLES, _PLACEHOLDER_SUBJECT)
    prose, _ = find_hits(answers, _EXACT, _EXACT_NEEDLES, _PLACEHOLDER_SUBJECT, without_code)
    found = sum(not hit.invited for hit in hits)
    bare = sum(not hit.invited for hit in prose)
    ordinary, ordinary_searched = find_hits(answers, _ORDINARY, _ORDINARY_NEEDLES, _PLACEHOLDER_SUBJECT, without_code)
    named = sum(not hit.invited for hit in ordinary)
    several = max(REJECT_SHARE * n, REJECT_ANSWERS)
    note = f"{found} answers with an exact key, {bare} of them outside code; {named} with an ordinary one outside code"
    certain = bare >= PLACEHOLDER_REJECT_ANSWERS or found >= several
    if not found and named >= several:
        hits, searched, found = ordinary, ordinary_searched, named
    return judged(
        "placeholders",
        found / n,
        n=n,
        review=1 / n,
        reject=PLACEHOLDER_REJECT_ANSWERS / n if certain else None,
        evidence=quote_hits(answers, hits, searched),
        note=note if found or named else "",
    )


def special_tokens(submission: Submission, settings: Settings = DEFAULTS) -> Detection:
    """Find control tokens of chat models in the answers: a judge model may read them as the end of its input.

    The statistic is the share of answers that hold one, outside code, which their prompt neither quotes nor asks about.

    Source: specification D-spec (23 of 181,918 honest answers, mostly one model); threshold 0.02 for review.
    """
    return pattern_share(
        "special_tokens", submission, _SPECIAL, _SPECIAL_NEEDLES, _SPECIAL_SUBJECT, without_code,
        info=(0.0, REJECT_ANSWERS), review=(SPECIAL_REVIEW, REJECT_ANSWERS),
    )  # fmt: skip
