"""The house rules: true everywhere, whatever the law of the place adds. Each names what it rests on."""

from datetime import timedelta

from memorial_tasks.consent.record import PARENTS, RecordedCapture
from memorial_tasks.consent.rules.base import Case, Rule, Words
from memorial_tasks.consent.rules.conditions import agreed, each_grantor_has, has_evidence, named_in_lifetime
from memorial_tasks.domain.words import Modality, Purpose

NOTICE_PERIOD = timedelta(hours=72)
LONGEST_VALIDITY = timedelta(days=3660)
LONGEST_THERAPY = timedelta(days=370)
CLOCK_TOLERANCE = timedelta(minutes=5)
CLOCK_GRACE = timedelta(days=1)  # a camera's clock knows no time zone


def _current(case: Case) -> bool:
    return case.record.version == case.standing.version and all(
        event.order_id == case.record.order_id and event.consent_id == case.record.consent_id for event in case.events
    )


def _clock(case: Case) -> bool | None:
    latest = case.standing.latest
    return None if latest is None else case.now >= latest - CLOCK_TOLERANCE


def _lifetime_refusal(case: Case) -> bool | None:
    return False if case.record.subject.arrangement.kind == "forbids" else None


def _lifetime_scope(case: Case) -> bool | None:
    arrangement = case.record.subject.arrangement
    if arrangement.kind != "permits" or not arrangement.purposes:
        return None
    return case.purpose in arrangement.purposes


def _lifetime_person(case: Case) -> bool | None:
    return named_in_lifetime(case) if case.record.subject.arrangement.kind == "names_person" else None


def _given(case: Case) -> bool:
    return case.standing.given_at is not None


def _not_refused(case: Case) -> bool:
    return not case.standing.refusing


def _not_ended(case: Case) -> bool:
    return case.standing.ending is None


def _not_erased(case: Case) -> bool:
    return not (case.standing.erased or case.standing.erasure_scheduled)


def _begun(case: Case) -> bool:
    return case.now >= case.record.valid_from - CLOCK_TOLERANCE


def _not_expired(case: Case) -> bool:
    noticed = any(e.type == "expired" and e.version == case.record.version for e in case.events)
    until = case.standing.valid_until
    return not noticed and case.now < case.record.valid_until and (until is None or case.now < until)


def _finite(case: Case) -> bool:
    return case.record.valid_from < case.record.valid_until <= case.record.valid_from + LONGEST_VALIDITY


def _no_objection(case: Case) -> bool:
    """An objection is an event; a relative whom the record calls objecting counts even if the event is missing."""
    heard = {event.actor for event in case.events if event.type == "objected"}
    unheard = any(party.position == "objected" and party.party_id not in heard for party in case.record.co_kin)
    return not case.standing.open_objections and not unheard


def _nothing_upheld(case: Case) -> bool:
    return not case.standing.upheld


def _purpose(case: Case) -> bool:
    return case.purpose in case.record.scope.purposes


def _face(case: Case) -> bool | None:
    return case.record.items.face if Modality.FACE in case.modalities else None


def _voice(case: Case) -> bool | None:
    return case.record.items.voice if Modality.VOICE in case.modalities else None


def _script(case: Case) -> bool | None:
    given = case.facts.script_sha256
    return None if given is None else given == case.record.script_sha256 and case.record.items.script


def _material(case: Case) -> bool | None:
    given = case.facts.material_sha256
    return None if given is None else given <= set(case.record.material_sha256)


def _channel(case: Case) -> bool | None:
    return None if case.facts.channel is None else case.facts.channel in case.record.scope.channels


def _kinship(case: Case) -> bool:
    """Whom the deceased named while alive need not be a relative."""
    return named_in_lifetime(case) or each_grantor_has(case, "kinship", "notary")


def _identity(case: Case) -> bool | None:
    return None if case.purpose is Purpose.FAMILY_PRIVATE else each_grantor_has(case, "identity", "notary")


def _approved(case: Case) -> bool:
    return len(case.standing.approvers) >= case.approvals_needed


def _adult(case: Case) -> bool:
    return all(party.adult for party in case.record.grantors)


def _minor_subject(case: Case) -> bool | None:
    if not case.record.subject.minor_at_death:
        return None
    parents = sum(party.relation in PARENTS for party in case.record.grantors)
    parents += sum(party.relation in PARENTS and agreed(case, party) for party in case.record.co_kin)
    alone = parents == 1 and has_evidence(case, "rank") and not any(p.relation in PARENTS for p in case.record.co_kin)
    guardian = any(has_evidence(case, "guardian", of=party.party_id) for party in case.record.grantors)
    return parents >= 2 or alone or (parents == 0 and guardian)


def _died(case: Case) -> bool:
    # One day of grace, because "today" is not the same day everywhere.
    return case.record.subject.died <= case.now.date() + timedelta(days=1)


def _dated_later(case: Case) -> list[RecordedCapture]:
    return [one for one in case.record.dated_later if one.captured > case.record.subject.died + CLOCK_GRACE]


def _capture(case: Case) -> bool:
    return all(one.reason for one in _dated_later(case))


def _capture_seen(case: Case) -> bool | None:
    return len(case.standing.approvers) >= 2 if _dated_later(case) else None


def _third_parties(case: Case) -> bool:
    return all(party.evidence for party in case.record.third_parties if not party.minor)


def _third_party_minors(case: Case) -> bool:
    minors = [party for party in case.record.third_parties if party.minor]
    return all(has_evidence(case, "guardian", of=party.party_id) for party in minors)


def _therapy(case: Case) -> bool | None:
    if case.purpose is not Purpose.THERAPY:
        return None
    scope = case.record.scope
    short = case.record.valid_until - case.record.valid_from <= LONGEST_THERAPY
    return bool(scope.practitioner and scope.stop) and short


def _notice_period(case: Case) -> bool | None:
    """Other first-rank relatives are told, and have 72 hours; two who agree make the waiting unnecessary."""
    silent = [party for party in case.record.co_kin if party.rank == 1 and not agreed(case, party)]
    if case.purpose is Purpose.FAMILY_PRIVATE or not silent:
        return None
    consenting = len(case.record.grantors) + sum(agreed(case, party) for party in case.record.co_kin)
    return consenting >= 3 or case.now >= case.record.created_at + NOTICE_PERIOD


RULES: tuple[Rule, ...] = (
    Rule(
        "house.lifetime_refusal",
        "CN PIPL Art. 49; CN Civil Code Art. 1019, 1023; HU, FR, IT, ES rules on lifetime instructions",
        _lifetime_refusal,
        Words(
            zh="逝者生前明确拒绝。逝者本人的意愿高于任何亲属的同意。",
            en="The person who died refused this while alive. Their own will stands above everybody's consent.",
        ),
        Words(zh="无法补救：请尊重逝者的意愿。", en="There is none: the will of the person who died is respected."),
    ),
    Rule(
        "house.lifetime_scope",
        "CN PIPL Art. 49; house rule: a permission is not stretched",
        _lifetime_scope,
        Words(
            zh="逝者生前的授权只涵盖其他用途，不包括本订单的用途。",
            en="The person who died permitted other purposes while alive, but not this one.",
        ),
        Words(zh="请改用逝者允许的用途。", en="Choose one of the purposes the person permitted."),
        Words(zh="逝者生前的授权涵盖本用途。", en="The person who died permitted this purpose while alive."),
    ),
    Rule(
        "house.lifetime_person",
        "CN PIPL Art. 49; HU and FR rules on a person named by the deceased",
        _lifetime_person,
        Words(
            zh="逝者生前指定了由谁决定，而签署人不是该人，或缺少指定文件。",
            en="The person who died named who shall decide, and that person has not signed, or the paper is missing.",
        ),
        Words(
            zh="请由被指定人签署并提交指定文件。", en="Let the named person sign, and add the paper that names them."
        ),
        Words(zh="签署人由逝者生前指定。", en="The grantor was named by the person who died."),
    ),
    Rule(
        "house.given",
        "CN Civil Code Art. 1019; ISO/IEC TS 27560 event state",
        _given,
        Words(zh="尚无有效的同意签署。", en="Nobody has given consent to this version of the record."),
        Words(zh="请由亲属签署同意书。", en="Let the grantor sign the consent."),
        Words(zh="签署人已表示同意。", en="The grantor has given consent."),
    ),
    Rule(
        "house.not_refused",
        "house rule: one grantor's no is a no",
        _not_refused,
        Words(zh="签署人中有人拒绝。", en="One of the grantors has refused."),
        Words(zh="请等签署人改变决定后重新提交。", en="Only that grantor can change it, by giving consent anew."),
    ),
    Rule(
        "house.not_ended",
        "CN PIPL Art. 15; GDPR Art. 7(3) by analogy",
        _not_ended,
        Words(zh="同意已被撤回、撤销或宣告无效。", en="The consent was withdrawn, revoked or declared invalid."),
        Words(
            zh="旧的同意不能恢复；签署人可重新签署：memorial consent renew ORDER。",
            en="The old consent cannot be revived; the same grantors can sign anew: `memorial consent renew ORDER`.",
        ),
    ),
    Rule(
        "house.not_erased",
        "CN PIPL Art. 47; NIST SP 800-88r2",
        _not_erased,
        Words(zh="资料已删除，或已定下删除日期。", en="Everything is erased, or the day for it is set."),
        Words(
            zh="在该日期之前签署人可重新签署；之后只能以新的订单重新开始。",
            en="Before that day the same grantors can sign anew; after it only a new order helps.",
        ),
    ),
    Rule(
        "house.current_version",
        "house rule: only the newest signed version counts",
        _current,
        Words(zh="所依据的同意记录不是最新版本。", en="This is not the newest version of the consent record."),
        Words(zh="请使用最新版本。", en="Use the newest version."),
    ),
    Rule(
        "house.clock",
        "house rule: time does not run backwards",
        _clock,
        Words(
            zh="系统时间早于已记录的事件：时钟可能被调回。",
            en="The clock shows a time before events already recorded: it may have been set back.",
        ),
        Words(zh="请校准时钟。", en="Set the clock right, then ask again."),
    ),
    Rule(
        "house.begun",
        "ISO/IEC TS 27560 validity",
        _begun,
        Words(zh="同意尚未生效。", en="The consent is not valid yet."),
        Words(zh="请等到生效日。", en="Wait until the day it begins."),
    ),
    Rule(
        "house.not_expired",
        "CN PIPL Art. 19; ISO/IEC TS 27560 validity duration",
        _not_expired,
        Words(zh="同意已过期。", en="The consent has expired."),
        Words(zh="请签署新的同意书。", en="Let the grantor sign a new version."),
        Words(zh="同意在有效期内。", en="The consent is within its time."),
    ),
    Rule(
        "house.finite",
        "CN PIPL Art. 19; house rule: a consent always ends",
        _finite,
        Words(zh="同意期限无效或超过十年。", en="The consent's time is not between now and ten years."),
        Words(zh="请设定不超过十年的期限。", en="Choose an end within ten years."),
    ),
    Rule(
        "house.objection",
        "CN Civil Code Art. 994; SK Act 18/2018 s. 78(7); house rule: an objection freezes, it never deletes",
        _no_objection,
        Words(
            zh="有近亲属或权利人提出异议，尚未处理。所有工作暂停，资料不删除。",
            en="Somebody close objected and nobody has decided yet. Everything is paused; nothing is deleted.",
        ),
        Words(zh="由负责人处理：memorial consent resolve ORDER。", en="Decide with `memorial consent resolve ORDER`."),
        freezes=True,
    ),
    Rule(
        "house.objection_upheld",
        "CN Civil Code Art. 994",
        _nothing_upheld,
        Words(zh="异议成立。", en="An objection was found justified."),
        Words(zh="本订单不能继续。", en="This order cannot go on."),
    ),
    Rule(
        "house.purpose",
        "CN PIPL Art. 6, 14; ISO/IEC TS 27560 purpose",
        _purpose,
        Words(zh="同意不包括此用途。", en="The consent does not name this purpose."),
        Words(zh="请为此用途另行取得同意。", en="Ask for consent to this purpose."),
        Words(zh="同意包括此用途。", en="The consent names this purpose."),
    ),
    Rule(
        "house.face_item",
        "CN Civil Code Art. 1019; CN Deep Synthesis Provisions Art. 14",
        _face,
        Words(zh="没有对使用肖像的单独同意。", en="There is no consent to remaking the face."),
        Words(zh="请勾选并签署肖像一项。", en="Let the grantor tick and sign the item `face`."),
        Words(zh="对肖像有单独同意。", en="The face has a consent item of its own."),
    ),
    Rule(
        "house.voice_item",
        "CN Civil Code Art. 1023; CN Deep Synthesis Provisions Art. 14",
        _voice,
        Words(zh="没有对使用声音的单独同意。", en="There is no consent to remaking the voice."),
        Words(zh="请勾选并签署声音一项。", en="Let the grantor tick and sign the item `voice`."),
        Words(zh="对声音有单独同意。", en="The voice has a consent item of its own."),
    ),
    Rule(
        "house.script",
        "house rule: words are consented to, not only a face",
        _script,
        Words(zh="文稿与签署时不同。", en="The script is not the one that was consented to."),
        Words(zh="请让签署人确认新文稿。", en="Let the grantor approve the new script."),
        Words(zh="文稿与签署时一致。", en="The script is the one that was consented to."),
    ),
    Rule(
        "house.material",
        "house rule: material is listed in the consent",
        _material,
        Words(zh="有素材不在同意范围内。", en="There is material the consent does not list."),
        Words(zh="请让签署人确认新增素材。", en="Let the grantor sign for the added material."),
    ),
    Rule(
        "house.channel",
        "house rule: the channel is bound to the scope",
        _channel,
        Words(zh="同意不包括此发布渠道。", en="The consent does not allow this channel."),
        Words(zh="请使用同意书列出的渠道。", en="Deliver through a channel the consent names."),
    ),
    Rule(
        "house.evidence_death",
        "CN Civil Code Art. 994; house rule: no living person is remade",
        lambda case: has_evidence(case, "death"),
        Words(zh="缺少死亡证明。", en="There is no proof of the death."),
        Words(
            zh="请提交死亡证明（文件名含 death 或 死亡，或写明 kind: death）。",
            en="Add the death certificate (a file with `death` in its name, or given as `kind: death`).",
        ),
        Words(zh="已提交死亡证明。", en="The death is proved."),
    ),
    Rule(
        "house.evidence_kinship",
        "CN Civil Code Art. 994",
        _kinship,
        Words(zh="有签署人缺少亲属关系证明。", en="A grantor has not proved how they are related."),
        Words(
            zh="请为每位签署人提交亲属关系证明（文件名含 kinship 或 亲属，或写明 kind: kinship）。",
            en="Add a proof of kinship for each grantor (`kinship` in the file's name, or `kind: kinship`).",
        ),
        Words(zh="亲属关系已证明。", en="The kinship is proved."),
    ),
    Rule(
        "house.evidence_identity",
        "house rule: wider than the family, identity is checked",
        _identity,
        Words(zh="缺少签署人身份证明。", en="The grantor's identity is not proved."),
        Words(
            zh="请提交身份证明（文件名含 identity 或 身份，或写明 kind: identity）。",
            en="Add a proof of identity (`identity` in the file's name, or `kind: identity`).",
        ),
    ),
    Rule(
        "house.evidence_approved",
        "house rule: two persons look at the papers",
        _approved,
        Words(zh="核验材料的人数不足。", en="Not enough different persons have approved the papers."),
        Words(
            zh="请另一位人员核验：memorial consent grant ORDER --approver NAME。",
            en="Let another person look: `memorial consent grant ORDER --approver NAME`.",
        ),
        Words(zh="证明材料已核验。", en="The papers were checked by as many persons as this purpose needs."),
    ),
    Rule(
        "house.grantor_adult",
        "CN Civil Code Art. 18; CN PIPL Art. 31",
        _adult,
        Words(zh="签署人未成年。", en="A grantor is not an adult."),
        Words(zh="须由成年亲属签署。", en="An adult relative must sign."),
    ),
    Rule(
        "house.minor_subject",
        "CN PIPL Art. 28, 31; CN Civil Code Art. 27",
        _minor_subject,
        Words(
            zh="逝者为未成年人，须父母双方（或监护人）同意。",
            en="The person who died was a minor: both parents, or the guardian, must consent.",
        ),
        Words(zh="请由父母双方签署，或提交证明。", en="Let both parents sign, or prove that only one is left."),
        Words(zh="父母双方（或监护人）已同意。", en="Both parents, or the guardian, consent."),
    ),
    Rule(
        "house.died",
        "house rule: no living person is remade",
        _died,
        Words(zh="死亡日期在未来。", en="The date of death lies in the future."),
        Words(zh="请更正死亡日期。", en="Correct the date of death."),
    ),
    Rule(
        "house.capture",
        "house rule: no living person is remade",
        _capture,
        Words(
            zh="有照片或视频自带的日期晚于死亡日期：逝者可能仍在世，或画面中是别人。",
            en="A photo or video is dated after the death: the person may be alive, or it shows somebody else.",
        ),
        Words(
            zh="请更正死亡日期；若该文件是旧照片的翻拍、扫描件或相机时间有误，请在 consent.dated_later 中写明"
            "文件与原因；否则请移除。",
            en="Correct the date of death; or, if the file is a later picture or scan of an older one or the camera's "
            "clock was wrong, say so under `consent.dated_later` with `file` and `reason`; or remove it.",
        ),
    ),
    Rule(
        "house.capture_seen",
        "house rule: no living person is remade; two persons look at what is dated after the death",
        _capture_seen,
        Words(
            zh="有素材自带的日期晚于死亡日期，家属已说明原因，但只有一人看过。",
            en="Some material carries a date after the death. The family says why; only one person has looked at it.",
        ),
        Words(
            zh="请另一位人员查看素材与说明后核验：memorial consent grant ORDER --approver NAME。",
            en="Let another person look at the material and at what is said about it, then: "
            "`memorial consent grant ORDER --approver NAME`.",
        ),
        Words(
            zh="晚于死亡日期的素材已由两人看过并接受家属的说明。",
            en="Two persons looked at the material dated after the death and accept what the family says about it.",
        ),
    ),
    Rule(
        "house.third_parties",
        "CN Civil Code Art. 1019; GDPR Art. 6",
        _third_parties,
        Words(zh="素材中有在世的人，未见其同意。", en="Living people are in the material and have not consented."),
        Words(zh="请取得其同意，或遮挡、移除。", en="Add their consent, or crop them out."),
    ),
    Rule(
        "house.third_party_minors",
        "CN PIPL Art. 31; GDPR Art. 8",
        _third_party_minors,
        Words(
            zh="素材中有未成年人，未见监护人同意。",
            en="A living minor is in the material without a guardian's consent.",
        ),
        Words(
            zh="请遮挡，或提交监护人同意（文件名含 guardian 或 监护，或写明 kind: guardian）。",
            en="Crop the child out, or add the guardian's consent (`guardian` in its name, or `kind: guardian`).",
        ),
    ),
    Rule(
        "house.therapy",
        "Hollanek and Nowaczyk-Basinska 2024; house rule",
        _therapy,
        Words(
            zh="治疗用途须有执业者编号、停止方式，且不超过一年。",
            en="Therapy needs a practitioner, a way to stop, and an end within a year.",
        ),
        Words(zh="请补充 practitioner、stop 与期限。", en="Add `practitioner`, `stop` and at most 12 `months`."),
        Words(zh="有执业者、停止方式与期限。", en="A practitioner, a way to stop and an end are named."),
    ),
    Rule(
        "house.notice_period",
        "house rule: 72 hours for relatives of equal rank",
        _notice_period,
        Words(
            zh="其他第一顺位亲属的 72 小时异议期尚未结束。",
            en="Relatives of first rank were told less than 72 hours ago and have not answered.",
        ),
        Words(zh="请等待，或取得其同意。", en="Wait for the 72 hours, or for their agreement."),
    ),
)
