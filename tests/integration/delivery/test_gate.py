"""The link gate as a process of its own, over HTTP, before a folder: the family's way and everybody else's."""

import contextlib
import os
import re
import socket
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from memorial_tasks.consent.record import Signature
from memorial_tasks.delivery import codes, door, links
from memorial_tasks.delivery.keys import receipt_keys
from memorial_tasks.delivery.receipts import Receipt, verify_receipt
from memorial_tasks.delivery.registry import list_downloads
from memorial_tasks.errors import ConsentRefused
from memorial_tasks.production.deliveries import deliver, withdraw_deliveries
from memorial_tasks.production.studio import Who

pytestmark = pytest.mark.integration
WHO = Who("person", "tester")


def used(films: Any, made: Any) -> int:
    return int(films.sql("SELECT downloads_used FROM delivery_link WHERE link_id = %s", made.link_id)[0][0])


def test_a_film_is_fetched_through_its_link_once_and_leaves_a_receipt(films: Any, gate: Any) -> None:
    order = films.delivered()
    made = films.link(order)
    answer = gate.fetch(made.url, made.code)
    assert answer.status_code == 200
    assert answer.content == films.made[order]
    assert "attachment" in answer.headers["content-disposition"]
    again = gate.fetch(made.url, made.code)
    assert again.status_code == 410
    assert "as often as it can be" in again.text
    entries = films.audit(order)
    issued = next(entry for entry in entries if entry.type == "link.issued")
    fetched = next(entry for entry in entries if entry.type == "film.downloaded")
    assert fetched.refs["recipient"] == issued.refs["recipient"]
    assert fetched.actor.kind == "family"
    assert [entry.reason_code for entry in entries if entry.type == "link.refused"] == ["link.used"]
    with films.studio.transaction() as connection:
        row = list_downloads(connection, order)[0]
    receipt = Receipt(row.receipt_id, row.receipt, Signature(kid=row.kid, value=row.signature)).document()
    assert verify_receipt(receipt, receipt_keys(films.studio.settings.keyring))["number"] == 1
    assert row.completed_at is not None
    assert row.bytes_sent == len(films.made[order])


def test_a_film_is_not_fetched_after_its_withdrawal(films: Any, gate: Any) -> None:
    order = films.delivered()
    made = films.link(order)
    films.withdraw(order)  # nobody has called anything about links yet
    answer = gate.fetch(made.url, made.code)
    assert answer.status_code == 403
    assert "consent for this film has ended" in answer.text
    assert gate.http.get(gate.path(made.url)).status_code == 403
    withdraw_deliveries(films.studio, order, WHO, erase=True)
    assert gate.fetch(made.url, made.code).status_code == 403
    assert used(films, made) == 0
    assert not films.audit(order, "film.downloaded")


def test_an_objection_puts_links_on_hold_and_its_end_needs_a_new_delivery(films: Any, gate: Any) -> None:
    order = films.delivered()
    made = films.link(order)
    films.object(order)
    answer = gate.fetch(made.url, made.code)
    assert answer.status_code == 403
    assert "on hold" in answer.text
    films.settle(order)
    assert gate.fetch(made.url, made.code).status_code == 403, "what was decided since is not what was agreed to then"
    deliver(films.studio, order, WHO)
    assert gate.fetch(made.url, made.code).status_code == 410, "closed links stay closed"
    fresh = films.link(order)
    assert gate.fetch(fresh.url, fresh.code).content == films.made[order]


def test_a_renewed_consent_needs_a_new_delivery_and_new_links(films: Any, gate: Any) -> None:
    order = films.delivered()
    made = films.link(order)
    films.renew(order)
    assert gate.fetch(made.url, made.code).status_code == 403
    with pytest.raises(ConsentRefused, match="memorial order run"):
        films.link(order)
    deliver(films.studio, order, WHO)
    assert gate.fetch(made.url, made.code).status_code == 410
    fresh = films.link(order)
    assert gate.fetch(fresh.url, fresh.code).content == films.made[order]


def test_a_consent_that_runs_out_closes_the_link_by_itself(films: Any, gate: Any) -> None:
    order = films.order(lasts=3600)
    deliver(films.studio, order, WHO)
    made = films.link(order, downloads=5)
    assert gate.fetch(made.url, made.code).status_code == 200
    # Two hours later, with a link that was somehow given a day more than its consent has.
    films.sql(
        "UPDATE delivery_link SET seen_at = clock_timestamp() + interval '2 hours',"
        " expires_at = clock_timestamp() + interval '1 day' WHERE link_id = %s",
        made.link_id,
    )
    answer = gate.fetch(made.url, made.code)
    assert answer.status_code == 403
    assert "consent for this film has ended" in answer.text


def test_opening_looking_and_previewing_consume_nothing(films: Any, gate: Any) -> None:
    made = films.link(films.delivered())
    for _ in range(3):
        assert gate.http.get(gate.path(made.url)).status_code == 200
        assert gate.http.head(gate.path(made.url)).status_code == 200
        assert gate.http.get(gate.path(made.url), headers={"purpose": "prefetch"}).status_code == 200
    assert used(films, made) == 0
    assert gate.fetch(made.url, made.code).status_code == 200


def test_the_page_is_private_quiet_and_says_what_the_film_is(films: Any, gate: Any) -> None:
    order = films.delivered()
    made = films.link(order)
    answer = gate.http.get(gate.path(made.url), headers={"accept-language": "zh-CN"})
    assert "人工智能生成" in answer.text
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert "set-cookie" not in answer.headers
    assert "server" not in answer.headers
    for secret in (order, made.link_id, made.code, "陈秀英", "林晓"):
        assert secret not in answer.text


def test_wrong_codes_are_slowed_down_and_finally_close_the_link(films: Any, gate: Any) -> None:
    order = films.delivered()
    made = films.link(order)
    for number in range(len(door.WAITS)):
        answer = gate.press(made.url, "0000-0000")
        assert answer.status_code == 403
        if number == 2:
            waiting = gate.press(made.url, made.code)
            assert waiting.status_code == 429, "even the right code has to wait"
            assert 1 <= int(waiting.headers["retry-after"]) <= 15
        films.sql(
            "UPDATE delivery_link SET wait_until = NULL WHERE link_id = %s", made.link_id
        )  # as if time had passed
    closed = gate.press(made.url, made.code)
    assert closed.status_code == 403
    assert "wrong too often" in closed.text
    assert used(films, made) == 0
    refused = [entry.reason_code for entry in films.audit(order, "link.refused")]
    assert refused == ["link.wrong_code", "link.locked"], "each kind of refusal once an hour"


def test_the_right_code_forgives_the_wrong_ones_before_it(films: Any, gate: Any) -> None:
    made = films.link(films.delivered(), downloads=2)
    gate.press(made.url, "0000-0000")
    assert gate.press(made.url, made.code).status_code == 302
    assert films.sql("SELECT wrong_codes FROM delivery_link WHERE link_id = %s", made.link_id) == [(0,)]


def test_guesses_made_at_the_same_time_are_counted_one_by_one(films: Any, gate: Any) -> None:
    made = films.link(films.delivered())
    answers: list[int] = []

    def guess(number: int) -> None:
        answers.append(httpx.post(made.url, data={"code": f"0000-000{number}"}, timeout=60).status_code)

    threads = [threading.Thread(target=guess, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wrong = films.sql("SELECT wrong_codes FROM delivery_link WHERE link_id = %s", made.link_id)[0][0]
    assert wrong == answers.count(403)
    assert wrong == 3, "after the third one the others have to wait"
    assert answers.count(429) == 3


def test_of_two_people_with_a_link_for_one_exactly_one_gets_the_film(films: Any, gate: Any) -> None:
    order = films.delivered()
    made = films.link(order)
    answers: list[httpx.Response] = []

    def fetch() -> None:
        answers.append(httpx.post(made.url, data={"code": made.code}, follow_redirects=True, timeout=60))

    threads = [threading.Thread(target=fetch) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [200, 410, 410, 410, 410]
    assert next(answer for answer in answers if answer.status_code == 200).content == films.made[order]
    assert len(films.audit(order, "film.downloaded")) == 1


def test_an_expired_link_stays_expired_when_a_clock_is_set_back(films: Any, gate: Any) -> None:
    made, other = films.link(films.delivered()), films.link(films.delivered())
    films.sql("UPDATE delivery_link SET expires_at = clock_timestamp() WHERE link_id = %s", made.link_id)
    answer = gate.fetch(made.url, made.code)
    assert answer.status_code == 410
    assert "expired" in answer.text
    # The link was looked at when its time was over; then the clock went back by a day.
    films.sql("UPDATE delivery_link SET seen_at = expires_at + interval '1 second' WHERE link_id = %s", other.link_id)
    assert gate.fetch(other.url, other.code).status_code == 410


def test_a_revoked_link_is_closed_and_the_order_s_other_links_are_not(films: Any, gate: Any) -> None:
    order = films.delivered()
    made, kept = films.link(order), films.link(order)
    assert links.revoke(films.studio, made.link_id, WHO) == [made.link_id]
    assert links.revoke(films.studio, made.link_id, WHO) == []
    assert gate.fetch(made.url, made.code).status_code == 410
    assert gate.fetch(kept.url, kept.code).status_code == 200
    assert links.revoke(films.studio, order, WHO) == [kept.link_id]
    assert len(films.audit(order, "link.revoked")) == 2


def test_a_film_changed_on_the_disk_is_not_handed_out_and_not_counted(films: Any, gate: Any) -> None:
    order = films.delivered()
    made = films.link(order)
    film = Path(films.row(order).film_uri)
    film.write_bytes(b"another film")
    answer = gate.fetch(made.url, made.code)
    assert answer.status_code == 503
    assert "nothing was counted" in answer.text
    film.unlink()
    film.symlink_to("/etc/hostname")
    assert gate.fetch(made.url, made.code).status_code == 503
    assert used(films, made) == 0
    deliver(films.studio, order, WHO)
    assert gate.fetch(made.url, made.code).content == films.made[order]


def test_a_film_changed_between_the_code_and_the_download_is_not_sent(films: Any, gate: Any) -> None:
    order = films.delivered()
    made = films.link(order)
    ticket = gate.press(made.url, made.code).headers["location"]
    film = Path(films.row(order).film_uri)
    film.write_bytes(os.urandom(film.stat().st_size))
    assert gate.http.get(ticket).status_code == 503


def test_a_replaced_film_ends_the_links_to_the_old_one(films: Any, gate: Any) -> None:
    order = films.delivered()
    made = films.link(order)
    films.make(order, b"a better film" * 99, again=True)
    films.approve(order)
    deliver(films.studio, order, WHO)
    answer = gate.fetch(made.url, made.code)
    assert answer.status_code == 410
    assert "was replaced" in answer.text
    fresh = films.link(order)
    assert gate.fetch(fresh.url, fresh.code).content == films.made[order]


def test_whatever_is_no_link_gets_the_same_words(films: Any, gate: Any) -> None:
    made = films.link(films.delivered())
    token = made.url.rpartition("/")[2]
    answers = [
        gate.http.get(path)
        for path in (
            f"/film/{codes.new_token()}", f"/film/{token[:-1]}", f"/film/{token}x", "/film/..%2f..%2fetc%2fpasswd",
            "/film/%00", "/film/<script>alert(1)</script>", "/film/", "/", "/orders", f"/take/{codes.new_token()}",
            f"/film/{token}/film.mp4", "/docs", "/openapi.json",
        )
    ]  # fmt: skip
    assert {answer.status_code for answer in answers} == {404, 410}
    known = {answer.text for answer in answers if answer.status_code == 404}
    assert len(known) == 1, "an address that never was tells no more than one that is"
    assert all("<script>alert" not in answer.text for answer in answers)
    assert gate.press("/film/" + codes.new_token(), "0000-0000").status_code == 404
    assert gate.http.put(gate.path(made.url)).status_code in {404, 405}


def test_a_form_that_is_not_ours_is_refused_without_counting(films: Any, gate: Any) -> None:
    made = films.link(films.delivered())
    path = gate.path(made.url)
    form = {"content-type": "application/x-www-form-urlencoded"}
    for headers, body in (
        ({"content-type": "application/json"}, b'{"code": "0000-0000"}'),
        (form, b"code=1&code=2"),
        (form, b"x" * 5000),
        (form, b"code=%ff%fe"),
        (form, b""),
    ):
        assert gate.http.post(path, content=body, headers=headers).status_code == 400
    assert films.sql("SELECT wrong_codes FROM delivery_link WHERE link_id = %s", made.link_id) == [(0,)]


def test_another_host_name_is_not_served_and_never_repeated(films: Any, gate: Any) -> None:
    made = films.link(films.delivered())
    for host in ("evil.example", "127.0.0.1.evil.example", "evil.example:80", "127.0.0.1@evil.example"):
        answer = gate.http.post(gate.path(made.url), data={"code": made.code}, headers={"host": host})
        assert answer.status_code == 421
        assert "evil" not in answer.text
    answer = gate.press(made.url, made.code, headers={"x-forwarded-host": "evil.example"})
    assert answer.status_code == 302
    assert answer.headers["location"].startswith("/take/")


def test_a_broken_download_is_taken_up_again_and_ranges_cannot_be_abused(films: Any, gate: Any) -> None:
    film = os.urandom(5_000_000)
    order = films.delivered(film=film)
    made = films.link(order)
    ticket = gate.press(made.url, made.code).headers["location"]
    head = gate.http.head(ticket)
    assert (head.headers["content-length"], head.headers["accept-ranges"]) == ("5000000", "bytes")
    first = gate.http.get(ticket, headers={"range": "bytes=0-1999999"})
    assert (first.status_code, first.headers["content-range"]) == (206, "bytes 0-1999999/5000000")
    for wrong in ("bytes=0-1,5-9", "bytes=5000000-", "bytes=" + ",".join(["0-"] * 2000)):
        assert gate.http.get(ticket, headers={"range": wrong}).status_code == 416
    rest = gate.http.get(ticket, headers={"range": "bytes=2000000-", "if-range": head.headers["etag"]})
    assert first.content + rest.content == film
    assert gate.http.get(ticket).status_code == 410, "the ticket was for one film"


def test_a_ticket_gives_out_little_more_than_one_film_however_it_is_asked(films: Any, gate: Any) -> None:
    film = os.urandom(9_000_000)
    order = films.delivered(film=film)
    made = films.link(order)
    ticket = gate.press(made.url, made.code).headers["location"]
    sent, statuses = 0, []
    while (not statuses or statuses[-1] == 206) and len(statuses) < 20:
        with gate.http.stream("GET", ticket, headers={"range": "bytes=0-8999998"}) as answer:  # never the last byte
            statuses.append(answer.status_code)
            with contextlib.suppress(httpx.RemoteProtocolError):
                sent += sum(len(piece) for piece in answer.iter_bytes()) if answer.status_code == 206 else 0
    assert statuses[-1] == 410
    assert sent <= len(film) * 1.1 + door._SPARE


def test_a_withdrawal_stops_a_download_that_is_running(films: Any, gate: Any) -> None:
    film = os.urandom(60_000_000)
    order = films.delivered(film=film)
    made = films.link(order)
    ticket = gate.press(made.url, made.code).headers["location"]
    got = 0
    with pytest.raises(httpx.RemoteProtocolError), gate.http.stream("GET", ticket) as answer:  # noqa: PT012
        for piece in answer.iter_bytes(1 << 20):
            if got == 0:
                films.withdraw(order)
            got += len(piece)
    assert 0 < got < len(film)
    assert gate.http.get(ticket).status_code == 410


def test_a_slow_reader_keeps_nobody_waiting(films: Any, gate: Any) -> None:
    order, other = films.delivered(film=os.urandom(30_000_000)), films.delivered()
    made, quick = films.link(order), films.link(other)
    ticket = gate.press(made.url, made.code).headers["location"]
    port = int(gate.url.rpartition(":")[2])
    slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
    try:
        slow[0].sendall(f"GET {ticket} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode())
        assert slow[0].recv(1000)  # and never reads again
        for one in slow[1:]:
            one.sendall(b"POST /film/" + b"a" * 43 + b" HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 900\r\n")
        assert gate.fetch(quick.url, quick.code).content == films.made[other]
    finally:
        for one in slow:
            one.close()


def test_the_log_and_the_audit_name_nobody_and_hold_no_key_to_anything(films: Any, gate: Any) -> None:
    order = films.delivered()
    made = films.link(order)
    gate.press(made.url, "ABCD-2345")
    answer = gate.fetch(made.url, made.code)
    assert answer.status_code == 200
    token, log = made.url.rpartition("/")[2], gate.log.read_text()
    assert re.search(r"POST film 302 \d+ ms", log)
    trail = " ".join(entry.model_dump_json() for entry in films.audit(order))
    stored = str(films.sql("SELECT * FROM delivery_link")) + str(films.sql("SELECT * FROM delivery_download"))
    for secret in (token, made.code, made.code.replace("-", ""), "127.0.0.1", "陈秀英", "林晓"):
        assert secret not in log
        assert secret not in trail
        assert secret not in stored
    assert made.link_id in trail
    assert made.link_id not in log
