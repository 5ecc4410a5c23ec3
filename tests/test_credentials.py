"""Keys: where they come from, where they are kept, and to which host they may go."""

from __future__ import annotations

import copy
import io
import json
import pickle
import stat
import sys
from types import ModuleType, SimpleNamespace

import cloudpickle
import joblib
import pytest

from chatglm_magic import _credentials
from chatglm_magic._chat import Chat
from chatglm_magic._credentials import (
    Key,
    Mask,
    bare_key,
    check_key_travel,
    environment_keys,
    find_key,
    forget_key,
    is_loopback,
    load_key,
    origin,
    save_key,
    seen_keys,
)
from chatglm_magic._errors import ConfigError
from chatglm_magic._messages import ChatOptions, ImagePart, Message, Request, TextPart
from chatglm_magic._redaction import StreamRedactor
from chatglm_magic._reply import Reply
from chatglm_magic._resolve import Target
from chatglm_magic._transport.call import headers_of
from chatglm_magic._workspace import Workspace
from chatglm_magic.providers import Settings, make_provider
from chatglm_magic.providers.function import FunctionProvider

HOST = "https://api.z.ai"
URLS = {"zai": "", "bigmodel": "", "openai": "https://127.0.0.1:9", "chatglm": ""}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Keep this test's keys apart, and hide a keyring that may be installed."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "keyring", None)
    return tmp_path / "chatglm_magic"


SECRET = "sk-0123456789abcdef"  # noqa: S105 - nobody's


def joblib_dumps(value: object) -> bytes:
    file = io.BytesIO()
    joblib.dump(value, file)
    return file.getvalue()


TRAVELS = (pickle.dumps, copy.deepcopy, cloudpickle.dumps, joblib_dumps, joblib.hash)
"""Ways in which a value leaves its process, or is copied in it."""


def holders() -> list[object]:
    """Give all that holds a key, or may."""
    made = [make_provider(name, Settings(base_url=url, api_key=SECRET)) for name, url in URLS.items()]
    named = Chat(make_provider("openai", Settings(base_url="http://127.0.0.1:9", api_key=SECRET)))
    return [
        Key(SECRET),
        Settings(api_key=SECRET),
        *made,
        Target(made[0]),
        made[0]._call("https://api.z.ai", made[0]._info()),
        FunctionProvider(str),
        Chat(make_provider("local", Settings())),
        named,
        Workspace(chat=named),
        Mask([SECRET]),
        StreamRedactor(Mask([SECRET])),
        headers_of(made[0]._call("https://api.z.ai", made[0]._info()), "POST"),
    ]


@pytest.mark.parametrize("travel", TRAVELS, ids=lambda travel: f"{travel.__module__}.{travel.__name__}")
@pytest.mark.parametrize("holder", holders(), ids=lambda holder: type(holder).__name__)
def test_no_key_is_pickled_or_copied(travel, holder):
    """What holds a key, or may hold one, refuses with a sentence that says what to do, whether it has one or not."""
    with pytest.raises(
        (TypeError, pickle.PicklingError), match=r"neither pickled nor copied.*Make a new one"
    ) as caught:
        travel(holder)

    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("holder", holders(), ids=lambda holder: type(holder).__name__)
def test_no_key_is_shown_by_what_holds_it(holder):
    """Tracebacks, debuggers and `vars` show what an object holds; a key is one word in brackets there."""
    inner = getattr(holder, "provider", holder)
    shown = [repr(holder), repr(getattr(holder, "__dict__", "")), repr(getattr(inner, "__dict__", ""))]

    assert SECRET not in "".join(shown)


def test_a_function_does_not_carry_a_key_along():
    """What a function of the notebook names is pickled with it by cloudpickle, and so would be a key."""
    chat = Chat(make_provider("openai", Settings(base_url="http://127.0.0.1:9", api_key=SECRET)))

    def work(row: str) -> object:
        return chat.send(row)

    with pytest.raises((TypeError, pickle.PicklingError), match="neither pickled nor copied"):
        cloudpickle.dumps(work)


def test_a_module_that_is_pickled_by_value_carries_no_key():
    """Who develops against a cluster sends modules along; the keys that this process has used stay here."""
    Key(SECRET)
    cloudpickle.register_pickle_by_value(_credentials)
    try:
        with pytest.raises((TypeError, pickle.PicklingError), match="neither pickled nor copied"):
            cloudpickle.dumps(seen_keys)
    finally:
        cloudpickle.unregister_pickle_by_value(_credentials)


def test_what_holds_no_key_travels():
    """Settings without one, requests and replies are values like any other, and hold none."""
    Key(SECRET)
    request = Request((Message("user", (TextPart("Look"), ImagePart(data=b"x", media_type="image/png"))),))
    for value in (Settings(model="m"), request, ChatOptions.of(model="m"), Reply("m")):
        for dumps in (pickle.dumps, cloudpickle.dumps, joblib_dumps):
            assert SECRET.encode() not in dumps(value)
    assert pickle.loads(pickle.dumps(request)) == request  # noqa: S301 - our own


@pytest.mark.parametrize(
    ("keys", "text", "shown"),
    [
        ([SECRET], f"it is {SECRET}.", "it is [key]."),
        ([SECRET], f"it is {SECRET[:9]}… by h", "it is … by h"),
        ([SECRET], "as is… so", "as i… so"),
        (["x", "null", "password", "EMPTY"], "exceeds null password EMPTY…", "exceeds null password EMPTY…"),
        ([], "as…", "as…"),
    ],
)
def test_keys_in_a_shortened_text(keys, text, shown):
    """Neither a key nor its beginning stands before a cut; what may be a word stays."""
    assert Mask(keys).shortened(text) == shown


def test_a_key_is_kept_for_its_host_alone(folder):
    """Scheme, host and port decide; the path does not."""
    where = save_key(f"{HOST}/api/paas/v4", "id.secret")

    assert where == str(folder / "keys.json")
    assert load_key(HOST) == "id.secret"
    assert load_key("http://api.z.ai") == ""
    assert load_key("https://api.z.ai:8443") == ""
    assert load_key("https://open.bigmodel.cn") == ""


def test_the_file_is_the_users_alone(folder):
    """File 0600, folder 0700, and nothing else is left behind."""
    save_key(HOST, "id.secret")

    assert stat.S_IMODE((folder / "keys.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [path.name for path in folder.iterdir()] == ["keys.json"]


def test_forgetting_removes_the_key_and_the_empty_file(folder):
    """What is forgotten is gone from disk."""
    save_key(HOST, "one")
    save_key("http://lab:8000", "two")

    assert forget_key(HOST)
    assert json.loads((folder / "keys.json").read_text()) == {"http://lab:8000": "two"}
    assert forget_key("http://lab:8000")
    assert not forget_key(HOST)
    assert not (folder / "keys.json").exists()


def test_a_damaged_file_holds_nothing_and_is_replaced(folder):
    """A file that is no JSON does not stand in the way."""
    folder.mkdir()
    (folder / "keys.json").write_text("{")

    assert load_key(HOST) == ""
    save_key(HOST, "new")
    assert load_key(HOST) == "new"


def test_a_folder_that_cannot_be_made_is_said(folder):
    """The remedy is the environment."""
    folder.write_text("a file where the folder should be")

    with pytest.raises(ConfigError, match="environment instead"):
        save_key(HOST, "id.secret")


def test_a_keyring_goes_before_the_file(folder, monkeypatch):
    """Where the system keeps secrets, no file of ours does."""
    kept: dict[tuple[str, str], str] = {}
    keyring = ModuleType("keyring")
    keyring.get_keyring = lambda: SimpleNamespace(priority=5)
    keyring.set_password = lambda service, name, key: kept.__setitem__((service, name), key)
    keyring.get_password = lambda service, name: kept.get((service, name))
    keyring.delete_password = lambda service, name: kept.__delitem__((service, name))
    monkeypatch.setitem(sys.modules, "keyring", keyring)

    assert save_key(HOST, "id.secret") == "the system's keyring"
    assert load_key(HOST) == "id.secret"
    assert not folder.exists()
    assert forget_key(HOST)
    assert load_key(HOST) == ""


def test_the_environment_goes_before_a_kept_key(monkeypatch):
    """A key in the environment is the newer word."""
    save_key(HOST, "kept")

    assert find_key("zai") == "kept"
    monkeypatch.setenv("ZAI_API_KEY", "set")
    assert find_key("zai") == "set"


def test_a_kept_key_goes_to_the_server_it_was_given_for():
    """Also to one that a notebook names, since the user gave it for that host."""
    save_key("http://127.0.0.1:8000/v1", "mine")

    assert find_key("openai", "http://127.0.0.1:8000/v1") == "mine"
    assert find_key("openai", "http://127.0.0.1:9000/v1") == ""


@pytest.mark.parametrize("url", ["", "ftp://a/b", "127.0.0.1:8000", "http://", "http://[::1", "http://a:x/"])
def test_what_is_no_base_url_is_said(url):
    """A base URL that is none is answered with an example of one."""
    with pytest.raises(ConfigError, match=r"http://127\.0\.0\.1:8000/v1"):
        origin(url)


def test_origin_fills_the_port_in():
    """Two URLs are of one origin if scheme, host and port agree."""
    assert origin("https://A.invalid/v1") == origin("https://a.invalid:443")
    assert origin("http://a.invalid") != origin("https://a.invalid")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:1/v1", True),
        ("http://127.9.9.9/", True),
        ("http://localhost:1", True),
        ("http://[::1]:1", True),
        ("http://10.0.0.1", False),
        ("http://127.0.0.1.evil.invalid", False),
        ("http://127.evil.invalid", False),
    ],
)
def test_loopback_is_told_from_names_that_look_like_it(url, expected):
    """Only this machine is loopback."""
    assert is_loopback(url) is expected


def test_a_host_may_be_allowed_plain_http(monkeypatch):
    """The user may allow a host in so many words."""
    monkeypatch.setenv("CHATGLM_ALLOW_HTTP", "lab, other")

    check_key_travel("http://lab:8000", "sk-1")
    check_key_travel("http://127.0.0.1:8000", "sk-1")
    with pytest.raises(ConfigError, match="CHATGLM_ALLOW_HTTP=elsewhere"):
        check_key_travel("http://elsewhere:8000", "sk-1")


def test_the_openai_key_goes_only_to_the_configured_host(monkeypatch):
    """A notebook's own `--base-url` never collects `CHATGLM_API_KEY`."""
    monkeypatch.setenv("CHATGLM_API_KEY", "sk-1")
    configured = "https://mine.invalid/v1"

    assert find_key("openai", "https://mine.invalid/other", configured) == "sk-1"
    assert find_key("openai", "https://mine.invalid:444/v1", configured) == ""
    assert find_key("openai", "http://mine.invalid/v1", configured) == ""
    assert find_key("openai", "https://evil.invalid/v1", configured) == ""
    assert find_key("openai", "https://evil.invalid/v1") == ""


def test_a_platform_key_goes_only_to_the_platform(monkeypatch):
    """A platform's key is not looked up for another host."""
    monkeypatch.setenv("ZAI_API_KEY", "id.secret")

    assert find_key("zai") == "id.secret"
    assert find_key("zai", "https://evil.invalid") == ""
    assert find_key("chatglm") == ""


@pytest.mark.parametrize(
    "pasted",
    [
        f" {SECRET}\n",
        f'"{SECRET}"',
        f"\u201c{SECRET}\u201d",
        f"`{SECRET}`",
        f"\ufeff{SECRET}\u200b",
        f"\u3000{SECRET}\u00a0",
        f"Bearer {SECRET}",
        f"Authorization: Bearer {SECRET}",
        f"ZAI_API_KEY={SECRET}",
        f"export OPENAI_API_KEY='{SECRET}'",
        f"api_key\uff1a{SECRET}",
        f'"api-key": "{SECRET}"',
    ],
)
def test_a_pasted_key_is_the_key_alone(monkeypatch, pasted):
    """Of what was copied with a key nothing is sent, wherever the key comes from, and the key itself is masked."""
    monkeypatch.setenv("ZAI_API_KEY", pasted)

    assert SECRET == find_key("zai") == Settings(api_key=pasted).api_key
    assert environment_keys() == {SECRET}
    save_key("https://127.0.0.1:9", pasted)
    assert load_key("https://127.0.0.1:9") == SECRET


@pytest.mark.parametrize("key", ["null", "x", "key", "a=b", "sk-a=", "id.secret", "bearer", "two words"])
def test_what_is_no_decoration_stays(key):
    """A key of a user's own server may look like anything."""
    assert bare_key(key) == key


@pytest.mark.parametrize("letter", ["\u200b", "\ufeff", "\u2060", "\x00", "\n"])
def test_an_invisible_letter_in_a_url_is_refused(letter):
    """What a page adds to a copied URL unseen would lead to another path: it is shown instead."""
    assert origin(" http://127.0.0.1:8000/v1\n") == ("http", "127.0.0.1", 8000)
    with pytest.raises(ConfigError, match="is no base URL"):
        origin(f"http://127.0.0.1:8000/v1{letter}/x")
