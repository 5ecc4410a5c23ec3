"""Keys that the user left with us."""

from __future__ import annotations

import json
import stat
import sys
from types import ModuleType, SimpleNamespace

import pytest

from chatglm_magic._config import Defaults, find_key
from chatglm_magic._errors import ConfigError
from chatglm_magic._keys import forget_key, load_key, save_key

HOST = "https://api.z.ai"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Keep this test's keys apart, and hide a keyring that may be installed."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "keyring", None)
    return tmp_path / "chatglm_magic"


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

    assert find_key("zai", "", Defaults()) == "kept"
    monkeypatch.setenv("ZAI_API_KEY", "set")
    assert find_key("zai", "", Defaults()) == "set"


def test_a_kept_key_goes_to_the_server_it_was_given_for():
    """Also to one that a notebook names, since the user gave it for that host."""
    save_key("http://127.0.0.1:8000/v1", "mine")

    assert find_key("openai", "http://127.0.0.1:8000/v1", Defaults()) == "mine"
    assert find_key("openai", "http://127.0.0.1:9000/v1", Defaults()) == ""
