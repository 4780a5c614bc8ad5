"""Rules over bands: what they say, and that nothing but a rule is ever computed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.spec.fields.expression import Expression, ExpressionError


def test_a_rule_names_its_bands_in_order_and_is_true_where_the_index_is_above_the_limit():
    rule = Expression.parse("(green - nir) / (green + nir) > 0.1")
    holds, known = rule.evaluate({"green": np.array([[0, 5, 200]], np.uint8), "nir": np.array([[0, 5, 20]], np.uint8)})
    assert rule.bands == ("green", "nir")
    assert rule.condition
    assert holds.tolist() == [[False, False, True]]
    assert known.tolist() == [[False, True, True]]


def test_bytes_do_not_wrap_around():
    value, _ = Expression.parse("a - b").evaluate({"a": np.array([[1]], np.uint8), "b": np.array([[2]], np.uint8)})
    assert value.tolist() == [[-1.0]]


def test_conditions_are_joined_turned_round_and_chosen_from():
    bands = {"a": np.array([[0.0, 1.0, 2.0, 3.0]])}
    assert Expression.parse("(a > 0) & (a < 3)").evaluate(bands)[0].tolist() == [[False, True, True, False]]
    assert Expression.parse("~(a > 0) | (a == 3)").evaluate(bands)[0].tolist() == [[True, False, False, True]]
    assert Expression.parse("0 < a <= 2").evaluate(bands)[0].tolist() == [[False, True, True, False]]
    assert Expression.parse("where(a > 1, max(a, 2.5), -a)").evaluate(bands)[0].tolist() == [[0, -1, 2.5, 3]]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("__import__('os').system('true')", "is not allowed"),
        ("open('x')", "no function open"),
        ("a.__class__", "Attribute is not allowed"),
        ("a[0] > 1", "Subscript is not allowed"),
        ("[x for x in a]", "ListComp is not allowed"),
        ("lambda: a", "Lambda is not allowed"),
        ("'a' > b", "Constant is not allowed"),
        ("a > 1 and b > 1", "write & and |"),
        ("a > 1 & b > 1", "must be conditions"),
        ("(a > 1) + 1", "must be numbers"),
        ("-(a > 1)", "needs a number"),
        ("abs(a, b)", "abs takes 1, not 2"),
        ("where(a, 1, 2)", "takes a condition"),
        ("1 > 0", "names no band"),
        ("a >", "is no expression"),
        ("a" * 1001, "longer than 1000"),
        ("(" * 400 + "a" + ")" * 400, "is no expression"),
    ],
)
def test_what_is_no_rule_is_refused_and_says_why(text, why):
    with pytest.raises(ExpressionError, match=why.replace("|", r"\|")):
        Expression.parse(text)


@given(st.text(max_size=60))
def test_any_text_is_a_rule_or_an_error(text):
    try:
        rule = Expression.parse(text)
    except ExpressionError:
        return
    rule.evaluate({name: np.ones((1, 1)) for name in rule.bands})


def test_where_the_rule_is_no_number_nothing_is_known():
    bands = {"a": np.array([[-1.0, 0.0, 4.0]])}
    assert Expression.parse("log(a)").evaluate(bands)[1].tolist() == [[False, False, True]]
    assert Expression.parse("1 / 0 > a").evaluate(bands)[1].tolist() == [[False, False, False]]
