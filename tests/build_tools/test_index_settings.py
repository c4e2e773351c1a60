"""pip's and uv's settings are found where those tools find them, and weigh the same."""

from __future__ import annotations

import os

import pytest

from build_tools.errors import ConfigError
from build_tools.index_settings import DEFAULT_INDEX, read_index_settings, redacted

MIRROR = "https://mirror.example/simple"


class Machine:
    """A machine with nothing set, below a temporary folder."""

    def __init__(self, folder, system="linux"):
        self.folder, self.system = folder, system
        self.home, self.prefix, self.root = folder / "home", folder / "venv", folder / "root"
        self.environ = {}

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def settings(self):
        return read_index_settings(
            self.environ, system=self.system, home=self.home, prefix=self.prefix, root=self.root
        )

    def urls(self):
        return [location.url for location in self.settings().locations]


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_with_nothing_set_the_public_index_is_asked(machine):
    assert machine.urls() == [DEFAULT_INDEX]
    assert machine.settings().timeout == 30


def test_pips_variables(machine, tmp_path):
    cert = machine.write("company.pem", "-")
    machine.environ = {
        "PIP_INDEX_URL": MIRROR,
        "PIP_EXTRA_INDEX_URL": "https://b.example/simple  https://c.example/simple",
        "PIP_FIND_LINKS": f"{tmp_path}/wheels https://d.example/links.html",
        "PIP_TRUSTED_HOST": "b.example c.example:8080",
        "PIP_CERT": str(cert),
        "PIP_PROXY": "http://proxy.example:3128",
        "PIP_TIMEOUT": "7",
    }
    settings = machine.settings()
    assert machine.urls() == [
        f"{tmp_path}/wheels",
        "https://d.example/links.html",
        MIRROR,
        "https://b.example/simple",
        "https://c.example/simple",
    ]
    assert [location.find_links for location in settings.locations] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert settings.locations[2].origin == "environment PIP_INDEX_URL"
    assert settings.trusted_hosts == ("b.example", "c.example:8080")
    assert (settings.cert, settings.proxy, settings.timeout) == (
        cert,
        "http://proxy.example:3128",
        7,
    )


def test_no_index_leaves_the_folders_of_links(machine):
    machine.environ = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/w", "UV_INDEX": "https://u.example"}
    assert machine.urls() == ["/w"]
    machine.environ["PIP_NO_INDEX"] = "0"
    assert machine.urls() == ["/w", DEFAULT_INDEX, "https://u.example"]


@pytest.mark.parametrize(
    ("system", "name"),
    [
        ("linux", "root/etc/pip.conf"),
        ("linux", "root/etc/xdg/pip/pip.conf"),
        ("linux", "home/.config/pip/pip.conf"),
        ("linux", "home/.pip/pip.conf"),
        ("linux", "venv/pip.conf"),
        ("darwin", "root/Library/Application Support/pip/pip.conf"),
        ("darwin", "home/Library/Application Support/pip/pip.conf"),
        ("darwin", "home/.config/pip/pip.conf"),
        ("darwin", "home/.pip/pip.conf"),
        ("darwin", "venv/pip.conf"),
        ("windows", "data/pip/pip.ini"),
        ("windows", "roaming/pip/pip.ini"),
        ("windows", "home/pip/pip.ini"),
        ("windows", "venv/pip.ini"),
    ],
)
def test_pips_files_are_found(tmp_path, system, name):
    machine = Machine(tmp_path, system)
    machine.environ = {"PROGRAMDATA": str(tmp_path / "data"), "APPDATA": str(tmp_path / "roaming")}
    path = machine.write(name, f"[global]\nindex-url = {MIRROR}\n")
    assert machine.urls() == [MIRROR]
    assert machine.settings().locations[0].origin == str(path)


def test_the_environments_folder_is_stronger_than_the_user_and_the_machine(machine):
    files = (
        "root/etc/pip.conf",
        "home/.pip/pip.conf",
        "home/.config/pip/pip.conf",
        "venv/pip.conf",
    )
    for number, name in enumerate(files):
        machine.write(name, f"[global]\nindex_url = https://{number}.example/simple\n")
        assert machine.urls() == [f"https://{number}.example/simple"]
    machine.environ = {
        "PIP_CONFIG_FILE": str(machine.write("own", "[global]\nindex-url = https://o\n"))
    }
    assert machine.urls() == ["https://o"]
    machine.environ["PIP_INDEX_URL"] = MIRROR
    assert machine.urls() == [MIRROR]


def test_a_commands_section_is_stronger_than_the_global_one(machine):
    machine.write("root/etc/pip.conf", "[install]\nindex-url = https://install.example\n")
    machine.write("venv/pip.conf", "[global]\nindex-url = https://global.example\n")
    assert machine.urls() == ["https://install.example"]


def test_several_lines_and_percent_signs_in_a_file(machine):
    machine.write(
        "venv/pip.conf",
        "[global]\nindex-url = https://me:p%40ss@m.example/simple\n"
        "extra-index-url =\n    https://b.example/simple\n    https://c.example/simple\n",
    )
    assert machine.urls() == [
        "https://me:p%40ss@m.example/simple",
        "https://b.example/simple",
        "https://c.example/simple",
    ]


def test_no_file_is_read_when_pip_is_told_to_read_none(machine):
    machine.write("venv/pip.conf", f"[global]\nindex-url = {MIRROR}\n")
    machine.environ = {"PIP_CONFIG_FILE": os.devnull}
    assert machine.urls() == [DEFAULT_INDEX]


def test_uvs_variables(machine):
    machine.environ = {
        "UV_DEFAULT_INDEX": f"corp={MIRROR}",
        "UV_INDEX_CORP_USERNAME": "me",
        "UV_INDEX_CORP_PASSWORD": "p@ss",
        "UV_INDEX": "second=https://b.example/simple https://c.example/simple",
        "UV_EXTRA_INDEX_URL": "https://d.example/simple",
        "UV_FIND_LINKS": "/w,/x",
        "UV_INSECURE_HOST": "b.example",
    }
    assert machine.urls() == [
        "/w",
        "/x",
        "https://me:p%40ss@mirror.example/simple",
        "https://b.example/simple",
        "https://c.example/simple",
        "https://d.example/simple",
    ]
    assert machine.settings().trusted_hosts == ("b.example",)


def test_uvs_older_variable(machine):
    machine.environ = {"UV_INDEX_URL": MIRROR}
    assert machine.urls() == [MIRROR]


UV_FILE = f"""
[[index]]
name = "torch"
url = "https://torch.example"
explicit = true
[[index]]
name = "corp"
url = "{MIRROR}"
default = true
[[index]]
url = "https://b.example/simple"
[pip]
extra-index-url = ["https://c.example/simple"]
find-links = ["/w"]
"""


@pytest.mark.parametrize(
    ("system", "name"),
    [
        ("linux", "home/.config/uv/uv.toml"),
        ("linux", "root/etc/uv/uv.toml"),
        ("linux", "root/etc/xdg/uv/uv.toml"),
        ("darwin", "home/.config/uv/uv.toml"),
        ("windows", "roaming/uv/uv.toml"),
    ],
)
def test_uvs_files(tmp_path, system, name):
    machine = Machine(tmp_path, system)
    machine.environ = {"PROGRAMDATA": str(tmp_path / "data"), "APPDATA": str(tmp_path / "roaming")}
    machine.write(name, UV_FILE)
    assert machine.urls() == ["/w", MIRROR, "https://b.example/simple", "https://c.example/simple"]
    machine.environ["UV_NO_CONFIG"] = "1"
    assert machine.urls() == [DEFAULT_INDEX]


def test_pip_is_stronger_than_uv_and_a_variable_stronger_than_a_file(machine):
    machine.write("home/.config/uv/uv.toml", 'index-url = "https://4.example"')
    assert machine.urls() == ["https://4.example"]
    machine.write("home/.config/pip/pip.conf", "[global]\nindex-url = https://3.example\n")
    assert machine.urls() == ["https://3.example"]
    machine.environ["UV_DEFAULT_INDEX"] = "https://2.example"
    assert machine.urls() == ["https://2.example"]
    machine.environ["PIP_INDEX_URL"] = "https://1.example"
    assert machine.urls() == ["https://1.example"]


def test_one_index_named_twice_is_asked_once(machine):
    machine.environ = {"PIP_INDEX_URL": MIRROR, "UV_INDEX": MIRROR + "/"}
    assert machine.urls() == [MIRROR]


@pytest.mark.parametrize(
    ("name", "text"), [("venv/pip.conf", "no section"), ("home/.config/uv/uv.toml", "index = [")]
)
def test_a_broken_file_is_named(machine, name, text):
    path = machine.write(name, text)
    with pytest.raises(ConfigError) as caught:
        machine.settings()
    assert str(path) in str(caught.value)


def test_missing_certificates_are_an_error_before_any_request(machine):
    machine.environ = {"PIP_CERT": "/no/such/file.pem"}
    with pytest.raises(ConfigError, match=r"/no/such/file\.pem"):
        machine.settings()


def test_a_timeout_that_is_no_number_is_an_error(machine):
    machine.environ = {"PIP_TIMEOUT": "soon"}
    with pytest.raises(ConfigError, match="soon"):
        machine.settings()


def test_credentials_are_never_shown(machine):
    machine.environ = {"PIP_INDEX_URL": "https://me:secret@m.example/simple"}
    assert str(machine.settings().locations[0]) == (
        "https://***@m.example/simple (environment PIP_INDEX_URL)"
    )
    assert redacted("see https://token@h/x and http://a:b@h/y") == (
        "see https://***@h/x and http://***@h/y"
    )
