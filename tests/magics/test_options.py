"""Tests of the options of %chatglm: what is read from a line, what is refused, and that prompts survive."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chatglm_magic._magics.help import command_rows, manual, option_rows, short_help
from chatglm_magic._magics.options import TABLE, ArgumentError, Arguments
from chatglm_magic._magics.parser import find_command, parse

LINE = st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]))
BLANKS = " \t\r\n\f\v"

HEADS = [
    ("", {}),
    ("-m glm-4.7 ", {"options.model": "glm-4.7"}),
    ("--model=zai:glm-4.7 ", {"options.model": "zai:glm-4.7"}),
    ("--base-url http://127.0.0.1:8000/v1?a=b ", {"options.base_url": "http://127.0.0.1:8000/v1?a=b"}),
    ("-s 'You are terse' ", {"options.system": "You are terse"}),
    ('-s "" ', {"options.system": ""}),
    ("-s 'it's fine' ", {"options.system": "it's fine"}),
    (r'--system="say \"yes\" or \no" ', {"options.system": r'say "yes" or \no'}),
    (
        "-o temperature 0.2 -o top-p '0.5' -o seed -1 ",
        {"options.parameters": {"temperature": 0.2, "top_p": 0.5, "seed": -1}},
    ),
    ("-o stop a -o stop 'b c' ", {"options.parameters": {"stop": ("a", "b c")}}),
    ("--think ", {"options.think": True}),
    ("--no-think ", {"options.think": False}),
    ("-c 数学 --new ", {"conversation": "数学", "new": True}),
    ("--no-history ", {"history": False}),
    ("--out 答案 --timeout 2.5 ", {"out": "答案", "options.timeout": 2.5}),
    ("-q\t-R   -u ", {"quiet": True, "hide_thinking": True, "usage": True}),
    ("-f json --dry-run --err ", {"format": "json", "dry_run": True, "err": True}),
    ("--cells 3,5-7 --cells 9 --vars a,b.c ", {"cells": (3, 5, 6, 7, 9), "variables": ("a", "b.c")}),
    ("--insert ", {"insert": "below"}),
    ("--insert -q ", {"insert": "below", "quiet": True}),
    ("--insert=replace ", {"insert": "replace"}),
    ("--insert\treplace ", {"insert": "replace"}),
    ("-m a\u3000-m b ", {"options.model": "a", "models": ("b",)}),
    ("-m “x” ", {"options.model": "x"}),
    ("-s “You are ‘terse’” -s 「只用 中文」 ", {"options.system": "只用 中文"}),
    ("-s ‘don’t guess’ ", {"options.system": "don’t guess"}),
    ("-c “Lesson 中文 one” ——new ", {"conversation": "Lesson 中文 one", "new": True}),
    ("－－new —-usage –q ", {"new": True, "usage": True, "quiet": True}),
    ("——model local −m b ", {"options.model": "local", "models": ("b",)}),
    ("－mlocal ——no-history ", {"options.model": "local", "history": False}),
    ("－－ｎｏ－history ", {"history": False}),
    ("-m： a ", {"options.model": "a"}),
    ("--model：zai：glm-4.7 ", {"options.model": "zai:glm-4.7"}),
    ("--model＝a ", {"options.model": "a"}),
    ("-c:x --new： ", {"conversation": "x", "new": True}),
    ("-s：“a b” ", {"options.system": "a b"}),
    ("-m\u00a0a\u202f--new\u2007", {"options.model": "a", "new": True}),
    ("\ufeff-q \u200b-u ", {"quiet": True, "usage": True}),
    ("--cells ３，５－７、９ --vars a，b.c ", {"cells": (3, 5, 6, 7, 9), "variables": ("a", "b.c")}),
    ("-o temperature ０.２ --out ａ ", {"options.parameters": {"temperature": 0.2}, "out": "a"}),
    ("--system=  ", {"options.system": ""}),
    ("--system= --model= -q ", {"options.system": "", "quiet": True}),
    ("-mglm-4.7 ", {"options.model": "glm-4.7"}),
    ("-mzai:glm-4.7 -cpaper -fjson ", {"options.model": "zai:glm-4.7", "conversation": "paper", "format": "json"}),
    ('-s"You are terse" ', {"options.system": "You are terse"}),
    (r"-s'it\'s -m=x' ", {"options.system": "it's -m=x"}),
    ("-s-q ", {"options.system": "-q"}),
    ("-otemperature 0.5 -ostop 'a b' ", {"options.parameters": {"temperature": 0.5, "stop": ("a b",)}}),
]


def given_of(arguments: Arguments) -> dict[str, object]:
    """Give what differs from an empty line, but for the prompt."""
    usual = Arguments()
    given = {
        name: value
        for name in arguments.__struct_fields__
        if name not in {"prompt", "options"} and (value := getattr(arguments, name)) != getattr(usual, name)
    }
    options = {
        f"options.{name}": value
        for name in usual.options.__struct_fields__
        if (value := getattr(arguments.options, name)) != getattr(usual.options, name)
    }
    return given | options


@pytest.mark.parametrize(("head", "expected"), HEADS)
def test_options_before_the_prompt_are_read(head, expected):
    """Each option gives what it says, in every way of writing it, and the prompt follows unchanged."""
    arguments = parse(f'{head}What\'s "this" -m?')

    assert given_of(arguments) == expected
    assert arguments.prompt == 'What\'s "this" -m?'


@given(head=st.sampled_from([head for head, _ in HEADS]), prompt=LINE)
@example(head="", prompt="it's {x} \\ ? ！ % $HOME “引号” שלום 👩‍👩‍👧 ` ' \"")
@example(head="-m x ", prompt="\u3000段落")
@example(head="", prompt="—— 你好，—new 是什么？")
@example(head="-q ", prompt="——你好")
@example(head="", prompt="−5 is what?")
@example(head="", prompt="– item: a")
@example(head="", prompt="what -m is --out? -- really")
def test_a_prompt_on_the_line_survives(head, prompt):
    """Nothing in a prompt is split, unquoted or dropped, but blanks around it and a dash that says option."""
    if re.match(r"[\s\u200b\u2060\ufeff]*[-－﹣]", prompt):
        head += "-- "

    assert parse(head + prompt).prompt == prompt.strip(BLANKS)


@given(head=st.sampled_from([head for head, _ in HEADS]), body=st.text(st.characters(exclude_categories=["Cs"])))
@example(head="", body="-m is no option here\n")
@example(head="-q ", body="  indented\n\n>>> 1\r\n\t")
def test_a_cells_body_survives(head, body):
    """The lines below the first are the prompt, byte for byte; only the newline that ends a cell goes."""
    assert parse(head, body + "\n").prompt == body.removesuffix("\r")


def test_a_quoted_value_may_end_in_a_backslash():
    """Where no later quote can close it, the backslash before the last one is the value's."""
    assert parse('-s "C:\\dir\\" why?').options.system == "C:\\dir\\"


def test_text_after_the_options_of_a_cell_is_the_prompts_first_line():
    """A first line may hold options, text, or options and text."""
    assert parse("-m x Explain this:", "def f(): ...\n").prompt == "Explain this:\ndef f(): ..."
    assert parse("-m x", "def f(): ...\n").prompt == "def f(): ..."


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--modle x hi", "no option --modle. Did you mean --model?"),
        ("——modl x hi", "no option --modl. Did you mean --model?"),
        ("——temperature 0.5 hi", "-o temperature V"),
        ("——no-hystory hi", "Did you mean --no-history?"),
        ("--NEW hi", "Did you mean --new?"),
        ("--new：hi", "--new takes no value"),
        ("-q：hi", "no option -q=hi. Did you mean -q?"),
        ("-s “no end", "begins with “ and has no closing one"),
        ("-c 「no end", "begins with 「 and has no closing one"),
        ("-o temperature：0.5 hi", "Valid ones: temperature"),
        ("-M x hi", "no option -M"),
        ("-xglm hi", "no option -xglm"),
        ("-qu hi", "no option -qu"),
        ("-m=x hi", "Did you mean -m?"),
        ("-model x hi", "Did you mean --model?"),
        ("-system=x hi", "Did you mean --system?"),
        ("-max-tokens 5 hi", "-o max_tokens V"),
        ("-s'no end", "no closing one"),
        ("--timeout= 5", "a number above 0, not ''"),
        ("--insert= hi", "below or replace, not ''"),
        ("-fhtml hi", "one of md, text, code, json, df, not 'html'"),
        ("-think hi", "Did you mean --think?"),
        ("-temperature 1 hi", "-o temperature V"),
        ("-5 is what?", "stands after --"),
        ("- a list", "stands after --"),
        ("-m", "-m lacks its value. It is written -m M"),
        ("-m -s x hi", "-m lacks its value"),
        ("-m -- hi", "-m lacks its value"),
        ("-o temperature", "-o lacks its value. It is written -o K V"),
        ("-s 'no end", "no closing one"),
        ("--new=1 hi", "--new takes no value"),
        ("--out 1x hi", "name of a variable, not '1x'"),
        ("--out class hi", "name of a variable, not 'class'"),
        ("--timeout soon hi", "seconds, a number above 0, not 'soon'"),
        ("--timeout 0 hi", "a number above 0"),
        ("--timeout inf hi", "a number above 0"),
        ("-f html hi", "one of md, text, code, json, df, not 'html'"),
        ("--insert=above hi", "below or replace, not 'above'"),
        ("--cells 3, hi", "as in 3,5-7, not '3,'"),
        ("--cells 7-5 hi", "as in 3,5-7"),
        ("--cells 0 hi", "as in 3,5-7"),
        ("--cells 1-999999 hi", "as in 3,5-7"),
        ("-o warmth 1 hi", "Valid ones: temperature"),
        ("-o temperature 9 hi", "a number from 0 to 2"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_way_out(line, words):
    """A wrong option says what is wrong and what to write instead."""
    with pytest.raises(ArgumentError, match=re.escape(words)):
        parse(line)


@given(
    st.lists(
        st.sampled_from(["-m", "-s", '"', '\\"', "'", " ", "-", "--", "=", "x", "-o", "stop", "\u3000"]), max_size=60
    )
)
@example(["-s", " ", '"', *['\\"'] * 55, "x"])
def test_no_line_is_read_for_ever_or_breaks_the_parser(pieces):
    """Any line is either read or refused in words."""
    said = ""
    try:
        said = parse("".join(pieces)).prompt
    except ArgumentError as error:
        said = str(error)

    assert said is not None


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("help", "help"),
        ("  version ", "version"),
        ("help me with this", None),
        ("-- help", None),
        ("what?", None),
        ("", None),
    ],
)
def test_a_reserved_word_is_a_command_only_where_the_line_fits(line, name):
    """`help` alone is a command; in a sentence, or after `--`, it is a prompt."""
    found = find_command(parse(line))

    assert (found[0].name if found else None) == name


def test_the_manual_names_every_option_and_command():
    """The manual, the table and the parser are one thing."""
    text = manual()

    assert all(usage in text and about in text for usage, about in option_rows() + command_rows())
    assert len(option_rows()) == len(TABLE)
    assert "%chatglm?" in short_help()
    for option in TABLE:
        for name in option.names:
            words = {"K": "top_k", "V": "1", "S": "1", "VAR": "v", "FORMAT": "md", "N,N-N": "1,2-3"}
            words |= {"[below|replace]": "below", "WHO": "all", "N": "3"}
            parse(" ".join([name, *(words.get(value, "x") for value in option.values), "hi"]))
