"""Stores of Google and Azure: how they are named, asked and refused. Google is played; Azurite plays Azure."""

import json
from threading import Thread

import pytest

from gristmill.spec.errors import MachineError, UsageError
from gristmill.storage import object as client
from gristmill.storage.object import ObjectStore
from gristmill.testing import gcs
from gristmill.testing.gcs import FakeGcs

pytest.importorskip("obstore")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GRISTMILL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def server():
    with FakeGcs() as server:
        yield server


def test_google_is_told_token_and_address_by_variables_options_or_a_file(server, tmp_path, monkeypatch):
    monkeypatch.delenv("GOOGLE_BASE_URL")
    monkeypatch.delenv("GOOGLE_BEARER_TOKEN")
    options = {**server.options, "timeout": "20s"}
    ObjectStore("gs://bucket/options", options).put("a", b"1")
    for name, value in server.options.items():
        monkeypatch.setenv(f"GOOGLE_{name.upper()}", value)
    ObjectStore("gs://bucket/variables").put("a", b"1")
    monkeypatch.delenv("GOOGLE_BASE_URL")
    monkeypatch.delenv("GOOGLE_BEARER_TOKEN")
    with FakeGcs(token="") as open_to_all:
        account = {"gcs_base_url": open_to_all.origin(), "disable_oauth": True}
        keys = dict.fromkeys(("client_email", "private_key", "private_key_id"), "")
        (tmp_path / "account.json").write_text(json.dumps({**account, **keys}))
        monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(tmp_path / "account.json"))
        store = ObjectStore("gs://bucket/file")
        store.put("a", b"1")
        assert [one.name for one in store.list()] == ["a"]
    assert [one.name for one in ObjectStore("gs://bucket", options).list()] == ["options/a", "variables/a"]


def test_a_listing_of_google_goes_on_over_pages(server, monkeypatch):
    monkeypatch.setattr(gcs, "_PAGE_NAMES", 3)
    store = ObjectStore("gs://bucket/pages", server.options)
    names = [f"{n // 4}/{n} & <more>" for n in range(11)]
    for name in names:
        store.put(name, b"1")
    assert [one.name for one in store.list()] == sorted(names)
    assert store.below("1/5 & <more>".partition("/")[2]) == ("1",)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bearer_token": "old"}, r"or has expired \(AuthenticationReq.*holds \(GOOGLE_SERVICE_ACCOUNT or"),
        ({}, "gs://other/data: there is no such bucket"),
    ],
)
def test_what_google_refuses_is_said_with_its_variables(server, change, said):
    bucket = "bucket" if change else "other"
    with pytest.raises(MachineError, match=said):
        ObjectStore(f"gs://{bucket}/data", {**server.options, **change}).put("a", b"1")


@pytest.mark.parametrize(
    ("url", "options", "said"),
    [
        ("gs://bucket/a", {"nonsense": "1"}, r"nonsense.*GOOGLE_SERVICE_ACCOUNT or .*as service_account, "),
        ("gs://bucket/a", {"service_account": "/none.json"}, r"/none\.json: No such file"),
        ("az://bucket/a", {"account_key": "no key!"}, r"Invalid Access Key.*as account_name, account_key"),
    ],
)
def test_options_and_credentials_that_cannot_be_used_are_said_with_those_that_can(url, options, said):
    with pytest.raises(UsageError, match=said):
        ObjectStore(url, options).size("x")


def test_azure_without_an_account_is_told_of_its_variable(monkeypatch):
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME")
    with pytest.raises(UsageError, match=r"Account must be specified.*AZURE_STORAGE_ACCOUNT_NAME"):
        ObjectStore("az://bucket/a").size("x")


@pytest.mark.slow
def test_of_several_that_put_one_large_object_into_azure_each_ends_well(azure, tmp_path, monkeypatch):
    """The first forgets the parts of the others, which put theirs again."""
    monkeypatch.setattr(client, "_PART_BYTES", 1 << 20)
    path, failed = tmp_path / "large", []
    path.write_bytes(bytes(range(256)) * (32 << 10))
    store = ObjectStore(f"az://bucket/{tmp_path.name}", azure)

    def put() -> None:
        try:
            store.put("shards/0.tar", path)
        except MachineError as err:
            failed.append(err)

    threads = [Thread(target=put) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert store.fetch("shards/0.tar").read_bytes() == path.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"account_key": "bm9uZQ=="},
            r"may not write there \(AuthorizationFail.*may \(AZURE_STORAGE_ACCOUNT_NAME",
        ),
        ({}, "az://other/data: there is no such bucket"),
    ],
)
def test_what_azure_refuses_is_said_with_its_variables(azure, change, said):
    container = "bucket" if change else "other"
    with pytest.raises(MachineError, match=said):
        ObjectStore(f"az://{container}/data", {**azure, **change}).put("a", b"1")
