"""From the order file to the decision: what stops an order at the door, what a second person can clear, and what stays.

The inspection itself (decoding in a child process) is tested in its own room and once here; elsewhere its answer is
given, because the dates are what matters and looking at faces takes seconds.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from memorial_tasks.domain.words import Modality
from memorial_tasks.errors import ConsentRefused, InputRefused, Problem
from memorial_tasks.production import intake
from memorial_tasks.production.consents import approve_papers, require_consent
from memorial_tasks.production.studio import Who, now
from memorial_tasks.settings import Settings

pytestmark = pytest.mark.integration
DIED, LATER = "2019-11-20", date(2021, 5, 6)
WHO = Who("person", "ann")
STATED = {"dated_later": [{"file": "photos/a.jpg", "reason": "a print, photographed by the daughter"}]}
KIN, DEATH = "papers/kinship.pdf", "papers/death.pdf"
MOTHER = {"name": "M", "relation": "mother", "evidence": [KIN, DEATH]}


@pytest.fixture
def hand_in(house: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Submits an order of a daughter; `dates` is what the inspection reads out of the material."""
    house.at = now()
    folder = tmp_path / "order"
    for name in (KIN, DEATH, "papers/guardian.pdf", "papers/letter.pdf", "photos/a.jpg", "voice/a.wav"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())

    def submit(dates: dict[str, date] | None = None, **changes: Any) -> str:
        monkeypatch.setattr(intake, "inspect_material", lambda *_: intake.Inspection([], [], dates or {}))
        document = {
            "order": "order-1",
            "subject": {"name": "S", "born": "1931-04-02", "died": DIED},
            "grantors": [{"name": "G", "relation": "daughter", "evidence": [KIN, DEATH]}],
            "purpose": "family_private",
            "language": "en-US",
            "script": [{"text": "I am well."}],
            "materials": {"photos": "photos", "voice": "voice"},
        }
        (folder / "order.yaml").write_text(yaml.safe_dump(document | changes))
        return intake.submit(house.studio, folder / "order.yaml", WHO)

    return submit


def refused(hand_in: Callable[..., str], *arguments: Any, **changes: Any) -> list[Problem]:
    """The problems of a submission that is refused."""
    with pytest.raises(InputRefused) as caught:
        hand_in(*arguments, **changes)
    return list(caught.value.problems)


def against(house: Any) -> list[str]:
    return [reason.code for reason in house.decide().against]


def test_a_photo_dated_after_the_death_stops_the_order_and_nothing_is_stored(house: Any, hand_in: Any) -> None:
    (problem,) = refused(hand_in, {"photos/a.jpg": LATER})
    assert (problem.code, problem.field, problem.file) == ("consent.house.capture", "materials", "photos/a.jpg")
    assert "no living person is remade" in problem.what
    assert "date of death" in problem.remedy
    assert "consent.dated_later" in problem.remedy
    assert house.count("orders") == house.count("subject") == 0
    assert not list((house.studio.settings.keyring / "subjects").glob("*.key"))


def test_a_later_picture_of_an_old_print_is_cleared_by_two_persons_and_audited(house: Any, hand_in: Any) -> None:
    hand_in({"photos/a.jpg": LATER}, consent=STATED)
    assert against(house) == ["house.capture_seen"]
    with pytest.raises(ConsentRefused):
        house.permit()
    with pytest.raises(ConsentRefused, match="capture_seen"):
        require_consent(house.studio, "order-1", WHO)
    assert house.audit()[-1].reason_code == "house.capture_seen"
    with pytest.raises(ConsentRefused):
        approve_papers(house.studio, "order-1", "Ann")
    approve_papers(house.studio, "order-1", "ben")
    assert house.decide().granted
    require_consent(house.studio, "order-1", WHO)
    assert [entry.actor.id for entry in house.audit() if entry.type == "evidence.approved"] == ["ben"]


def test_the_date_is_seen_again_at_every_later_permit(house: Any, hand_in: Any) -> None:
    """It is part of the signed record, not of a check that only intake makes: a renewed consent asks anew."""
    from memorial_tasks.consent import acts

    hand_in({"photos/a.jpg": LATER}, consent=STATED)
    approve_papers(house.studio, "order-1", "ben")
    assert house.permit()
    house.at = now()
    with house.tx() as connection:
        consent = acts.renew(connection, "order-1", house.studio.keys, house.sealer, operator="ann", now=house.at)
    assert consent.record.dated_later[0].captured == LATER
    assert against(house) == ["house.capture_seen"]
    with pytest.raises(ConsentRefused):
        house.permit(modalities=[Modality.FACE])


def test_a_corrected_date_of_death_lets_the_order_in(house: Any, hand_in: Any) -> None:
    assert hand_in({"photos/a.jpg": LATER}, subject={"name": "S", "born": "1931-04-02", "died": "2021-05-06"})
    assert house.decide().granted


def test_the_camera_s_own_date_reaches_the_decision(house: Any, tmp_path: Path, assets: Path) -> None:
    """The whole way, with the real inspection of a real file."""
    folder = tmp_path / "order"
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2021:05:06 10:11:12"
    for name in ("papers/kinship.pdf", "papers/death.pdf", "photos/a.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    Image.new("RGB", (300, 300), (120, 110, 100)).save(folder / "photos" / "a.jpg", exif=exif)
    document = {
        "order": "order-1",
        "subject": {"name": "S", "born": "1931-04-02", "died": DIED},
        "grantors": [{"name": "G", "relation": "daughter", "evidence": [KIN, DEATH]}],
        "purpose": "family_private",
        "language": "en-US",
        "script": [{"text": "I am well."}],
        "materials": {"photos": "photos"},
    }
    (folder / "order.yaml").write_text(yaml.safe_dump(document))
    studio = replace(house.studio, settings=Settings(**house.studio.settings.model_dump() | {"assets": assets}))
    inspected = intake.inspect_material(
        intake.read_order(folder / "order.yaml")[1] or pytest.fail("unreadable"), folder, studio.settings.assets_dir
    )
    assert inspected.captured == {"photos/a.jpg": LATER}


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("house.third_parties", {"consent": {"third_parties": [{"name": "T"}]}}),
        ("house.third_party_minors", {"consent": {"third_parties": [{"name": "T", "minor": True}]}}),
        (
            "house.third_party_minors",
            {"consent": {"third_parties": [{"name": "T", "minor": True, "evidence": ["papers/letter.pdf"]}]}},
        ),
        (
            "house.minor_subject",
            {"subject": {"name": "S", "born": "2010-01-01", "died": DIED}, "grantors": [MOTHER]},
        ),
        ("house.grantor_adult", {"grantors": [{**MOTHER, "relation": "daughter", "adult": False}]}),
        (
            "house.lifetime_refusal",
            {
                "subject": {
                    "name": "S",
                    "born": "1931-04-02",
                    "died": DIED,
                    "lifetime_arrangement": {"kind": "forbids"},
                }
            },
        ),
        ("house.evidence_death", {"grantors": [{"name": "G", "relation": "daughter", "evidence": [KIN]}]}),
        ("cn.rank", {"grantors": [{"name": "G", "relation": "sibling", "evidence": [KIN, DEATH]}]}),
    ],
)
def test_minors_the_living_and_the_deceased_s_own_no_stop_the_order_at_the_door(
    house: Any, hand_in: Any, code: str, changes: dict[str, Any]
) -> None:
    problems = refused(hand_in, **changes)
    assert f"consent.{code}" in {problem.code for problem in problems}
    assert all(problem.remedy for problem in problems)
    assert house.count("orders") == 0


def test_living_people_whose_consent_is_shown_do_not_stop_it(house: Any, hand_in: Any) -> None:
    third = [
        {"name": "T", "evidence": ["papers/letter.pdf"]},
        {"name": "U", "minor": True, "evidence": [{"file": "papers/letter.pdf", "kind": "guardian"}]},
    ]
    hand_in(consent={"third_parties": third})
    assert house.decide().granted


def test_the_kind_an_order_states_counts_whatever_the_file_is_called(house: Any, hand_in: Any) -> None:
    papers = [{"file": "papers/letter.pdf", "kind": "kinship"}, {"file": "papers/guardian.pdf", "kind": "death"}]
    hand_in(grantors=[{"name": "G", "relation": "daughter", "evidence": papers}])
    assert house.decide().granted
    unnamed = [{"name": "G", "relation": "daughter", "evidence": ["papers/letter.pdf", DEATH]}]
    problems = refused(hand_in, order="order-2", grantors=unnamed)
    assert "evidence.kind" in {problem.code for problem in problems}
