"""The magics in Chinese: the language that is set, the words of commands, what Tab offers, tables; nothing left out."""

from __future__ import annotations

import re
import unicodedata

import pytest
from IPython.core.completer import provisionalcompleter
from shells import fail, offered, run
from traitlets import TraitError

import chatglm_magic
from chatglm_magic import ConfigError
from chatglm_magic._magics.commands import near_miss
from chatglm_magic._magics.help import command_rows, manual, page, table
from chatglm_magic._magics.magic import ChatGLMMagics
from chatglm_magic._magics.options import COMMANDS, TOPIC_WORDS, TOPICS
from chatglm_magic._magics.parser import find_command, parse
from chatglm_magic._store import close_stores

HEAD = "Ask a model; its reply streams into this cell."
OURS = [trait.help for trait in ChatGLMMagics.class_own_traits(config=True).values()]


def width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)


# The language that is set


def test_the_setting_takes_effect_at_once(ask, shell, marks, monkeypatch):
    """Help and errors change with `%config`, also where Tab and status look; `auto` returns to the environment."""
    monkeypatch.setenv("CHATGLM_LANG", "en")
    assert HEAD in ask("help").splitlines()

    run(shell, "%config ChatGLMMagics.language = 'zh'")
    assert f"⟦{HEAD}" in ask("help").splitlines()
    assert str(fail(shell, "%chatglm last")) == "⟦There is no reply yet.⟧"
    assert str(fail(shell, "%chatglm --new=1 hi")) == "⟦--new takes no value, so there is no '--new=1'.⟧"

    run(shell, "%config ChatGLMMagics.language = 'auto'")
    assert HEAD in ask("help").splitlines()
    assert str(fail(shell, "%chatglm last")) == "There is no reply yet."


def test_unloading_returns_to_the_environment(shell, marks, monkeypatch):
    """What `%config` said ends with the magics."""
    monkeypatch.setenv("CHATGLM_LANG", "en")
    run(shell, "%config ChatGLMMagics.language = 'zh'")
    chatglm_magic.unload_ipython_extension(shell)

    assert manual().startswith(HEAD)
    chatglm_magic.load_ipython_extension(shell)


def test_config_lists_the_settings_in_the_language_in_force(shell, marks, capsys):
    """Each setting's help is translated; names and values stay."""
    run(shell, "%config ChatGLMMagics")
    shown = " ".join(capsys.readouterr().out.split())
    assert [sentence for sentence in OURS if f"⟦{sentence}⟧" not in shown] == []

    run(shell, "%config ChatGLMMagics.language = 'en'")
    run(shell, "%config ChatGLMMagics")
    shown = capsys.readouterr().out
    assert "⟦" not in shown
    assert "ChatGLMMagics.language=<Enum>" in shown


def test_a_language_that_there_is_not_is_refused(shell):
    """In the words of traitlets, and the language stays."""
    magics = shell.magics_manager.registry["ChatGLMMagics"]
    with pytest.raises(TraitError, match="any of"):
        magics.language = "fr"

    assert magics.language == "auto"


@pytest.mark.parametrize(
    ("setting", "environment", "locale", "said"),
    [
        ("en", "zh", "zh_CN.UTF-8", "English, as %config ChatGLMMagics.language says"),
        ("zh", "", "C", "⟦中文, as ⟦%config ChatGLMMagics.language⟧ says⟧"),
        ("auto", "en", "zh_CN.UTF-8", "English, as CHATGLM_LANG says"),
        ("auto", "", "zh_CN.UTF-8", "⟦中文, as ⟦the locale⟧ says⟧"),
        ("auto", "auto", "en_GB.UTF-8", "English, as the locale says"),
        ("auto", "", "de_DE.UTF-8", "English, as nothing names another"),
        ("auto", "fr", "de_DE", "English, as nothing names another; CHATGLM_LANG=fr names neither en nor zh"),
        ("en", "français", "", "English, as %config ChatGLMMagics.language says; CHATGLM_LANG=français names neither"),
    ],
)
def test_status_says_which_language_and_why(ask, shell, marks, monkeypatch, setting, environment, locale, said):
    """And what names a language that there is not: it is not passed over in silence."""
    monkeypatch.setenv("CHATGLM_LANG", environment)
    for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", locale or "C")
    run(shell, f"%config ChatGLMMagics.language = {setting!r}")

    row = next(line for line in ask("status").splitlines() if line.startswith(("language", "⟦language")))
    assert row.split(None, 1)[1].startswith(said)


# The words of commands

FITTING = """
帮助, 帮助 模型, 帮助 models, help 模型, 模型, 模型 flash, 模型 zai 4.7, 使用 zai:glm-4.7, 登录, 登录 https://x.y/v1,
退出登录 zai, 状态, 设置, 设置 temperature 0.2, 设置 system 回答要简短。, 新建, 新建 物理, 会话, 会话 50, 搜索 注意力,
历史 3, 撤销, 重试, 继续, 重置, 上一条, 修复 replace, 解释, 代码 2, 重命名 a b, 删除 #12, 清除 all, 保存 对话.json,
载入 #12, 加载 a.json, 导出 "两 个.md", 停止 2, 任务, 面板, 版本
"""
PROMPTS = """
解释 attention; 继续写这个故事; 继续 写; 帮助我理解注意力; 帮助 我; 模型是什么; 状态 怎么样; 历史 上的今天; 代码 怎么写;
撤销 它; 版本 2 有什么新内容; 使用 pandas 画图; 设置 一个 服务器; 面板 数据 是什么; 任务 一; 停止 它; 登录 页面 怎么写;
上一条 新闻; 会话 是什么; 修复 这个 函数; 继续，写第二段; 解释：什么是闭包; 停止！我不要; 新建：一个类; 帮助，我卡住了
"""


@pytest.mark.parametrize("line", re.split(r",\s+", FITTING.strip()))
def test_a_chinese_word_is_a_command_where_the_line_fits(line):
    """In every language, by the rule of the English word; after `--` everything is a prompt."""
    found = find_command(parse(line))
    word, *rest = line.split(None, 1)

    assert found is not None
    assert word in found[0].names
    assert find_command(parse(" ".join([found[0].name, *rest])))[0] is found[0]
    assert find_command(parse(f"-- {line}")) is None


@pytest.mark.parametrize("line", re.split(r";\s+", PROMPTS.strip()))
def test_a_chinese_sentence_is_a_prompt(line):
    """One that begins with a command's word and does not fit it is asked."""
    assert find_command(parse(line)) is None
    assert not near_miss(line)[1]


def test_each_word_means_one_command():
    """Every command has a Chinese word, and no two the same; each page of the manual has one too."""
    words = [word for command in COMMANDS for word in command.names]

    assert len(set(words)) == len(words)
    assert all(command.words and not any(map(str.isascii, command.words)) for command in COMMANDS)
    assert len({*TOPICS, *TOPIC_WORDS.values()}) == 2 * len(TOPICS)


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("帮助？", "帮助"),
        ("帮助！", "帮助"),
        ("状态。", "状态"),
        ("历史、", "历史"),
        ("、状态，", "状态"),
        ("设置：temperature 0.5", "设置 temperature 0.5"),
        ("帮助：错误", "帮助 错误"),
        ("帮助，models", "帮助 models"),
        ("清除：all", "清除 all"),
        ("设置： temperature 0.5", "设置 temperature 0.5"),
        ("设置 temperature：0.5", "设置 temperature 0.5"),
        ("帮助 模型？", "帮助 模型"),
        ("历史 3。", "历史 3"),
        ("清除 all！", "清除 all"),
        ("code 2？", "code 2"),
        ("history，", "history"),
        ("version、", "version"),
        ("使用", "使用 MODEL"),
    ],
)
def test_full_width_marks_are_punctuation(shell, glm, line, meant):
    """Nothing is asked where a command is surely meant, and it is named as it was typed."""
    glm.say("ok")

    assert f"Did you mean %chatglm {meant}?" in str(fail(shell, f"%chatglm {line}"))
    assert glm.requests == []


def test_chinese_words_do_what_the_english_ones_do(ask, shell):
    """A conversation from its beginning to its end."""
    assert ask("新建 物理") == "Conversation 物理 begins.\n"
    ask("一")
    assert ask("历史") == ask("history")
    ask("设置 system 回答要简短。")
    assert ask("set") == "system = 回答要简短。\n"
    assert ask("撤销") == "Taken back: '一' and its answer. nothing said left.\n"
    assert ask("帮助 模型") == ask("help models")
    assert ask("重命名 物理 化学") == "Conversation 物理 is now 化学.\n"
    error = fail(shell, "%chatglm 删除 数学")
    assert isinstance(error, ConfigError)
    assert str(error).endswith("To ask something that begins with 删除, write %chatglm -- 删除 …")
    assert "化学 is deleted" in ask("删除 化学")


@pytest.mark.parametrize("word", TOPIC_WORDS.values())
def test_each_page_has_a_chinese_name(word):
    """It is the page of the English name."""
    assert page(word) == page(next(topic for topic in TOPICS if TOPIC_WORDS[topic] == word))
    assert page(word) != manual()


# What Tab offers


def test_tab_offers_chinese_words_in_chinese(shell, marks):
    """Beside the English ones, which are alone in English."""
    words = [word for command in COMMANDS for word in command.words]
    found = [text.removeprefix("%chatglm ") for text in offered(shell, "%chatglm ")]
    assert {*words, *(command.name for command in COMMANDS)} <= set(found)
    assert offered(shell, "%chatglm 继") == ["%chatglm 继续"]
    assert "%chatglm 帮助 模型" in offered(shell, "%chatglm 帮助 ")
    assert "%chatglm 帮助 models" in offered(shell, "%chatglm 帮助 ")

    run(shell, "%config ChatGLMMagics.language = 'en'")
    assert not set(words) & {text.removeprefix("%chatglm ") for text in offered(shell, "%chatglm ")}
    assert offered(shell, "%chatglm help 模") == []
    assert "%chatglm 使用 zai:glm-4.7-flash" in offered(shell, "%chatglm 使用 zai:")


@pytest.mark.parametrize(
    ("line", "note"),
    [
        ("%chatglm exp", "command"),
        ("%chatglm --sys", "option"),
        ("%chatglm -m zai:", "model"),
        ("%chatglm -o temp", "parameter"),
        ("%chatglm -f j", "value"),
        ("%chatglm -c def", "conversation"),
        ("%chatglm {pri", "variable"),
        ("%chatglm help mod", "page"),
        ("%chatglm set temp", "setting"),
    ],
)
def test_tab_says_what_it_offers(shell, marks, line, note):
    """In the language in force."""
    shell.user_ns["prices"] = [1]

    def notes() -> set[str]:
        with provisionalcompleter():
            return {found.type for found in shell.Completer.completions(line, len(line))}

    assert notes() == {f"⟦{note}⟧"}
    run(shell, "%config ChatGLMMagics.language = 'en'")
    assert notes() == {note}


# Tables


def test_columns_are_as_wide_as_they_look(marks):
    """The second column begins below the one above, whatever the words before it are written in."""
    rows = [line for line in table("", command_rows()).splitlines() if line]

    assert len(rows) == len(COMMANDS)
    assert len({width(line[: line.rindex("  ⟦")]) for line in rows}) == 1
    assert table("", [("a", "x"), ("中文", "y")]).splitlines() == ["", "  a     x", "  中文  y"]


def test_lists_of_conversations_are_aligned(ask, marks):
    """Names of any script stand in one column."""
    for name in ("物理", "longer-name"):
        ask(f"新建 {name}")
        ask("hi")
    lines = [line for line in ask("会话").splitlines() if "⟦2 messages⟧" in line]

    assert len(lines) == 2
    assert len({width(line[: line.index("⟦")]) for line in lines}) == 1


def test_the_chinese_manual_shows_both_words(marks, monkeypatch):
    """The Chinese word beside the English one; in English the English one alone, for the README too."""
    assert [usage.split("⟦")[0].split(" [")[0] for usage, _ in command_rows()][:2] == ["help, 帮助 ", "models, 模型 "]
    assert "load, 载入, 加载" in page("commands")
    monkeypatch.setenv("CHATGLM_LANG", "en")
    assert command_rows()[0] == ("help [topic]", f"this manual, or a page of it: {', '.join(TOPICS)}")
    assert "帮助" not in manual()


# Nothing is left out

SAID = """
status, history, undo, retry, continue, last, code, jobs, stop, stop 4, fix, explain, set, save, search, search zzz, hi,
history, chats, search hi, undo, new 1, -c 1 hi, new 1, rename 2, rename 2, delete 7, load 7, save a.json, load a.json,
export a.html, save a.md, delete, code 3, models zai nobody, models x, use glm-4, use, forget, forget 7, help？, login,
--vars nope hi, --cells 99 hi, --err hi, -m, --bogus hi, -s 'no, --out 1x hi, -f html hi, --cells 7-5 hi,
--insert=above hi, -top-p 1 hi, --new=1 hi, -q, --bg hi, jobs, --dry-run {no}, hi --model x, new a b, -f code hi,
help keys, forget all
"""
NAMES = (
    "(?i)chatglm|magic|openai|glm|default|hi|re|user|assistant|observation|json|stream|options|include|usage|true|stop"
    "|db|no|model|new|none"
)
"""Names, values, and what was asked and answered: no words of ours."""


def test_every_word_of_ours_is_in_the_catalog(shell, glm, marks, capsys, monkeypatch, tmp_path):
    """What commands print or fail with holds no English but in sentences that are translated."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHATGLM_STORE", str(tmp_path / "db"))
    glm.say(lambda request: f"re: {request.json['messages'][-1]['content']}")
    left = {}
    for line in re.split(r",\s+", SAID.strip()):
        result = shell.run_cell(f"%chatglm {line}", store_history=True)
        error = result.error_before_exec or result.error_in_exec
        printed = capsys.readouterr().out
        shown = printed if error is None else str(error)
        while shown != (shown := re.sub(r"⟦[^⟦⟧]*⟧", "", shown)):
            pass
        words = re.findall(r"[A-Za-z]{2,}", shown.replace(str(tmp_path), ""))
        if any(not re.fullmatch(NAMES, word) for word in words) or "⟦" in shown:
            left[line] = shown
    close_stores()

    assert left == {}
