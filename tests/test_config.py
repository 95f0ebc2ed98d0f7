"""Settings: one file and the environment, checked whole before anything starts."""

from pathlib import Path

import pytest

from vending.config import Config, ConfigInvalid, read

SECRET = "a-secret-that-nobody-may-see"


def written(directory: Path, text: str) -> Path:
    path = directory / "stima.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_a_file_every_setting_has_its_default() -> None:
    assert read(None, {}) == Config()


def test_a_file_sets_what_it_names_and_leaves_the_rest(tmp_path: Path) -> None:
    settings = read(written(tmp_path, "[server]\nport = 9090\n"), {})
    assert (settings.server.port, settings.server.host) == (9090, "127.0.0.1")


def test_the_environment_is_laid_over_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, '[server]\nport = 9090\ntrusted_proxies = ["10.0.0.1"]\n')
    settings = read(
        path,
        {
            "STIMA_SERVER__PORT": "9191",
            "STIMA_SERVER__TRUSTED_PROXIES": "10.0.0.2, 10.0.0.3",
            "STIMA_SERVER__EXPRESS": "false",
            "STIMA_KEYS__PASSPHRASE": SECRET,
            "PATH": "/bin",
        },
    )
    assert settings.server.port == 9191
    assert settings.server.express is False
    assert settings.server.trusted_proxies == ["10.0.0.2", "10.0.0.3"]
    assert settings.keys.passphrase == SECRET


def test_the_environment_may_name_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "[server]\nport = 9090\n")
    assert read(None, {"STIMA_CONFIG": str(path)}).server.port == 9090


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[server]\nport = 70000\n", "server.port"),
        ('[server]\nport = "8080"\n', "server.port"),
        ("[server]\nprot = 8080\n", "prot"),
        ("[sever]\nport = 8080\n", "sever"),
        ('[mpesa]\nsecret = "short"\n', "mpesa.secret"),
        ("[mpesa]\namount_minor_min = 0\n", "mpesa.amount_minor_min"),
        ('[[route]]\nproduct = "prepaid"\n', "short_code"),
        ('[[route]]\nshort_code = "888880"\nproduct = "gas"\n', "product"),
        ('[sms]\ngateway = "pigeon"\n', "sms.gateway"),
        ('[log]\nlevel = "loud"\n', "log.level"),
        ("[server\n", "line 1"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        read(written(tmp_path, text), {})
    assert named in str(refused.value)


@pytest.mark.parametrize("fault", ["missing", "a directory", "not UTF-8"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, fault: str) -> None:
    path = tmp_path / "stima.toml"
    if fault == "a directory":
        path.mkdir()
    elif fault == "not UTF-8":
        path.write_bytes(b"[utility]\nname = '\xff'\n")
    with pytest.raises(ConfigInvalid) as refused:
        read(path, {})
    assert str(path) in str(refused.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("STIMA_SERVER__PORT", "eighty"),
        ("STIMA_SERVER__PORT", "70000"),
        ("STIMA_SERVER__PROT", "8080"),
        ("STIMA_SEVER__PORT", "8080"),
        ("STIMA_SERVER__EXPRESS", "no"),
        ("STIMA_ROUTE__SHORT_CODE", "888880"),
    ],
)
def test_what_is_wrong_in_the_environment_is_named(variable: str, value: str) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        read(None, {variable: value})
    assert variable.partition("__")[2].lower() in str(refused.value).lower()


def test_no_secret_is_in_a_repr_or_in_a_refusal(tmp_path: Path) -> None:
    text = "".join(
        f'[{section}]\n{name} = "{SECRET}"\n'
        for section, name in (
            ("database", "dsn"), ("mpesa", "secret"), ("keys", "passphrase"),
            ("sms", "api_key"), ("sales", "secret"),
        )
    )  # fmt: skip
    assert SECRET not in repr(read(written(tmp_path, text), {}))
    with pytest.raises(ConfigInvalid) as refused:
        read(written(tmp_path, text + '[log]\nlevel = "loud"\n'), {})
    assert SECRET not in str(refused.value)


def test_a_list_of_numbers_is_given_with_commas() -> None:
    assert read(None, {"STIMA_WEBHOOKS__PORTS": "443, 9443"}).webhooks.ports == [443, 9443]


def test_a_list_of_numbers_that_holds_a_word_is_refused() -> None:
    with pytest.raises(ConfigInvalid, match="ports"):
        read(None, {"STIMA_WEBHOOKS__PORTS": "443,https"})
