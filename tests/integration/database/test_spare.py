"""A connection that is kept between transactions is never one that the server has given up."""

import time
from contextlib import closing

import pytest

from memorial_tasks.database.connection import Connection, Spare, connect, execute, one
from memorial_tasks.errors import Unavailable


def process(connection: Connection) -> int:
    found = one(connection, "SELECT pg_backend_pid() AS pid")
    assert found
    return int(found["pid"])


def used(spare: Spare, database: str) -> int:
    with spare.transaction(database) as connection:
        return process(connection)


def test_one_connection_serves_one_transaction_after_the_other(database: str) -> None:
    with closing(Spare(keep=True)) as spare:
        first = used(spare, database)
        assert used(spare, database) == first
        spare.close()
        assert used(spare, database) != first


def test_a_transaction_within_a_transaction_has_its_own(database: str) -> None:
    with closing(Spare(keep=True)) as spare:
        with spare.transaction(database) as outer, spare.transaction(database) as inner:
            assert process(outer) != process(inner)
        used(spare, database)


def test_nothing_is_kept_unless_it_is_asked_for(database: str) -> None:
    spare = Spare()
    assert used(spare, database) != used(spare, database)


def test_a_connection_that_lay_idle_for_too_long_is_not_trusted(database: str) -> None:
    with closing(Spare(keep=True, fresh=0.05)) as spare:
        first = used(spare, database)
        time.sleep(0.1)
        assert used(spare, database) != first


def test_a_connection_the_server_ended_is_not_used_again(database: str) -> None:
    with closing(Spare(keep=True)) as spare:
        first = used(spare, database)
        with closing(connect(database, role=None)) as other:
            execute(other, "SELECT pg_terminate_backend(%s, 5000)", (first,))
        assert used(spare, database) != first


def test_what_was_done_before_an_error_is_undone_and_its_connection_gone(database: str) -> None:
    def fails(spare: Spare) -> None:
        with spare.transaction(database) as connection:
            execute(connection, "INSERT INTO memorial.subject (subject_id) VALUES ('sub-undone')")
            raise ZeroDivisionError

    with closing(Spare(keep=True)) as spare:
        first = used(spare, database)
        with pytest.raises(ZeroDivisionError):
            fails(spare)
        with spare.transaction(database) as connection:
            assert process(connection) != first
            assert one(connection, "SELECT 1 AS there FROM subject WHERE subject_id = 'sub-undone'") is None


def test_a_server_that_goes_away_within_a_transaction_is_told_as_such(database: str) -> None:
    def loses(spare: Spare) -> None:
        with spare.transaction(database) as connection:
            with closing(connect(database, role=None)) as other:
                execute(other, "SELECT pg_terminate_backend(%s, 5000)", (process(connection),))
            execute(connection, "SELECT 1")

    with pytest.raises(Unavailable):
        loses(Spare(keep=True))
