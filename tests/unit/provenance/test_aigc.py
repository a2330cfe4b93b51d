import json

import pytest

from memorial_tasks.errors import InputRefused
from memorial_tasks.provenance import aigc, boxes

CODE = "0011" + "91310000MA1FL0XX0X" + "1" + "0001"


def test_first_label_has_the_seven_fields_in_order():
    text = aigc.first_label(CODE, "MS-1").as_json()
    assert text == (
        f'{{"Label":"1","ContentProducer":"{CODE}","ProduceID":"MS-1","ReservedCode1":"",'
        f'"ContentPropagator":"{CODE}","PropagateID":"MS-1","ReservedCode2":""}}'
    )


@pytest.mark.parametrize("content_id", ["", "a b", 'a"b', "a\\b", "影片", "a\n"])
def test_characters_that_annex_e_forbids_are_refused(content_id):
    with pytest.raises(InputRefused):
        aigc.first_label(CODE, content_id)


@pytest.mark.parametrize("code", ["", "0011", CODE[:-1], CODE + "0", "0012" + CODE[4:], CODE[:22] + "3" + CODE[23:]])
def test_a_code_that_is_no_provider_code_is_refused(code):
    with pytest.raises(InputRefused) as error:
        aigc.first_label(code, "MS-1")
    assert {problem.field for problem in error.value.problems} == {"ContentProducer", "ContentPropagator"}


def test_written_where_the_standard_wants_it_and_read_back(tiny_mp4):
    text = aigc.first_label(CODE, "MS-1").as_json()
    path = tiny_mp4(AIGC=text)
    assert next((where, key) for where, key, _ in boxes.keyed_metadata(path)) == ("moov/udta/meta", "AIGC")
    reading = aigc.read(path)
    assert reading.count == 1
    assert reading.problems == ()
    assert reading.label == aigc.first_label(CODE, "MS-1")


def test_without_the_muxer_flag_nothing_is_written_and_that_is_noticed(tiny_mp4):
    assert aigc.read(tiny_mp4(flags="+faststart", AIGC=aigc.first_label(CODE, "MS-1").as_json())).count == 0


def test_the_wrapped_form_is_read_too(tiny_mp4):
    inner = json.loads(aigc.first_label(CODE, "MS-1").as_json())
    assert aigc.read(tiny_mp4(AIGC=json.dumps({"AIGC": inner}))).problems == ()


def test_two_labels_are_one_too_many(tiny_mp4):
    text = aigc.first_label(CODE, "MS-1").as_json()
    reading = aigc.read(tiny_mp4(AIGC=text, XAIGC=text))
    assert reading.count == 2
    assert any("2 AIGC labels" in problem for problem in reading.problems)


@pytest.mark.parametrize("text", ["", "1", "[]", "{}", "not json", '{"Label":1}', "[" * 5000])
def test_a_broken_value_is_a_problem_not_a_crash(tiny_mp4, text):
    reading = aigc.read(tiny_mp4(AIGC=text))
    assert reading.problems


def test_extra_missing_or_reordered_fields_are_problems():
    fields = json.loads(aigc.first_label(CODE, "MS-1").as_json())
    assert not aigc.problems(fields)
    assert aigc.problems({**fields, "Extra": ""})
    assert aigc.problems(dict(reversed(fields.items())))
    assert aigc.problems({**fields, "Label": "4"})
    assert aigc.problems({**fields, "ReservedCode1": 7})


def test_lengths_that_lie_end_the_reading(tmp_path):
    path = tmp_path / "lie.mp4"
    path.write_bytes(b"\0\0\0\x10ftypisom\0\0\0\0" + b"\xff\xff\xff\xffmoov" + b"\0\0\0\x02udta" + b"\0" * 64)
    assert [box.path for box in boxes.boxes(path)] == ["ftyp"]
    path.write_bytes(b"\0\0\0\x10ftypisom\0\0\0\0" + b"\0\0\0\x08moov" * 4000)
    assert len(boxes.boxes(path)) == 4001
