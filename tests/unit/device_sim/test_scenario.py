"""Scenarios: the example is whole, mistakes are named in one line, passwords and ids follow their rules."""

from __future__ import annotations

import json
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest
from typer.testing import CliRunner

from device_sim import scenario as scenario_module
from device_sim.__main__ import app
from device_sim.faults import CutAt
from device_sim.profiles import load_profile, read_profile
from device_sim.scenario import load_scenario, read_scenario
from gateway.errors import ConfigError
from gateway.trust.keys import new_private_key, private_text, public_of, public_text
from gateway.wire.codes import Phase

EXAMPLE = Path(str(files("device_sim") / "example.toml"))
SMALL = """
[login]
password_seed = "s"
[[group]]
prefix = "t-"
count = 12
model = "lakala-4g-esign"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "scenario.toml"
    path.write_text(text)
    return path


def test_example_reads_and_shows_every_fault() -> None:
    scenario = load_scenario(EXAMPLE)
    by_id = {entry.id: entry for entry in scenario.entries}

    assert len(by_id) == 24
    assert [cut.at for cut in by_id["cut-1"].faults.power_cuts] == [CutAt.BYTES, CutAt.PHASE]
    assert by_id["cut-1"].faults.power_cuts[1].phase is Phase.INSTALLING
    assert by_id["refund-1"].faults.selftest == "refund"
    assert by_id["later-1"].options.merchant.answers == ("postpone:600", "accept")
    assert by_id["low-1"].options.battery.plug_at_s == 300
    assert by_id["away-1"].faults.duty is not None
    assert by_id["sp-1"].profile.model == "shengpay-4g-esign"
    assert all(entry.options.speed == 60 for entry in scenario.entries)


def test_example_states_the_defaults_in_its_first_group() -> None:
    """What the file says of defaults is what a bare group gets."""
    bare = read_scenario(
        {"group": [{"prefix": "x", "count": 1, "model": "lakala-4g-esign"}]}, folder=Path(), where="bare"
    ).entries[0]
    first = load_scenario(EXAMPLE).entries[0]

    assert (first.profile, first.faults) == (bare.profile, bare.faults)
    plain = (
        "parameters",
        "reconnect_base_s",
        "reconnect_cap_s",
        "credit_bytes",
        "receive_buffer_bytes",
        "quiet_s",
        "connections",
    )
    for name in ("merchant", "shop", "battery", *plain):
        assert getattr(first.options, name) == getattr(bare.options, name), name


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("seed = 1", "no [[group]]"),
        ("seed = [", "scenario.toml"),
        (SMALL + "colour = 1", "unknown colour"),
        (SMALL + "speed = -1", "speed: expected a number"),
        (SMALL + "connections = 3", "connections: expected"),
        (SMALL + "faults = { selftest = 'void' }", "expected payment, refund or query"),
        (SMALL + "faults = { power_cuts = [{ at = 'noon' }] }", "noon"),
        (SMALL + "merchant = { answers = ['maybe'] }", "expected accept, postpone:SECONDS"),
        (SMALL + "merchant = { answers = ['postpone'] }", "expected accept, postpone:SECONDS"),
        (SMALL + "shop = { lead_s = [3, 1] }", "[shortest, longest]"),
        (SMALL.replace("lakala-4g-esign", "nokia"), "no profile for model 'nokia'"),
        (SMALL.replace("t-", "t.1"), "is no terminal id"),
        (SMALL.replace("t-", "t" * 70), "is no terminal id"),
        ("seed = " + "9" * 5_000, "digits"),
        ("seed = " + "[" * 5_000, "recursion"),
        ("a." * 100 + "seed = 1", "more than 64 dots"),
        (SMALL + SMALL.partition("[[group]]")[2].join(["[[group]]", ""]), "exists already"),
        (SMALL.replace('password_seed = "s"', 'password_seed = "s"\npassword = "p"'), "exclude each other"),
    ],
)
def test_each_mistake_is_named_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as found:
        load_scenario(path)
    assert says in found.value.message

    result = CliRunner().invoke(app, ["list", str(path)])
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_scenario_has_no_more_terminals_than_a_machine_can_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All groups together."""
    monkeypatch.setattr(scenario_module, "MAX_TERMINALS", 20)
    more = "[[group]]\nmodel = 'lakala-4g-esign'\nprefix = 'x'\ncount = 10\n"
    with pytest.raises(ConfigError, match="more than 20 terminals in all"):
        load_scenario(written(tmp_path, SMALL + "\n" + more))


def test_numbered_ids_have_one_width_and_can_begin_anywhere(tmp_path: Path) -> None:
    ids = [entry.id for entry in load_scenario(written(tmp_path, SMALL + "first = 95")).entries]

    assert ids[0] == "t-095"
    assert ids[-1] == "t-106"


def test_passwords_come_from_a_seed_a_word_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "passwords").write_text("".join(f"t-{number:02}:secret{number}\n" for number in range(1, 13)))
    for rule, first in (
        ('password_seed = "s"', "fd02bc89"),
        ('password = "word"', "word"),
        ('password_file = "passwords"', "secret1"),
    ):
        scenario = load_scenario(written(tmp_path, SMALL.replace('password_seed = "s"', rule)))
        logins = dict(scenario.logins())
        assert len(logins) == 12
        if "seed" not in rule:
            assert logins["t-01"] == first
        else:
            assert len(set(logins.values())) == 12
            assert all(len(password) == 32 for password in logins.values())


def test_bulk_connections_may_have_users_of_their_own(tmp_path: Path) -> None:
    text = SMALL.replace("[login]", '[login]\nbulk_user = "{id}.b"')

    assert len(dict(load_scenario(written(tmp_path, text)).logins())) == 24


def test_plans_need_the_keys_and_give_each_terminal_its_own_chance(tmp_path: Path) -> None:
    path = written(tmp_path, SMALL)
    with pytest.raises(ConfigError, match=r"order\.pub"):
        load_scenario(path).plans(0)

    (tmp_path / "keys").mkdir()
    for name in ("order", "publisher"):
        (tmp_path / "keys" / f"{name}.pub").write_text(public_text(public_of(new_private_key())))
    (tmp_path / "keys" / "order.pub").rename(tmp_path / "kept.pub")
    (tmp_path / "keys" / "order.pub").write_text(private_text(new_private_key()))
    with pytest.raises(ConfigError, match=r"keys.orders: .*order\.pub: this is the private half") as caught:
        load_scenario(path).plans(0)
    assert caught.value.code == "scenario_invalid"
    (tmp_path / "kept.pub").rename(tmp_path / "keys" / "order.pub")
    plans = load_scenario(path).plans(1234)
    assert len({plan.seed for plan in plans}) == 12
    assert {plan.options.unix_base_ms for plan in plans} == {1234}
    assert [plan.seed for plan in load_scenario(path).plans(0)] == [plan.seed for plan in plans]


def test_list_prints_what_the_gateway_imports(tmp_path: Path) -> None:
    path = str(written(tmp_path, SMALL + 'labels = { region = "south" }'))
    lines = [json.loads(line) for line in CliRunner().invoke(app, ["list", path]).stdout.splitlines()]
    table = CliRunner().invoke(app, ["list", "--format", "csv", path]).stdout.splitlines()
    passwords = CliRunner().invoke(app, ["passwords", path]).stdout.splitlines()

    assert lines[0] == {"id": "t-01", "model": "lakala-4g-esign", "labels": {"region": "south"}}
    assert table[:2] == ["id,model,region", "t-01,lakala-4g-esign,south"]
    assert len(lines) == len(table) - 1 == len(passwords) == 12
    assert passwords[0].startswith("t-01:")


def test_connections_are_the_models_unless_the_group_says_otherwise(tmp_path: Path) -> None:
    """Two, where nobody says anything."""
    profile = tomllib.loads((files("device_sim") / "profiles" / "lakala-4g-esign.toml").read_text())
    entries = load_scenario(written(tmp_path, SMALL + "connections = 1")).entries

    assert {entry.options.connections for entry in entries} == {1}
    assert {entry.options.connections for entry in load_scenario(written(tmp_path, SMALL)).entries} == {2}
    assert read_profile(profile, where="test").connections == 2
    assert read_profile({**profile, "connections": 1}, where="test").connections == 1


def test_both_models_have_profiles_that_differ() -> None:
    lakala, shengpay = load_profile("lakala-4g-esign"), load_profile("shengpay-4g-esign")

    assert lakala.model != shengpay.model
    assert lakala.storage_bytes > shengpay.storage_bytes
    assert lakala.link.down_bps > shengpay.link.down_bps
    assert set(lakala.selftest_s) == {"payment", "refund", "query"}


def test_link_begins_with_the_models_or_bare_and_a_single_gap_between_cards_is_a_mean(tmp_path: Path) -> None:
    text = SMALL + "link = { rate_sigma = 0.1 }\n" + SMALL[SMALL.index("[[group]]") :].replace("t-", "u-")
    scenario = load_scenario(written(tmp_path, text + "link = { bare = true, down_bps = 9 }\nshop = { payment_every_s = 60 }"))
    lively, bare = scenario.entries[0].profile.link, scenario.entries[-1].profile.link
    model = load_profile("lakala-4g-esign").link

    assert (lively.rate_sigma, lively.down_bps, lively.handovers_per_h) == (0.1, model.down_bps, model.handovers_per_h)
    assert (bare.down_bps, bare.up_bps, bare.rate_sigma, bare.stalls_per_h, bare.dropouts_per_h) == (9, 0, 0, 0, 0)
    assert bare.rssi_dbm == model.rssi_dbm
    assert scenario.entries[-1].options.shop.payment_every_s == (60, 60)
