"""The offline scorer: seven rules that anybody can read, one a criterion.

It is no annotation by a language model and is never reported as one. A rule looks for the surface of a criterion
(a constraint on the output, a term of a trade, several steps, a request for work and not for a fact, …) in English,
German, Chinese, Arabic and Hindi; what it cannot see (a hard question in plain words, another language) it misses. Its
agreement with recorded annotations is measured where there are any (`auditkit.bench.agreement`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

__all__ = ["NAME", "criteria_by_rule"]

NAME: Final = "rules/1"
"""The scorer's name wherever its scores appear."""
_LOOKED_AT: Final = 6_000
_STEM: Final = 6

_WORD: Final = re.compile(r"[^\W\d_]+(?:[+#]+)?|\d+")
_CODE: Final = re.compile(
    r"```|[;{]\s*\n|</\w+>|\w\(\w*\)[;:.{]|=>|\w::\w|\bdef \w+\(|#include|\bSELECT\b.{1,200}\bFROM\b|\\(?:frac|begin|sum|int)\b"
)
_FORMULA: Final = re.compile(r"[≤≥∑∫√∞≠±]|\w\s?[=^]\s?[\w(-]|\d\s?[-+*/×÷%]\s?\d|\$[^$\n]{1,200}\$|\\[a-z]+\{")
_LIST: Final = re.compile(r"^[ \t]*(?:[-*•]|\d+[.)])[ \t]+\S", re.MULTILINE)
_SMALL_TALK: Final = re.compile(
    r"\W*(?:hi|hello|hey|thanks?|thank you|good (?:morning|evening|day)|how are you|what'?s up|tell me a joke|who are you)\b",
    re.IGNORECASE,
)
_PLAIN_QUESTION: Final = re.compile(
    r"\W*(?:what(?:'s| is| are| was| were)|who(?:'s| is| was| are)|when (?:is|was|did)|where (?:is|was|are)|define|name)\b"
    r"[^.?!\n]{0,80}[?.!]*\s*\Z",
    re.IGNORECASE,
)


class _Terms:
    """Words (whole), stems (words of six letters or more that begin so) and, for other scripts, pieces of text."""

    def __init__(self, words: str = "", stems: str = "", pieces: str = "") -> None:
        self.words = frozenset(words.split()) | {stem for stem in stems.split() if len(stem) < _STEM}
        self.stems = frozenset(stem for stem in stems.split() if len(stem) == _STEM)
        self.pieces = tuple(piece.replace("_", " ") for piece in pieces.split())

    def count(self, words: Iterable[str], stems: Iterable[str], text: str) -> int:
        found = len(self.words.intersection(words)) + len(self.stems.intersection(stems))
        return found if text.isascii() else found + sum(piece in text for piece in self.pieces)


#: An output of a stated kind, length or form.
_SPECIFIC: Final = _Terms(
    "exactly least most within between under only must should without include includes including format output style voice "
    "bullet table json csv xml markdown word words sentence sentences paragraph paragraphs line lines example examples "
    "named called given such using use following step steps function class return input per each detailed "
    "genau nur muss ohne format tabelle wörter sätze beispiel schritt",
    "specif requir constr follow mindes höchst einsch folgen verwen",
    "必须 至少 不超过 格式 表格 字数 步骤 例子 以下 使用 给定 假设 فقط على_الأقل يجب بدون جدول التالي باستخدام مثال خطوة "
    "केवल कम_से_कम होना_चाहिए बिना तालिका निम्नलिखित उपयोग चरण उदाहरण",
)
#: Terms of a trade: computing, mathematics, science, medicine, law, business, engineering, the arts.
_DOMAIN: Final = _Terms(
    "python java javascript typescript c++ c# rust golang zig sql html css react nodejs django pandas numpy pytorch docker "
    "linux bash git api rest http regex server aws azure excel vba latex unity code coding script software proof integral "
    "matrix vector graph quantum protein enzyme legal contract tax bond equity seo gdp voltage circuit cad cnc llm dataset "
    "neural kernel syntax grammar chord tcp gpu cpu ram database query compiler loop array string json integer prime "
    "theorem lemma algebra topology entropy lens orbit dna rna cell virus drug dose patients clinical court clause patent "
    "mol voltage sensor beweis vertrag code funktion",
    "algori comput progra tensor kubern transf theore deriva probab polyno equati eigenv differ thermo molecu genome neuron "
    "chemic chemis physic biolog astron diagno pharma plaint copyri accoun financ portfo invest market econom regres statis "
    "hypoth transi hydrau semico machin encryp firewa philos lingui harmon engine archit optimi databa framew backen fronte "
    "deploy networ securi crypto mathem geomet calcul simula datenb gleich progra",
    "算法 数据库 函数 代码 编程 定理 证明 概率 方程 矩阵 量子 分子 蛋白 法律 合同 经济 模型 网络 系统 خوارزمي برمج معادلة مصفوفة "
    "احتمال كود نظام نموذج قانون बीजगणित एल्गोरि कोड समीकरण मैट्रिक्स प्रोग्राम फ़ंक्शन मॉडल सिस्टम डेटाबेस",
)
#: Several parts, conditions, or things to weigh.
_CONNECTED: Final = _Terms(
    "then also next after finally first firstly second secondly third each every both respectively if when unless however "
    "assuming while versus vs but because since therefore until otherwise multiple several various dann danach zuerst wenn "
    "jede jeder jedes sowie falls",
    "additi compar tradeo consid furthe altern schlie außerd",
    "然后 另外 首先 其次 最后 如果 并且 每个 同时 以及 ثم أيضا أولا إذا كل بعد_ذلك مع फिर साथ_ही यदि प्रत्येक और_फिर अगर",
)
#: Work on a problem: not a fact to recall.
_WORK: Final = _Terms(
    "solve find prove fix plan build write how why error wrong implement design debug improve rewrite draft explain show "
    "derive convert make add given löse lösen finde entwirf schreibe schreiben warum",
    "calcul comput determ implem optimi develo analys analyz evalua compar refact conver propos improv create creati estima "
    "schedu simula troub diagno strate genera constr berech bestim beweis entwic erstel vergle",
    "解决 计算 求 证明 实现 设计 分析 编写 写 如何 为什么 比较 优化 创建 解释 حل احسب أوجد اكتب صمم حلل كيف لماذا قارن اشرح اشرحي "
    "हल गणना लिख बनाए कैसे क्यों विश्लेषण तुलना डिज़ाइन व्याख्या समझाए",
)
_CREATIVE: Final = _Terms(
    "design story stories poem song lyrics scene plot novel essay speech blog article slogan pitch game idea ideas pretend act "
    "persona plan unique build write draft compose brainstorm suggest role script entwirf gedicht szene idee ideen schreibe "
    "schreiben make code program implement",
    "create creati invent imagin dialog charac propos develo archit strate origin altern recomm erfind geschi entwic erstel "
    "vorsch genera",
    "设计 创作 故事 诗 歌词 想象 文章 剧本 创意 方案 写 创建 编写 صمم قصة قصيدة تخيل مقال أفكار اكتب أنشئ कहानी कविता कल्पना निबंध लिख "
    "डिज़ाइन बनाए",
)
_WORLD: Final = _Terms(
    "my our we i im me team user users project product class app server budget market email report city health travel recipe "
    "house car data file files script program code website web system company business customer customers client clients job "
    "industry school office bank store price money machine model tool mein meine unser kunden firma daten datei projekt ich wir",
    "custom compan busine produc studen teache hospit employ manage applic softwa presen interv resume govern climat energy "
    "datase practi indust proces servic untern progra benutz",
    "我 公司 客户 用户 项目 数据 文件 程序 网站 系统 شركة مشروع عملاء بيانات برنامج موقع أريد لدي मेरा मेरी मेरे मैं हमारे कंपनी परियोजना डेटा "
    "फ़ाइल प्रोग्राम उपयोगकर्ता मुझे",
)


def criteria_by_rule(text: str) -> tuple[bool, bool, bool, bool, bool, bool, bool]:
    """Return which of the seven criteria a prompt meets by the rules, in BenchBuilder's order.

    Each rule asks for its own evidence in the prompt; an instruction to an annotator inside it is none. Prompts of one
    short question of fact, and small talk, meet none.

    Args:
        text: The prompt.
    """
    text = text[:_LOOKED_AT]
    if len(text) < 160 and (_SMALL_TALK.match(text) or _PLAIN_QUESTION.match(text)):
        return (False, False, False, False, False, False, False)
    found = set(_WORD.findall(text.casefold()))
    stems = {word[:_STEM] for word in found if len(word) >= _STEM}
    size = len(text)
    if not text.isascii():
        size += 2 * sum(1 for c in text if "\u0e00" <= c <= "\u0eff" or "\u2e80" <= c <= "\u9fff")
    numbers = sum(word.isdigit() for word in found)
    code = _CODE.search(text) is not None
    formula = len(_FORMULA.findall(text, 0, 2_000)) >= 2
    items = len(_LIST.findall(text))
    specific, trade, connected, work, creative, world = (
        terms.count(found, stems, text) for terms in (_SPECIFIC, _DOMAIN, _CONNECTED, _WORK, _CREATIVE, _WORLD)
    )
    technical = code or formula or trade >= 2
    return (
        specific >= 2 or (specific >= 1 and (size >= 100 or numbers >= 2)) or items >= 2 or code or formula,
        trade >= 1 or code or formula,
        (size >= 80 and connected >= 1) or connected >= 2 or items >= 2 or size >= 300,
        work >= 1 and (size >= 60 or technical),
        creative >= 1 and size >= 50,
        technical or (trade >= 1 and (numbers >= 2 or work >= 1)),
        world >= 1 or code,
    )
