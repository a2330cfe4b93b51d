"""The link gate before a bucket: a five-minute address of one object, and nothing else."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from memorial_tasks.production.deliveries import deliver, withdraw_deliveries
from memorial_tasks.production.studio import Who

pytestmark = pytest.mark.integration
WHO = Who("person", "tester")
BUCKET = "memorial-films"


@pytest.fixture
def films(bucket_films: Any) -> Any:
    return bucket_films


def test_the_right_code_leads_to_a_five_minute_address_of_this_film_once(
    films: Any, bucket_gate: Any, cloud: Any
) -> None:
    order = films.delivered()
    made = films.link(order)
    answer = bucket_gate.press(made.url, made.code)
    assert answer.status_code == 302
    address = urlsplit(answer.headers["location"])
    asked = parse_qs(address.query)
    assert asked["X-Amz-Expires"] == ["300"]
    assert "attachment" in asked["response-content-disposition"][0]
    assert order in address.path
    assert httpx.get(answer.headers["location"]).content == films.made[order]
    assert bucket_gate.press(made.url, made.code).status_code == 410
    page = bucket_gate.http.get(bucket_gate.path(films.link(order).url))
    assert f"form-action 'self' {cloud.endpoint};" in page.headers["content-security-policy"]
    fetched = films.audit(order, "film.downloaded")
    assert [entry.data["through"] for entry in fetched] == ["s3"]
    assert "X-Amz" not in bucket_gate.log.read_text()


def test_after_a_withdrawal_the_link_and_the_address_given_out_before_are_dead(films: Any, bucket_gate: Any) -> None:
    order = films.delivered()
    made = films.link(order, downloads=2)
    address = bucket_gate.press(made.url, made.code).headers["location"]
    assert httpx.get(address).status_code == 200
    films.withdraw(order)
    assert bucket_gate.press(made.url, made.code).status_code == 403
    withdraw_deliveries(films.studio, order, WHO, erase=False)
    assert httpx.get(address).status_code in {403, 404}


def test_an_object_that_is_not_the_delivered_version_is_not_handed_out(
    films: Any, bucket_gate: Any, cloud: Any
) -> None:
    order = films.delivered()
    made = films.link(order)
    digest = hashlib.sha256(films.made[order]).hexdigest()
    key = f"studio/orders/{order}/{digest[:16]}/film.mp4"
    cloud.s3.put_object(Bucket=BUCKET, Key=key, Body=b"x" * len(films.made[order]), Metadata={"sha256": digest})
    answer = bucket_gate.press(made.url, made.code)
    assert answer.status_code == 503
    assert "nothing was counted" in answer.text
    deliver(films.studio, order, WHO)
    assert httpx.get(bucket_gate.press(made.url, made.code).headers["location"]).content == films.made[order]


def test_several_people_at_once_each_get_their_own_address(films: Any, bucket_gate: Any) -> None:
    order = films.delivered()
    made = films.link(order, downloads=6)
    with ThreadPoolExecutor(6) as people:
        answers = list(people.map(lambda _: bucket_gate.press(made.url, made.code), range(7)))
    assert sorted(answer.status_code for answer in answers) == [302] * 6 + [410]
    for answer in answers:
        if answer.status_code == 302:
            assert httpx.get(answer.headers["location"]).content == films.made[order]
