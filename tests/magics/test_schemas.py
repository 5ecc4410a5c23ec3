"""`--schema` in a cell: what it names, each kind of host, and what else is asked for beside it."""

from __future__ import annotations

import json

import pytest
from IPython.utils.capture import capture_output
from schema_hosts import HOSTS, PEOPLE, ROWS, WRONG, modes_of
from shells import asked, fail, offered, run, said

from chatglm_magic import ChatGLMError, ConfigError, Interrupted, ReplyFormatError, SchemaError
from chatglm_magic._magics.options import Arguments
from chatglm_magic._magics.parser import parse

PERSON = "from dataclasses import dataclass\n@dataclass\nclass Person:\n    name: str\n    age: int"


def outputs(shell, cell: str) -> tuple[list[dict[str, str]], BaseException | None]:
    """Run a cell; return what it showed, and its error."""
    with capture_output() as captured:
        result = shell.run_cell(cell, store_history=True)
    return [output.data for output in captured.outputs], result.error_before_exec or result.error_in_exec


@pytest.mark.parametrize("kind", HOSTS)
def test_each_kind_of_host_answers_in_a_cell(shell, glm, kind):
    """The table is shown, or the answer as it came; the variable is set in any case."""
    host = HOSTS[kind]
    host.script(glm)
    run(shell, PERSON)

    shown, error = outputs(shell, "%chatglm --out people --schema-multi Person who?")

    reply = shell.user_ns["people"]
    assert modes_of(glm) == host.modes
    assert (reply.repairs, reply.schema_mode) == (host.repairs, host.modes[-1])
    if host.rows is not None:
        assert error is None
        assert reply.records == host.rows
        assert ">林</td>" in shown[-1]["text/html"]
        assert "| 林 | 7 |" in shown[-1]["text/markdown"]
        assert "林    7" in shown[-1]["text/plain"]
    else:
        assert isinstance(error, ChatGLMError)
        assert host.says in str(error)
        assert reply.value is None
        assert shown[-1]["text/plain"].strip()
    assert said(shell) == ["who?", reply.text]


@pytest.mark.parametrize(
    ("option", "fields"),
    [
        ("--schema Person", ["name", "age"]),
        ("--schema=Person", ["name", "age"]),
        ("--schema 'title, pages int, tags []'", ["title", "pages", "tags"]),
        ("--schema “标题，页数 int”", ["标题", "页数"]),
        ("--schema FIELDS", ["a", "b"]),
        ("--schema box.Inner", ["x"]),
        ("--schema paper.json", ["doi"]),
        ("--schema './two words.json'", ["doi"]),
        ("--schema int", ["value"]),
        ("--schema-multi Person", ["items"]),
        ("--schema-multi paper.json", ["items"]),
    ],
)
def test_a_schema_is_a_name_a_file_or_fields(shell, glm, tmp_path, monkeypatch, option, fields):
    """A name in the notebook first; quotes of any kind."""
    monkeypatch.chdir(tmp_path)
    for name in ("paper.json", "two words.json"):
        (tmp_path / name).write_text('\ufeff{"type": "object", "properties": {"doi": {"type": "string"}}}', "utf-8")
    run(shell, PERSON)
    run(shell, "FIELDS = 'a, b int'\nclass box:\n    Inner = {'properties': {'x': {}}}")
    glm.say("no")

    fail(shell, f"%chatglm {option} who?")

    sent = glm.requests[0].json["response_format"]["json_schema"]["schema"]
    assert list(sent["properties"]) == fields
    assert asked(glm)[0][1].endswith("who?") or glm.requests[0].json["messages"][-1]["content"] == "who?"


@pytest.mark.parametrize(
    ("option", "error", "says"),
    [
        ("--schema Persn", ConfigError, "There is no Persn in the notebook"),
        ("--schema no.such", ConfigError, "There is no no.such in the notebook"),
        ("--schema nowhere.json", ConfigError, "There is no file nowhere.json"),
        ("--schema .", ConfigError, "There is no ."),
        ("--schema bad.json", ConfigError, "bad.json holds no JSON Schema"),
        ("--schema list.json", ConfigError, "no JSON Schema: that is an object"),
        ("--schema odd.json", SchemaError, "if"),
        ("--schema Person.nothing", ConfigError, "has no value here"),
        ("--schema print", ConfigError, "There is no print"),
        ("--schema run", SchemaError, "run"),
        ("--schema 'name, age flout'", SchemaError, "flout"),
        ("--schema Node", SchemaError, "Node"),
        ("--schema list[Person]", ConfigError, "Name it in a cell, Answer = list[Person],"),
        ("--schema 'Person | None'", ConfigError, "--schema takes the name of a type, not Person | None itself"),
        ("--schema ''", ConfigError, "--schema takes"),
        ("-f df", ConfigError, "goes with --schema"),
    ],
)
def test_what_is_no_schema_is_told_before_anything_is_sent(shell, glm, tmp_path, monkeypatch, option, error, says):
    """With what to do, and without a request."""
    monkeypatch.chdir(tmp_path)
    for name, text in (("bad", "{"), ("list", "[]"), ("odd", '{"type": "object", "if": {}}')):
        (tmp_path / f"{name}.json").write_text(text, "utf-8")
    run(shell, PERSON)
    run(shell, "def run(): ...\n@dataclass\nclass Node:\n    next: 'Node'")
    glm.say(PEOPLE)

    found = fail(shell, f"%chatglm {option} who?")

    assert says in str(found)
    assert isinstance(found, error) or says == "--schema takes"
    assert glm.requests == []


def test_a_data_frame_is_shown_where_it_is_asked_for(shell, glm):
    """`-f df`; the cell's value is the reply, whatever its form."""
    glm.say(PEOPLE)

    shown, error = outputs(shell, "r = %chatglm -f df --schema-multi 'name, age int' who?")

    assert error is None
    assert 'class="dataframe"' in shown[-1]["text/html"]
    assert shell.user_ns["r"].frame.to_dict("records") == ROWS


def test_a_data_frame_needs_its_library(shell, glm, monkeypatch):
    """Said before anything is sent."""
    monkeypatch.setattr("chatglm_magic._reply.find_spec", lambda _: None)

    assert "pip install pandas" in str(fail(shell, "%chatglm -f df --schema 'a, b' who?"))
    assert glm.requests == []


def test_a_dry_run_shows_how_the_answer_is_asked_for(shell, glm):
    """The form as it would be sent; nothing is sent."""
    shown, error = outputs(shell, "%chatglm --dry-run --schema-multi 'name, age int' who?")

    assert error is None
    assert "schema: answer_items · json_schema" in shown[-1]["text/plain"]
    assert '"response_format"' in shown[-1]["text/plain"] or "response_format {" in shown[-1]["text/plain"]
    assert glm.requests == []


def test_a_stored_answer_is_a_value_again(shell, glm, tmp_path):
    """`--cache`: nobody is asked, the table is shown, and a schema that differs asks."""
    run(shell, f"%config ChatGLMMagics.store = {str(tmp_path / 'chats.db')!r}")
    glm.say(PEOPLE)
    line = "%chatglm --cache --no-history --schema-multi 'name, age int' who?"
    run(shell, line)

    shown, error = outputs(shell, f"r = {line}")
    assert error is None
    assert (len(glm.requests), shell.user_ns["r"].value) == (1, ROWS)
    assert "Stored answer of" in shown[-1]["text/html"]
    assert "| Ada | 36 |" in shown[-1]["text/markdown"]

    run(shell, line.replace("age int", "age float"))
    assert len(glm.requests) == 2


def test_a_job_in_the_background_holds_a_value(shell, glm):
    """`--bg`: the job's reply has it when it is done."""
    glm.say(PEOPLE, delay=0.01)

    run(shell, "job = %chatglm --bg --schema-multi 'name, age int' who?")
    run(shell, "reply = await job")

    assert shell.user_ns["reply"].value == ROWS


def test_a_failed_answer_is_there_all_the_same(shell, glm):
    """`--out` holds the reply, the error its errors, the conversation the last answer alone."""
    glm.say(WRONG)

    found = fail(shell, "%chatglm --out r --schema-multi 'name, age int' who?")

    assert isinstance(found, ReplyFormatError)
    assert found.errors == (("[0].age", 'should be a whole number, not text "old"'),)
    assert found.reply is shell.user_ns["r"]
    assert said(shell) == ["who?", WRONG]


def test_the_next_question_sees_the_answer(shell, glm):
    """As text; and it is a plain question."""
    glm.say(PEOPLE)
    run(shell, "%chatglm --schema-multi 'name, age int' who?")

    run(shell, "%chatglm and now?")

    assert [content for _, content in asked(glm)] == ["who?", PEOPLE, "and now?"]
    assert "response_format" not in glm.requests[-1].json


def test_what_follows_a_schema_is_a_prompt(shell, glm):
    """No command has a value."""
    glm.say('{"a": "x"}')

    run(shell, "%chatglm --schema 'a str' history")

    assert asked(glm)[-1] == ("user", "history")


def test_a_value_can_stand_in_the_next_prompt(shell, glm):
    """A reply that is named is the model's own text."""
    glm.say(PEOPLE)
    run(shell, "r = %chatglm --schema-multi 'name, age int' who?")

    run(shell, "%chatglm --new Sum up {r}")

    assert '"Ada"' in asked(glm)[-1][1]


def test_values_are_read_into_arguments():
    """Both options, and their last use counts."""
    given = parse("--schema A --schema-multi 'b, c' -f df prompt")

    assert isinstance(given, Arguments)
    assert (given.schema, given.many, given.format, given.prompt) == ("b, c", True, "df", "prompt")


def test_tab_offers_classes_and_files(shell, tmp_path, monkeypatch):
    """What may be a schema, and nothing else of the notebook."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Paper.json").write_text("{}")
    run(shell, PERSON)
    run(shell, "People = list[Person]\nPage = {'type': 'object'}\nPeriod = 3")

    found = offered(shell, "%chatglm --schema P")

    assert found == [f"%chatglm --schema {name}" for name in ("Page", "People", "Person", "Paper.json")]


def test_stopping_a_value_keeps_what_was_complete(shell, glm):
    """The rows that were there are shown, and in the variable."""
    item = json.dumps(ROWS[0])
    glm.stall_after(2, text=f"[{item},x {item}")

    def stop(*_):
        raise KeyboardInterrupt

    import signal

    before = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, 1.0)
        shown, error = outputs(shell, "%chatglm --out r --schema-multi 'name, age int' who?")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert isinstance(error, Interrupted)
    assert (shell.user_ns["r"].value, shell.user_ns["r"].finish_reason) == (None, "interrupted")
    assert shown[-1]["text/plain"].endswith("[stopped]")


def test_retry_asks_for_a_value_again(shell, glm):
    """In the place of the answer that did not fit, and after a failure without a word."""
    glm.say(WRONG)
    glm.say(WRONG)
    glm.say(WRONG)
    glm.refuse(401, "1000", "expired")
    glm.say(PEOPLE)
    fail(shell, "%chatglm --schema-multi 'name, age int' who?")
    fail(shell, "%chatglm retry")

    reply = run(shell, "%chatglm retry")

    assert reply.value == ROWS
    assert said(shell) == ["who?", PEOPLE]


def test_continue_goes_on_with_a_value_that_was_cut(shell, glm):
    """What is appended is no value by itself; the text is whole then."""
    glm.say(PEOPLE[:40], finish="length")
    glm.say(PEOPLE[40:])
    fail(shell, "%chatglm -f df --schema-multi 'name, age int' who?")

    reply = run(shell, "%chatglm continue")

    assert "response_format" not in glm.requests[-1].json
    assert (reply.value, reply.schema) == (None, None)
    assert said(shell) == ["who?", PEOPLE]
