"""`memorial consent withdraw` and `object`: with the same act nobody can fetch the film, whatever address they hold."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from memorial_tasks.cli import application
from memorial_tasks.errors import Unavailable
from memorial_tasks.production.night import watch_consents
from memorial_tasks.production.studio import Studio, Who
from memorial_tasks.production.withdrawals import withdraw_consent
from memorial_tasks.settings import Settings

pytestmark = pytest.mark.integration
WHO = Who("person", "tester")


def memorial(films: Any, *arguments: str) -> dict[str, Any]:
    done = CliRunner().invoke(application(), [*arguments, "--json"], env=films.environment)
    assert done.exit_code == 0, done.output
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.mark.parametrize("act", [("withdraw",), ("object", "--by", "周敏")])
def test_an_address_given_out_before_is_dead_when_the_command_answers(
    bucket_films: Any, bucket_gate: Any, act: tuple[str, ...]
) -> None:
    order = bucket_films.delivered()
    made = bucket_films.link(order, downloads=2)
    address = bucket_gate.press(made.url, made.code).headers["location"]
    assert httpx.get(address).status_code == 200
    told = memorial(bucket_films, "consent", act[0], order, *act[1:])
    assert httpx.get(address).status_code in {403, 404}
    assert told["ended"] == {"deliveries": 0, "links": 1, "objects": 3}  # the registry's row ended with the consent
    entries = bucket_films.audit(order, "film.withdrawn")
    assert [(entry.actor.kind, entry.data["objects"]) for entry in entries] == [("person", 3)]


def test_the_watch_afterwards_changes_nothing(bucket_films: Any) -> None:
    order = bucket_films.delivered()
    memorial(bucket_films, "consent", "withdraw", order)
    watched = watch_consents(bucket_films.studio, lambda run: None)
    assert order in watched.done["halt"]
    assert len(bucket_films.audit(order, "film.withdrawn")) == 1


def test_the_folder_s_copy_goes_with_the_withdrawal(films: Any) -> None:
    order = films.delivered()
    film = Path(films.row(order).film_uri)
    assert film.is_file()
    memorial(films, "consent", "withdraw", order)
    assert not film.exists()
    assert films.row(order).film_uri is None
    assert films.state(order) == "withdrawn"


def test_an_objection_that_is_settled_lets_the_film_be_delivered_again(films: Any) -> None:
    from memorial_tasks.production.deliveries import deliver

    order = films.delivered()
    memorial(films, "consent", "object", order, "--by", "周敏", "--relation", "sibling")
    assert films.row(order).film_uri is None
    memorial(films, "consent", "resolve", order, "--outcome", "retracted")
    assert films.state(order) == "submitted"
    assert Path(deliver(films.studio, order, WHO)).read_bytes() == films.made[order]


def test_a_bucket_that_is_away_does_not_keep_a_withdrawal_from_standing(bucket_films: Any) -> None:
    order = bucket_films.delivered()
    made = bucket_films.link(order)
    given = bucket_films.studio.settings.model_dump() | {"delivery_endpoint": "http://127.0.0.1:9"}
    with pytest.raises(Unavailable, match=r"consent is withdrawn and every link is closed; but .* taken back") as told:
        withdraw_consent(Studio.open(Settings(**given)), order, WHO, by="", reason="")
    assert "memorial delivery withdraw" in told.value.remedy
    assert bucket_films.state(order) == "withdrawn"
    assert [entry.data["link"] for entry in bucket_films.audit(order, "link.revoked")] == [made.link_id]
    assert memorial(bucket_films, "delivery", "withdraw", order)["objects"] == 3
    assert len(bucket_films.audit(order, "film.withdrawn")) == 1
