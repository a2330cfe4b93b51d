"""The direction of a script: proposals with reasons, marks that win, manners that differ."""

import pytest

from memorial_tasks.domain.order import ScriptLine
from memorial_tasks.domain.words import Emotion, Language
from memorial_tasks.errors import InputRefused
from memorial_tasks.performance.direct import MANNERS, direct_script, edited_plan, plan_from_yaml, plan_to_yaml
from memorial_tasks.performance.emotion import lexicon, propose

ZH, EN = Language.ZH_CN, Language.EN_US
LABELLED = [
    (ZH, "谢谢你们这些年一直照顾我。", Emotion.GRATEFUL),
    (ZH, "感谢老伴儿陪着我走过这一生。", Emotion.GRATEFUL),
    (ZH, "孩子们，奶奶想你们了。", Emotion.WARM),
    (ZH, "天冷了，多穿衣服，照顾好自己。", Emotion.WARM),
    (ZH, "看到你们笑，我真高兴！", Emotion.HAPPY),
    (ZH, "祝大家新年快乐，热热闹闹！", Emotion.HAPPY),
    (ZH, "那时候吃了很多苦，流了很多眼泪。", Emotion.SAD),
    (ZH, "对不起，我没能看到你结婚，这是我的遗憾。", Emotion.SAD),
    (ZH, "别难过，我很平静，一切都放下了。", Emotion.CALM),
    (ZH, "不用担心我，慢慢来，不着急。", Emotion.CALM),
    (ZH, "你考上大学那天，我为你骄傲。", Emotion.PROUD),
    (ZH, "你真争气，是个有出息的孩子。", Emotion.PROUD),
    (ZH, "这张照片是在河边拍的。", Emotion.NEUTRAL),
    (EN, "Thank you all for taking the time to come.", Emotion.GRATEFUL),
    (EN, "I am grateful for everything you did.", Emotion.GRATEFUL),
    (EN, "I love you and I miss you, my dear.", Emotion.WARM),
    (EN, "Take care of yourselves, and hug the children.", Emotion.WARM),
    (EN, "We laughed so much, it was a wonderful day!", Emotion.HAPPY),
    (EN, "Happy birthday, and smile for me!", Emotion.HAPPY),
    (EN, "It was a time of sorrow and tears.", Emotion.SAD),
    (EN, "I am sorry that I had to say goodbye.", Emotion.SAD),
    (EN, "Do not cry, I am at peace now.", Emotion.CALM),
    (EN, "Take your time, there is no hurry.", Emotion.CALM),
    (EN, "I am so proud of you, well done.", Emotion.PROUD),
    (EN, "You worked hard and you never gave up.", Emotion.PROUD),
    (EN, "The house stood beside the road.", Emotion.NEUTRAL),
]


def test_the_lexicon_finds_at_least_nine_of_ten_hand_labelled_lines():
    right = sum(propose(text, language).emotion is emotion for language, text, emotion in LABELLED)
    assert right / len(LABELLED) >= 0.9


@pytest.mark.parametrize("language", [ZH, EN])
def test_every_emotion_but_neutral_has_words_in_both_languages(language):
    found = {emotion for emotion, _ in lexicon(language).values()}
    assert found == set(Emotion) - {Emotion.NEUTRAL}
    assert len(lexicon(language)) >= 130


def test_a_negated_feeling_is_not_that_feeling():
    assert propose("我不高兴。", ZH).emotion is not Emotion.HAPPY
    assert propose("I am not happy about it.", EN).emotion is not Emotion.HAPPY
    assert propose("I am not sad any more.", EN).emotion is not Emotion.SAD


def test_a_negation_does_not_reach_over_a_comma():
    assert propose("不，我高兴。", ZH).emotion is Emotion.HAPPY


def test_more_feeling_gives_more_intensity():
    weak, strong = propose("I am glad.", EN), propose("I am really glad, so happy, what joy!", EN)
    assert strong.intensity > weak.intensity


def test_words_are_found_only_whole():
    assert propose("The lovelorn gladiator reproduced wars.", EN).emotion is Emotion.NEUTRAL


def test_a_mark_wins_over_the_words():
    plan = direct_script([ScriptLine(text="I am so happy!", emotion=Emotion.SAD, intensity=0.9)], EN)
    assert (plan.lines[0].emotion, plan.lines[0].intensity) == (Emotion.SAD, 0.9)
    assert plan.lines[0].reasons == ("marked in the script",)


def test_marked_pace_and_pause_are_kept_exactly():
    line = direct_script([ScriptLine(text="难过", emotion=Emotion.SAD, pace=1.2, pause=2.0)], ZH).lines[0]
    assert (line.pace, line.pause) == (1.2, 2.0)


def test_a_proposal_says_why():
    line = direct_script([ScriptLine(text="谢谢你们")], ZH).lines[0]
    assert line.emotion is Emotion.GRATEFUL
    assert any("谢谢" in reason for reason in line.reasons)


def test_a_feeling_carries_on_and_fades_over_lines_without_emotional_words():
    plan = direct_script([ScriptLine(text=text) for text in ("I love you.", "The road.", "The road.", "The road.")], EN)
    assert [line.emotion for line in plan.lines[:2]] == [Emotion.WARM, Emotion.WARM]
    assert plan.lines[0].intensity > plan.lines[1].intensity > plan.lines[2].intensity


def test_seven_emotions_give_seven_manners_in_the_expected_directions():
    plan = direct_script([ScriptLine(text="x", emotion=emotion, intensity=1) for emotion in Emotion], EN)
    by = {line.emotion: line for line in plan.lines}
    assert len({(line.pitch_shift, line.pitch_range, line.energy, line.pace, line.pause) for line in plan.lines}) == 7
    assert by[Emotion.HAPPY].pitch_shift > 0 > by[Emotion.SAD].pitch_shift
    assert by[Emotion.HAPPY].pace > by[Emotion.NEUTRAL].pace > by[Emotion.CALM].pace > by[Emotion.SAD].pace
    assert by[Emotion.SAD].energy < by[Emotion.CALM].energy < by[Emotion.PROUD].energy


def test_intensity_scales_the_manner():
    weak, strong = (
        direct_script([ScriptLine(text="x", emotion=Emotion.HAPPY, intensity=value)], EN).lines[0] for value in (0.2, 1)
    )
    assert strong.pitch_shift == pytest.approx(5 * weak.pitch_shift)
    assert strong.energy == pytest.approx(MANNERS[Emotion.HAPPY].energy)


def test_an_empty_script_is_refused():
    with pytest.raises(InputRefused, match="no line"):
        direct_script([], EN)


def test_a_plan_survives_its_trip_through_yaml_and_an_edit():
    plan = direct_script([ScriptLine(text="谢谢你们"), ScriptLine(text="好好过")], ZH)
    text = plan_to_yaml(plan)
    assert "谢谢你们" in text
    assert plan_from_yaml(text) == plan
    edited = plan_from_yaml(text.replace("emotion: grateful", "emotion: proud"))
    assert edited.lines[0].emotion is Emotion.PROUD


@pytest.mark.parametrize(("old", "new"), [("emotion: grateful", "emotion: angry"), ("index: 0", "index: 4")])
def test_a_broken_edit_is_refused_by_field(old, new):
    text = plan_to_yaml(direct_script([ScriptLine(text="谢谢你们")], ZH)).replace(old, new)
    with pytest.raises(InputRefused):
        plan_from_yaml(text)


def test_an_edited_plan_may_change_how_but_not_what_is_said():
    before = direct_script([ScriptLine(text="Thank you."), ScriptLine(text="Sleep well.")], "en-US")
    page = plan_to_yaml(before)
    with pytest.raises(InputRefused, match="not those of the script"):
        edited_plan(page.replace("Sleep well.", "Send money."), before)
    with pytest.raises(InputRefused) as refused:
        edited_plan(page.replace("intensity: 0.6", "intensity: 7").replace("gaze: camera", "gaze: inward"), before)
    fields = [problem.field for problem in refused.value.problems]
    assert "lines.0.intensity" in fields
    assert edited_plan(page, before) == before


def test_interludes_lengthen_the_pause_and_are_named_by_their_material():
    mark = {"interlude": "garden.jpg", "seconds": 4}
    lines = [ScriptLine(text="One.", interludes=[mark]), ScriptLine(text="Two.")]
    plan = direct_script(lines, "en-US", {"garden.jpg": "interlude-0001"})
    plain = direct_script([ScriptLine(text="One."), ScriptLine(text="Two.")], "en-US")
    assert plan.lines[0].pause == pytest.approx(plain.lines[0].pause + 4)
    assert [(one.after, one.name, one.seconds) for one in plan.interludes] == [(0, "interlude-0001", 4)]
