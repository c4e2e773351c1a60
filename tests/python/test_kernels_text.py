"""StringNormalizer, TfIdfVectorizer, RegexFullMatch; what the engine knows of Unicode."""

# ruff: noqa: RUF001 - letters of other scripts are what is tested

from __future__ import annotations

import locale
import re
import time
import unicodedata
from typing import ClassVar

import numpy as np
import pytest

import onnxforge
from tests.python.kernel_support import run_op


def text(*words: str) -> np.ndarray:
    return np.array(words, dtype=object)


def normalize(words: np.ndarray, **attributes) -> list:
    (y,) = run_op("StringNormalizer", [words], attributes)
    return y.tolist()


def lower(words: list[str], **attributes) -> list[str]:
    return normalize(np.array(words, object), case_change_action="LOWER", **attributes)


def upper(words: list[str], **attributes) -> list[str]:
    return normalize(np.array(words, object), case_change_action="UPPER", **attributes)


class TestStringNormalizer:
    def test_stop_words_are_whole_elements(self):
        words = text("the cat", "The", "cat", "THE")
        assert normalize(words, stopwords=["the"]) == ["the cat", "cat"]
        assert normalize(words, stopwords=["the"], is_case_sensitive=1) == [
            "the cat",
            "The",
            "cat",
            "THE",
        ]

    def test_without_regard_to_case_beyond_ascii(self):
        assert normalize(text("ÄRGER", "Ärger", "x"), stopwords=["ärger"]) == ["x"]

    @pytest.mark.parametrize("shape", [(2,), (1, 2)])
    def test_nothing_left_is_one_empty_string(self, shape):
        words = np.array(["a", "b"], object).reshape(shape)
        assert normalize(words, stopwords=["a", "b"]) == np.full((*shape[:-1], 1), "").tolist()
        (y,) = run_op("StringNormalizer", [np.empty((*shape[:-1], 0), object)])
        assert y.shape == (*shape[:-1], 1)

    @pytest.mark.parametrize("shape", [(2, 1), (), (1, 1, 2)])
    def test_other_shapes_are_refused(self, shape):
        with pytest.raises(onnxforge.InvalidArgumentError, match=r"\[C\] or \[1, C\]"):
            run_op("StringNormalizer", [np.full(shape, "a", object)])

    def test_an_unknown_action_is_refused(self):
        with pytest.raises(onnxforge.InvalidModelError, match="not 'Title'"):
            run_op("StringNormalizer", [text("a")], {"case_change_action": "Title"})

    def test_case_may_change_lengths(self):
        assert upper(["straße", "ﬁn", "ŉ"]) == ["STRASSE", "FIN", "ʼN"]
        assert lower(["İ"]) == ["i̇"]

    def test_a_sigma_is_final_at_the_end_of_a_word(self):
        assert lower(["ΟΔΟΣ", "Σ", "ΣΑΣ.", "ΑΣΑ", "ΑΣ'Α"]) == [
            "οδος",
            "σ",
            "σας.",
            "ασα",
            "ας'α".replace("ς", "σ"),
        ]

    def test_turkic_letters(self):
        assert upper(["iı"], locale="tr_TR.UTF-8") == ["İI"]
        assert lower(["Iİ"], locale="az") == ["ıi"]
        assert lower(["I\u0307"], locale="tr") == ["i"]
        assert upper(["iı"], locale="en_US") == ["II"]

    def test_the_processes_locale_makes_no_difference(self):
        before = locale.setlocale(locale.LC_ALL)
        try:
            locale.setlocale(locale.LC_ALL, "C")
            assert upper(["éàß"], locale="de_DE") == ["ÉÀSS"]
        finally:
            locale.setlocale(locale.LC_ALL, before)

    def test_every_character_has_pythons_case(self):
        """The tables are newer or older than this Python's: what both know is alike."""
        known = [
            chr(code)
            for code in range(0x110000)
            if not 0xD800 <= code < 0xE000 and unicodedata.category(chr(code)) != "Cn"
        ]
        for change, method in ((lower, str.lower), (upper, str.upper)):
            found = change(known)
            wrong = {c: got for c, got in zip(known, found, strict=True) if got != method(c)}
            # Characters that got a partner in Unicode 14, 15 or 15.1.
            assert len(wrong) <= 6, wrong

    def test_bytes_that_are_no_text_stay(self):
        assert lower(["A\udcffB"]) == ["a\udcffb"]


class TestTfIdfVectorizer:
    POOL: ClassVar[dict[str, list[int]]] = {
        "ngram_counts": [0, 4],
        "ngram_indexes": [0, 1, 2, 3, 4, 5, 6],
        "pool_int64s": [2, 3, 5, 4, 5, 6, 7, 8, 6, 7],
    }
    """1-grams 2, 3, 5, 4; 2-grams (5, 6), (7, 8), (6, 7)."""

    def run(self, x, **attributes):
        defaults = {"mode": "TF", "min_gram_length": 1, "max_gram_length": 2, "max_skip_count": 0}
        (y,) = run_op("TfIdfVectorizer", [np.asarray(x)], {**self.POOL, **defaults, **attributes})
        return y.tolist()

    def test_counts(self):
        assert self.run([1, 1, 3, 3, 3, 7, 8, 6, 7, 5, 6, 8]) == [0, 3, 1, 0, 1, 1, 1]

    def test_distances(self):
        row = [1, 1, 3, 3, 3, 7, 8, 6, 7, 5, 6, 8]
        # Further away: 7 . 6 . 5 …; (6, 7) at 0, (7, 8) also as 7 5 6 8, (5, 6) only at 0.
        assert self.run(row, max_skip_count=5, min_gram_length=2)[4:] == [
            sum(row[i] == a and row[i + d] == b for d in range(1, 7) for i in range(len(row) - d))
            for a, b in ((5, 6), (7, 8), (6, 7))
        ]

    def test_a_single_item_counts_once_whatever_the_distance(self):
        assert self.run([3, 3], max_skip_count=3)[1] == 2

    def test_weights_are_the_ngrams(self):
        weights = [0.5, 1, 2, 4, 8, 16, 32]
        row = [3, 3, 7, 8]
        assert self.run(row, mode="TFIDF", weights=weights) == [0, 2, 0, 0, 0, 16, 0]
        assert self.run(row, mode="IDF", weights=weights) == [0, 1, 0, 0, 0, 16, 0]
        assert self.run(row, mode="IDF") == [0, 1, 0, 0, 0, 1, 0]
        # Also where the columns are in another order than the pool.
        turned = [6, 5, 4, 3, 2, 1, 0]
        assert self.run(row, mode="TFIDF", weights=weights, ngram_indexes=turned) == [
            0,
            16,
            0,
            0,
            0,
            2,
            0,
        ]

    def test_strings_and_rows(self):
        (y,) = run_op(
            "TfIdfVectorizer",
            [np.array([["a", "b"], ["b", "a"]], object)],
            {
                "mode": "TF", "min_gram_length": 1, "max_gram_length": 2, "max_skip_count": 0,
                "ngram_counts": [0, 1], "ngram_indexes": [1, 0], "pool_strings": ["b", "a", "b"],
            },
        )  # fmt: skip
        assert y.tolist() == [[1, 1], [0, 1]]

    @pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 3)])
    def test_empty_inputs(self, shape):
        assert np.array(self.run(np.zeros(shape, np.int64))).size == int(np.prod(shape[:-1])) * 7

    @pytest.mark.parametrize(
        ("attributes", "said"),
        [
            ({"mode": "XX"}, "TF, IDF or TFIDF"),
            ({"ngram_indexes": [-1]}, "ngram_indexes"),
            ({"ngram_indexes": [1 << 40]}, "ngram_indexes"),
            ({"ngram_indexes": [0]}, "more n-grams"),
            ({"ngram_counts": [0, 99]}, "ngram_counts"),
            ({"ngram_counts": [4, 0]}, "ngram_counts"),
            ({"ngram_counts": [0, 5]}, "ngram_counts"),
            ({"weights": [1.0], "mode": "IDF"}, "weights"),
            ({"min_gram_length": 3}, "min_gram_length"),
            ({"max_skip_count": -1}, "max_skip_count"),
            ({"pool_strings": ["a"]}, "pool_strings"),
        ],
    )
    def test_bad_attributes_are_refused(self, attributes, said):
        with pytest.raises(onnxforge.InvalidModelError, match=said):
            self.run([1], **attributes)

    def test_a_huge_skip_count_costs_nothing(self):
        assert self.run([7, 8], max_skip_count=1 << 60)[5] == 1

    def test_other_ranks_and_types_are_refused(self):
        with pytest.raises(onnxforge.InvalidArgumentError, match=r"\[C\] or \[N, C\]"):
            self.run(np.zeros((1, 1, 1), np.int64))
        with pytest.raises(onnxforge.Error):
            self.run(np.array(["a"], object))


def matches(pattern: str, *texts: str) -> list[bool]:
    (y,) = run_op("RegexFullMatch", [text(*texts)], {"pattern": pattern}, opset=20)
    return y.tolist()


CASES = [
    # pattern, what it matches, what it does not
    ("", [""], ["a"]),
    ("abc", ["abc"], ["ab", "abcd", "ABC"]),
    ("a|bc|", ["a", "bc", ""], ["b", "abc"]),
    (".", ["a", "é", "😀", "\t"], ["", "\n", "ab"]),
    ("(?s).", ["\n"], []),
    ("[abc]", ["a", "c"], ["d", "-"]),
    ("[^abc]", ["d", "\n"], ["a"]),
    ("[]a]", ["]", "a"], ["b"]),
    ("[^]a]", ["b"], ["]", "a"]),
    ("[a-c-]", ["b", "-"], ["d"]),
    (r"[\d\-x]", ["5", "-", "x"], ["y"]),
    (r"[^\D5]", ["4"], ["5", "a"]),
    ("[[:alpha:]_]", ["a", "Z", "_"], ["1", "é"]),
    ("[[:^alpha:]]", ["1"], ["a"]),
    ("[[:word:]]+", ["a_1"], ["-"]),
    ("[[:xdigit:]]+", ["09afAF"], ["g"]),
    ("[[:space:]]", ["\v", " "], ["a"]),
    ("[[:punct:]]", ["!", "~", "[", "`"], ["a", "0"]),
    (r"\s", [" ", "\t", "\f"], ["\v", "\u00a0"]),
    (r"\S\D\W", ["ab-"], ["a1-"]),
    (r"\pN\PN", ["5a", "²a"], ["a5"]),
    (r"\p{Greek}+", ["αβγ"], ["abc"]),
    (r"\p{^Greek}\P{Greek}\P{^Greek}", ["abα"], ["αba"]),
    (r"\p{Lu}\p{Ll}\p{L}", ["Aaé"], ["aAa"]),
    (r"\p{Old_Italic}", ["\U00010300"], ["a"]),
    (r"\p{Any}", ["\n", "a"], [""]),
    ("x*y+z?", ["y", "xxyz"], ["x", "xz"]),
    ("x*?y+?z??", ["y", "xxyz"], ["x"]),
    ("(ab){2}", ["abab"], ["ab", "ababab"]),
    ("a{2,}", ["aa", "aaaa"], ["a"]),
    ("a{1,3}b{0}", ["a", "aaa"], ["", "aaaa", "ab"]),
    ("a{,3}", ["a{,3}"], ["a", "aaa"]),
    ("a{1", ["a{1"], ["a"]),
    ("a(?i)*", ["", "aa"], ["A", "b"]),
    ("(?P<n>a)(?P<n>b)", ["ab"], ["a"]),
    ("{}", ["{}"], [""]),
    ("(?:a|b)*c", ["abbac", "c"], ["ab"]),
    ("(?P<one>a)(?<two>b)", ["ab"], ["a"]),
    ("(?i)straSSe", ["STRASSE"], ["straße"]),
    ("(?i)k", ["k", "K", "\u212a"], ["c"]),
    ("(?i)[^k]", ["c"], ["K", "\u212a"]),
    ("(?i)σ", ["Σ", "ς"], ["s"]),
    ("a(?i)b|c", ["aB", "C"], ["AB"]),
    ("(?i:a)b", ["Ab"], ["aB"]),
    ("(?i-s)A.", ["ab"], ["a\n"]),
    ("(?U)a*", ["aaa"], ["b"]),
    ("^a$", ["a"], ["a\n"]),
    ("(?m)^a$\n^b$", ["a\nb"], ["a\nc"]),
    ("a\n^b", [], ["a\nb"]),
    (r"\Aa\z", ["a"], ["a\n"]),
    (r"a\b-\b.*", ["a-b"], ["a--"]),
    (r"a\Bb", ["ab"], ["a-b"]),
    (r"\bé\b", [], ["é"]),
    (r"\a\f\t\n\r\v", ["\a\f\t\n\r\v"], [""]),
    (r"\x41\x{1F600}\101\0", ["A😀A\0"], ["A"]),
    (r"\.\*\[\\\/\-", [".*[\\/-"], [""]),
    (r"\Qa.b*\E+", ["a.b*", "a.b**"], ["axb"]),
    (r"\Qa\\E", ["a\\"], ["a"]),
    ("(a*)*", ["", "aaa"], ["b"]),
    ("(|a)+", ["", "aa"], ["b"]),
    ("((((((a))))))", ["a"], [""]),
    ("é{2}", ["éé"], ["é"]),
]


class TestRegexFullMatch:
    @pytest.mark.parametrize(("pattern", "right", "wrong"), CASES, ids=[case[0] for case in CASES])
    def test_syntax(self, pattern, right, wrong):
        assert matches(pattern, *right, *wrong) == [True] * len(right) + [False] * len(wrong)

    @pytest.mark.parametrize(
        ("pattern", "said"),
        [
            ("(a", "a group without ) at byte 0"),
            ("a)", "unexpected ) at byte 1"),
            ("[a", "a class without ] at byte 0"),
            ("[b-a]", "a range that runs backwards at byte 1"),
            ("[[:foo:]]", "no POSIX class"),
            ("*a", "nothing to repeat at byte 0"),
            ("a**", "cannot be repeated at byte 2"),
            ("a|*", "nothing to repeat"),
            ("a{3,2}", "out of order"),
            ("a{1001}", "more than 1000"),
            ("(a{100}){100}", "more than 1000"),
            (r"(a)\1", "a reference back to a group at byte 3"),
            (r"\8", "a reference back"),
            ("(?=a)", "neither"),
            ("(?!a)", "neither"),
            ("(?<=a)b", "a group without a name"),
            ("(?x)a", "neither"),
            ("(?-)a", "neither"),
            ("(?i)*", "nothing to repeat at byte 4"),
            ("(?P=n)", "neither"),
            (r"\p{Klingon}", "no general category or script"),
            (r"\p{Greek", "without }"),
            ("\\", "a \\ at the end"),
            (r"\y", "an unknown escape"),
            (r"\x4", "without its digits"),
            (r"\x{110000}", "beyond 10FFFF"),
            (r"\C", "not supported"),
            ("(" * 2000 + ")" * 2000, "1000 groups within each other"),
            ("((a{10}){10}b){10}" * 1 + "(" + "[a-z]{1000}" * 250 + ")", "more than 200000 states"),
        ],
    )
    def test_what_is_not_re2s_is_said_with_its_place(self, pattern, said):
        with pytest.raises(onnxforge.Error, match=re.escape(said)):
            matches(pattern, "a")

    def test_time_is_linear_in_the_text(self):
        """What takes a backtracking matcher 2^n steps."""
        began = time.perf_counter()
        assert matches("(a|aa|a*)*b", "a" * 20_000) == [False]
        assert matches("a?" * 400 + "a" * 400, "a" * 400) == [True]
        assert time.perf_counter() - began < 5

    def test_text_that_is_no_utf8_is_no_character(self):
        assert matches(".*", "a\udcff") == [False]

    def test_shapes(self):
        for shape in ((), (0,), (2, 0), (2, 3)):
            (y,) = run_op(
                "RegexFullMatch", [np.full(shape, "a", object)], {"pattern": "a"}, opset=20
            )
            assert y.shape == shape
            assert y.dtype == np.bool_
            assert y.all()
