"""The registry's functions, and what the application's role may not do."""

from datetime import UTC, datetime

import psycopg2
import pytest

from memorial_tasks.database import registry
from memorial_tasks.database.connection import APP, AUDITOR, SEQUENCER, execute, one, transaction
from memorial_tasks.database.registry import MaterialRow, NewOrder
from memorial_tasks.domain.job import ArtifactRef, Result
from memorial_tasks.domain.words import MaterialKind, OrderState, Purpose
from memorial_tasks.errors import InputRefused, Unavailable

pytestmark = pytest.mark.integration
A, B = "a" * 64, "b" * 64


def new_order(order_id: str = "demo-1", **changes: object) -> NewOrder:
    return NewOrder(
        **{
            "order_id": order_id,
            "subject_id": "sub-1",
            "purpose": Purpose.FAMILY_PRIVATE,
            "language": "zh-CN",
            "jurisdictions": ("CN",),
            "sealed_document": b"\0sealed\xff",
            "document_sha256": A,
            "script_sha256": B,
            "deliver": {"size": "1080p"},
            **changes,
        }
    )


def result(key: str = "k1") -> Result:
    at = datetime(2026, 11, 21, tzinfo=UTC)
    return Result(
        step="ingest", order="demo-1", result_key=key, code_version="c1",
        outputs=(ArtifactRef(name="photos/0001.png", uri="vault://x", sha256=A, size=10),),
        metrics={"photos": 3}, started_at=at, finished_at=at, wall_s=1.5, cpu_s=1.0, peak_memory_mb=100.0,
    )  # fmt: skip


def test_an_order_comes_back_as_it_was_stored(database: str) -> None:
    with transaction(database) as connection:
        registry.create_order(connection, new_order())
        found = registry.get_order(connection, "demo-1")
    assert found is not None
    assert (found.state, found.purpose, found.jurisdictions) == (OrderState.SUBMITTED, Purpose.FAMILY_PRIVATE, ("CN",))
    assert found.sealed_document == b"\0sealed\xff"
    assert found.deliver == {"size": "1080p"}
    assert "sealed" not in repr(found)


def test_an_id_is_never_given_twice(database: str) -> None:
    with transaction(database) as connection:
        registry.create_order(connection, new_order())
    with pytest.raises(InputRefused, match="already used"), transaction(database) as connection:
        registry.create_order(connection, new_order(subject_id="sub-2"))
    with transaction(database) as connection:
        assert one(connection, "SELECT count(*) AS n FROM subject") == {"n": 1}


@pytest.mark.parametrize("order_id", ["../x", "UPPER", "ab", "x" * 65, "a b", "a\n"])
def test_the_database_itself_refuses_unsafe_ids(database: str, order_id: str) -> None:
    with pytest.raises(psycopg2.errors.CheckViolation), transaction(database) as connection:
        registry.create_order(connection, new_order(order_id))


def test_a_state_moves_only_from_where_it_may(database: str) -> None:
    with transaction(database) as connection:
        registry.create_order(connection, new_order())
        assert registry.set_state(connection, "demo-1", OrderState.RUNNING, allowed_from=[OrderState.SUBMITTED])
        assert not registry.set_state(connection, "demo-1", OrderState.RUNNING, allowed_from=[OrderState.SUBMITTED])
        assert registry.set_state(
            connection, "demo-1", OrderState.BLOCKED, allowed_from=[OrderState.RUNNING], reason_code="quality.few"
        )
        found = registry.get_order(connection, "demo-1")
    assert found is not None
    assert (found.state, found.reason_code) == (OrderState.BLOCKED, "quality.few")


def test_orders_are_listed_by_priority_then_promise(database: str) -> None:
    with transaction(database) as connection:
        for order_id, priority in (("low", 0), ("high", 5), ("middle", 3)):
            registry.create_order(connection, new_order(order_id, priority=priority))
        listed = [order.order_id for order in registry.list_orders(connection)]
        assert registry.list_orders(connection, states=[OrderState.ERASED]) == []
    assert listed == ["high", "middle", "low"]


def test_a_step_is_done_once_and_found_by_its_key(database: str) -> None:
    with transaction(database) as connection:
        registry.create_order(connection, new_order())
        begin = {"code_version": "c1", "params": {"language": "zh-CN"}, "inputs": []}
        assert registry.start_step(connection, "demo-1", "ingest", "k1", **begin).attempts == 1
        registry.fail_step(connection, "demo-1", "ingest", "k1", "killed")
        assert registry.latest_step(connection, "demo-1", "ingest") is None
        again = registry.start_step(connection, "demo-1", "ingest", "k1", **begin)
        assert (again.attempts, again.state) == (2, "running")
        assert registry.finish_step(connection, result())
        assert not registry.finish_step(connection, result())
        done = registry.start_step(connection, "demo-1", "ingest", "k1", **begin)
        assert (done.state, done.attempts) == ("done", 2)
        assert done.outputs[0].name == "photos/0001.png"
        assert registry.latest_step(connection, "demo-1", "ingest") == done
        assert len(registry.list_steps(connection, "demo-1")) == 1


def test_the_first_decision_and_the_first_delivery_stand(database: str) -> None:
    with transaction(database) as connection:
        registry.create_order(connection, new_order())
        say = {"subject_matter": "film", "reviewer": "op", "digest": A}
        assert registry.record_review(connection, "demo-1", "r1", decision="approved", **say)
        assert not registry.record_review(connection, "demo-1", "r1", decision="rejected", **say)
        assert registry.approvers(connection, "demo-1", "film", A) == ["op"]
        assert registry.approvers(connection, "demo-1", "film", B) == []
        assert registry.approvers(connection, "demo-1", "voice", A) == []
        assert registry.record_delivery(connection, "demo-1", "d1", film_sha256=A, target="family")
        assert not registry.record_delivery(connection, "demo-1", "d2", film_sha256=A, target="family")
        assert registry.revoke_deliveries(connection, "demo-1") == 1
        assert registry.revoke_deliveries(connection, "demo-1") == 0


def test_erasing_drops_what_was_sealed(database: str) -> None:
    with transaction(database) as connection:
        registry.create_order(connection, new_order())
        registry.add_material(
            connection,
            MaterialRow("demo-1", "m1", MaterialKind.PHOTO, "vault://m1", A, 10, "image/jpeg", b"sealed name"),
        )
        assert registry.mark_erased(connection, "sub-1") == 1
        found = registry.get_order(connection, "demo-1")
        assert found is not None
        assert (found.state, found.sealed_document) == (OrderState.ERASED, None)
        assert registry.list_materials(connection, "demo-1")[0].sealed_name is None


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        (APP, "DELETE FROM orders"),
        (APP, "TRUNCATE memorial.key_release"),
        (APP, "UPDATE review SET decision = 'approved'"),
        (APP, "CREATE TABLE memorial.mine (n int)"),
        (APP, "DROP TABLE orders"),
        (APP, "SELECT * FROM audit.event"),
        (APP, "INSERT INTO audit.event (recorded_at, body) VALUES ('2020-01-01', 'xx')"),
        (APP, "INSERT INTO audit.leaf VALUES (0, 1, decode(repeat('00', 32), 'hex'))"),
        (SEQUENCER, "SELECT * FROM orders"),
        (SEQUENCER, "UPDATE audit.leaf SET seq = 1"),
        (SEQUENCER, "DELETE FROM audit.checkpoint"),
        (AUDITOR, "INSERT INTO audit.event (body) VALUES ('xx')"),
        (AUDITOR, "UPDATE orders SET state = 'delivered'"),
    ],
)
def test_what_each_role_may_not_do(database: str, role: str, statement: str) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege), transaction(database, role=role) as connection:
        execute(connection, statement)


def test_a_failed_block_leaves_nothing(database: str) -> None:
    def half_an_act() -> None:
        with transaction(database) as connection:
            registry.create_order(connection, new_order())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half_an_act()
    with transaction(database) as connection:
        assert not registry.order_exists(connection, "demo-1")


def test_a_dead_server_is_named_unavailable() -> None:
    with pytest.raises(Unavailable, match="does not answer"), transaction("postgresql://x@/x?host=/nowhere"):
        pass
