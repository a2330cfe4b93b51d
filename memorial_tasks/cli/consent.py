"""`memorial consent`: who agreed to what, why an order may or may not go on, and how to say stop."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from memorial_tasks.cli.common import Json, OrderArgument, answers, emit, out

if TYPE_CHECKING:
    from memorial_tasks.consent.registry import Consent
    from memorial_tasks.consent.rules import Decision
    from memorial_tasks.production.studio import Studio

app = typer.Typer(no_args_is_help=True, help="Consent: show, grant, object, decide, withdraw, export.")

ReasonOption = Annotated[str, typer.Option(help="Why, in a few words; kept sealed under the subject's key.")]
LanguageOption = Annotated[str, typer.Option("--language", help="zh or en: the language of the explanation.")]

_HEADLINE = {
    "granted": ("可以进行", "YES: this order may go on."),
    "refused": ("不可以进行", "NO: this order may not go on."),
    "frozen": ("已暂停", "PAUSED: somebody objected; a person has to decide."),
}
_SIDES = {
    "against": ("反对的理由", "What stands against it"),
    "for": ("支持的理由", "What speaks for it"),
    "note": ("说明", "Note"),
}
_EVENTS = {
    "requested": ("订单已录入", "the order was entered"),
    "evidence_entered": ("录入者已看过证明材料", "the papers were seen by the person who entered the order"),
    "evidence_approved": ("另一位人员已看过证明材料", "the papers were seen by another person"),
    "given": ("签署人表示同意", "a grantor gave consent"),
    "refused": ("签署人拒绝", "a grantor refused"),
    "notified": ("已告知另一位亲属", "another relative was told"),
    "agreed": ("另一位亲属同意", "another relative agreed"),
    "objected": ("有人提出异议", "somebody objected"),
    "resolved": ("异议已处理", "an objection was decided"),
    "withdrawn": ("签署人撤回同意", "a grantor withdrew consent"),
    "revoked": ("同意被撤销", "the consent was revoked"),
    "invalidated": ("法院或主管机关宣告同意无效", "a court or an authority declared the consent invalid"),
    "expired": ("同意到期", "the consent expired"),
    "erasure_scheduled": ("已安排删除全部资料", "the erasure of everything was scheduled"),
    "erased": ("全部资料已删除", "everything was erased"),
}
_ENDED = (
    "不再制作，也不再展示。素材与模型将于 {due} 销毁。若并非本意，签署人可在此之前重新签署："
    "memorial consent renew {order}。",
    "Nothing is made or shown any more. Material and models are destroyed on {due}. If it was meant otherwise, the "
    "same grantors can sign anew before that day: `memorial consent renew {order}`.",
)
_NEXT = {
    "granted": (
        "每一步开始前都会再次核对。家属随时可以撤回：memorial consent withdraw {order}。",
        "Every step asks again before it begins. The family can take consent back at any time: "
        "`memorial consent withdraw {order}`.",
    ),
    "frozen": (
        "现在不会删除任何资料，也不会继续。由人听取双方意见后处理：memorial consent resolve {order}。",
        "Nothing is deleted and nothing goes on. A person hears both sides, then decides: "
        "`memorial consent resolve {order}`.",
    ),
    "refused": (
        "资料没有删除。解决上面列出的问题后，可以再次询问。",
        "Nothing is deleted. When what stands against it is mended, ask again.",
    ),
    "erased": (
        "全部资料已销毁，剩下的只是证明。需要时请以新的订单开始。",
        "Everything was destroyed; what is left only proves it. Whatever comes next needs a new order.",
    ),
}
_LABELS = {
    "order": ("订单", "order"),
    "given by": ("签署人", "given by"),
    "for": ("用途", "for"),
    "covers": ("包括", "covers"),
    "from, until": ("期限", "from, until"),
    "rules of": ("适用规则", "rules of"),
    "dated later": ("晚于死亡日期的素材", "dated after the death"),
}
_RANKS = {
    0: ("权利人", "stands outside the ranks of kin"),
    1: ("第一顺位", "first rank"),
    2: ("第二顺位", "second rank"),
}
_CITED = (
    "括号内为依据；工作室规则在各地都适用，并注明其来源的法律条文。",
    "In brackets: what each reason rests on. The house's own rules hold everywhere and name the law they come from.",
)


def _decide(studio: "Studio", order: str, purpose: str = "") -> "tuple[Decision, Consent]":
    from memorial_tasks.consent.registry import decide_order
    from memorial_tasks.consent.sealing import KeyringSealer
    from memorial_tasks.domain.words import Purpose
    from memorial_tasks.errors import InputRefused, Problem
    from memorial_tasks.production.consents import facts_of
    from memorial_tasks.production.studio import now

    try:
        wanted = Purpose(purpose) if purpose else None
    except ValueError:
        names = ", ".join(one.value for one in Purpose)
        raise InputRefused(
            [Problem("consent.purpose", "there is no such purpose", f"one of {names}", "purpose")]
        ) from None
    with studio.transaction() as connection:
        row = studio.order(connection, order)
        return decide_order(
            connection,
            order,
            studio.keys.trusted,
            KeyringSealer(studio.keyring),
            now=now(),
            purpose=wanted or row.purpose,
            facts=facts_of(studio, row),
        )


def _document(decision: "Decision", consent: "Consent") -> dict[str, Any]:
    from memorial_tasks.consent.events import DPV_STATUS, standing
    from memorial_tasks.production.studio import now

    state = standing(consent.events, now())
    return {
        "order": consent.order_id,
        "decision": decision.decision,
        "reasons": [reason.model_dump(mode="json") for reason in decision.reasons],
        "state": state.state.value,
        "dpv_status": DPV_STATUS[state.state],
        "consent_id": consent.consent_id,
        "record_version": consent.version,
        "consent_version": consent.fence,
        "purposes": [purpose.value for purpose in consent.record.scope.purposes] if consent.record else [],
        "valid_until": state.valid_until.isoformat() if state.valid_until else None,
        "approvers": list(state.approvers),
        "open_objections": [{"id": one.event_id, "at": one.at.isoformat()} for one in state.open_objections],
        "events": [
            {"seq": event.seq, "type": event.type.value, "at": event.at.isoformat(), "by": event.actor_kind}
            for event in consent.events
        ],
    }


Said = dict[str, dict[str, Any]]


def _said(studio: "Studio", consent: "Consent") -> Said:
    """What was said in words with each event: for the person who has to decide, so never in the JSON document."""
    from memorial_tasks.consent.registry import read_detail
    from memorial_tasks.consent.sealing import KeyringSealer

    with studio.transaction() as connection:
        found = {
            event.event_id: read_detail(
                connection, consent.order_id, event.event_id, KeyringSealer(studio.keyring), studio.keys.trusted
            )
            for event in consent.events
            if event.detail_sha256
        }
    return {event: {k: v for k, v in words.items() if v} for event, words in found.items() if words}


def _summary(consent: "Consent", pick: int) -> Table:
    """Who consented to what, in a few lines."""
    table = Table.grid(padding=(0, 2))
    record = consent.record
    if record is None:
        return table
    rows = [
        ("order", f"{consent.order_id} ({('版本', 'consent record version')[pick]} {consent.version})"),
        ("given by", ", ".join(f"{party.relation} ({_RANKS[party.rank][pick]})" for party in record.grantors)),
        ("for", f"{', '.join(purpose.value for purpose in record.scope.purposes)}: {record.scope.audience}"),
        ("covers", ", ".join(one for one in ("face", "voice", "script", "music") if getattr(record.items, one))),
        ("from, until", f"{record.valid_from:%Y-%m-%d} - {record.valid_until:%Y-%m-%d}"),
        ("rules of", ", ".join(dict.fromkeys((*record.jurisdictions, record.subject.domicile)))),
        *(("dated later", f"{one.captured}: {one.reason}") for one in record.dated_later),
    ]
    for name, text in rows:
        table.add_row(f"[dim]{_LABELS[name][pick]}[/dim]", escape(text))
    return table


def _what_next(decision: "Decision", consent: "Consent", pick: int) -> str:
    """What happens now, by itself or by somebody's act."""
    from memorial_tasks.consent.events import ENDING, EventType, State, standing
    from memorial_tasks.production.studio import now

    state = standing(consent.events, now())
    words = _NEXT[decision.decision]
    due = ""
    if state.state is State.ERASED:
        words = _NEXT["erased"]
    elif state.erasure_scheduled or state.state in {State.EXPIRED, *(State(type.value) for type in ENDING)}:
        words = _ENDED
        planned = [event.valid_from for event in consent.events if event.type is EventType.ERASURE_SCHEDULED]
        due = (
            f"{planned[-1]:%Y-%m-%d}"
            if planned and planned[-1]
            else ("宽限期结束时", "the day the watch has set")[pick]
        )
    return words[pick].format(order=consent.order_id, due=due)


def _explain(decision: "Decision", consent: "Consent", language: str, said: Said | None = None) -> None:
    """The decision for a person who has never seen the code: the answer, what it is about, every reason with what it
    rests on and what could change it, what happens next, and how it came about."""
    pick = 0 if language.startswith("zh") else 1
    style = {"granted": "bold green", "refused": "bold red", "frozen": "bold yellow"}[decision.decision]
    out.print(_HEADLINE[decision.decision][pick], style=style)
    out.print(_summary(consent, pick))
    for side, titles in _SIDES.items():
        reasons = [reason for reason in decision.reasons if reason.for_or_against == side]
        if reasons:
            out.print(f"\n{titles[pick]}", style="bold")
        for reason in reasons:
            text = (reason.text.zh, reason.text.en)[pick]
            out.print(
                f"  - {escape(text)} [dim]({escape(reason.article)}; {escape(reason.code)})[/dim]", soft_wrap=True
            )
            if reason.remedy is not None:
                remedy = (reason.remedy.zh, reason.remedy.en)[pick].replace(" ORDER", f" {consent.order_id}")
                out.print(f"    -> {escape(remedy)}", soft_wrap=True)
    out.print("\n" + ("接下来", "What happens next")[pick], style="bold")
    out.print(f"  {escape(_what_next(decision, consent, pick))}", soft_wrap=True)
    out.print("\n" + ("经过（协调世界时）", "What happened (times in UTC)")[pick], style="bold")
    for event in consent.events:
        extra = f": {event.outcome}" if event.outcome else ""
        mark = f" [dim]({event.event_id[:8]})[/dim]" if event.type == "objected" else ""
        line = f"  {event.seq:>3}  {event.at:%Y-%m-%d %H:%M}  {_EVENTS[event.type.value][pick]}{extra}{mark}"
        out.print(line, soft_wrap=True)
        for name, words in (said or {}).get(event.event_id, {}).items():
            out.print(f"         {_SAID.get(name, name)}: {escape(str(words))}", soft_wrap=True)
    out.print(f"\n{_CITED[pick]}", style="dim", soft_wrap=True)


_SAID = {"taken_by": "taken down by"}


def _answer(studio: "Studio", order: str, as_json: bool, language: str = "en", purpose: str = "") -> None:
    decision, consent = _decide(studio, order, purpose)
    if as_json:
        emit(_document(decision, consent))
    else:
        _explain(decision, consent, language, _said(studio, consent))
    if not decision.granted:
        raise typer.Exit(1)


@app.command()
@answers
def show(
    order: OrderArgument,
    purpose: Annotated[str, typer.Option(help="Ask about another purpose than the order's own.")] = "",
    language: LanguageOption = "en",
    as_json: Json = False,
) -> None:
    """May this order go on, and why? Every reason with its article and what could change it."""
    from memorial_tasks.production.studio import Studio

    _answer(Studio.open(), order, as_json, language, purpose)


@app.command()
@answers
def grant(
    order: OrderArgument,
    approver: Annotated[str, typer.Option(help="Who looked at the papers; not the person who entered the order.")],
    as_json: Json = False,
) -> None:
    """Confirm as a second person that the papers were seen and are what they claim to be."""
    from memorial_tasks.production.consents import approve_papers
    from memorial_tasks.production.studio import Studio

    studio = Studio.open()
    approve_papers(studio, order, approver)
    _answer(studio, order, as_json)


@app.command("object")
@answers
def object_(
    order: OrderArgument,
    by: Annotated[str, typer.Option(help="Who objects; kept sealed.")],
    relation: Annotated[str, typer.Option(help="How they are related: spouse, son, sibling, right_holder ...")] = "",
    reason: ReasonOption = "",
    as_json: Json = False,
) -> None:
    """Take down an objection. The order stops at once; nothing is deleted; a person decides with `resolve`."""
    from memorial_tasks.domain.words import Relation
    from memorial_tasks.errors import InputRefused, Problem
    from memorial_tasks.production.studio import Studio, command_actor
    from memorial_tasks.production.withdrawals import take_objection

    try:
        related = Relation(relation) if relation else None
    except ValueError:
        names = ", ".join(one.value for one in Relation)
        raise InputRefused(
            [Problem("consent.relation", "there is no such relation", f"one of {names}", "relation")]
        ) from None
    studio = Studio.open()
    who = command_actor(studio.settings)
    done = take_objection(studio, order, who, name=by, relation=related, reason=reason)
    objection = done.event.event_id
    if as_json:
        emit({"order": order, "objection": objection, "decision": "frozen", "ended": done.ended})
    else:
        out.print(
            f"{order} is paused; no link opens, and nothing that was made is destroyed. Objection {objection[:8]}: a "
            f"person decides it with `memorial consent resolve {order} --outcome ...`.",
            soft_wrap=True,
        )


@app.command()
@answers
def resolve(
    order: OrderArgument,
    outcome: Annotated[str, typer.Option(help="retracted, dismissed, upheld or court (decided for the order).")],
    objection: Annotated[
        str, typer.Option(help="Which one (its id or the first characters), if several are open.")
    ] = "",
    reason: ReasonOption = "",
    as_json: Json = False,
) -> None:
    """Decide an objection. `upheld` ends the order; after the others the rules are asked again."""
    from memorial_tasks.errors import InputRefused, Problem
    from memorial_tasks.production.studio import Studio, command_actor
    from memorial_tasks.production.withdrawals import decide_objection

    if outcome not in {"retracted", "dismissed", "upheld", "court"}:
        raise InputRefused(
            [Problem("consent.outcome", "there is no such outcome", "retracted, dismissed, upheld or court", "outcome")]
        )
    studio = Studio.open()
    who = command_actor(studio.settings)
    decide_objection(studio, order, who, outcome=outcome, objection=objection, reason=reason)  # type: ignore[arg-type]
    _answer(studio, order, as_json)


@app.command()
@answers
def withdraw(
    order: OrderArgument,
    by: Annotated[str, typer.Option(help="The grantor's name; or right-holder, court, studio.")] = "",
    reason: ReasonOption = "",
    as_json: Json = False,
) -> None:
    """Take consent back. Effective now: no key is given out any more, nobody can fetch the film, the run stops, erasure
    is scheduled."""
    from memorial_tasks.consent.acts import ERASURE_GRACE
    from memorial_tasks.production.studio import Studio, command_actor
    from memorial_tasks.production.withdrawals import withdraw_consent

    studio = Studio.open()
    done = withdraw_consent(studio, order, command_actor(studio.settings), by=by, reason=reason)
    due = done.event.at + ERASURE_GRACE
    if as_json:
        state = done.event.type.value
        emit({"order": order, "state": state, "erasure_due": due.isoformat(), "ended": done.ended})
    else:
        out.print(
            f"{order}: consent is withdrawn. Nothing is made or shown any more. Material and models are destroyed on "
            f"{due:%Y-%m-%d}; `memorial erase {order}` does it now. A copy already downloaded cannot be recalled.",
            soft_wrap=True,
        )


@app.command()
@answers
def renew(
    order: OrderArgument,
    months: Annotated[int, typer.Option(min=1, max=120, help="How long the new version is valid.")] = 12,
    script: Annotated[bool, typer.Option("--script", help="They also signed the script as it stands now.")] = False,
    as_json: Json = False,
) -> None:
    """Enter that the same grantors signed anew: more time, another script, or a withdrawal that was meant otherwise."""
    from datetime import timedelta

    from memorial_tasks.consent import acts
    from memorial_tasks.consent.sealing import KeyringSealer
    from memorial_tasks.production.studio import Studio, now

    studio, at = Studio.open(), now()
    with studio.transaction() as connection:
        row = studio.order(connection, order)
        acts.renew(
            connection,
            order,
            studio.keys,
            KeyringSealer(studio.keyring),
            operator=studio.settings.operator,
            now=at,
            script_sha256=row.script_sha256 if script else None,
            valid_until=at + timedelta(days=round(months * 30.4375)),
        )
    _answer(studio, order, as_json)


@app.command()
@answers
def export(
    order: OrderArgument,
    form: Annotated[str, typer.Option("--format", help="receipt (for the family) or dpv (no names).")] = "receipt",
    target: Annotated[Path | None, typer.Option("--out", help="File to write; default: standard output.")] = None,
    as_json: Json = False,
) -> None:
    """The consent for other people's systems: a signed receipt, or DPV JSON-LD."""
    import json

    from memorial_tasks.consent.export import dpv_document, receipt
    from memorial_tasks.consent.registry import current
    from memorial_tasks.consent.sealing import KeyringSealer
    from memorial_tasks.errors import ConsentRefused, InputRefused, Problem
    from memorial_tasks.production.studio import Studio, now

    if form not in {"receipt", "dpv"}:
        raise InputRefused([Problem("consent.format", "there is no such format", "receipt or dpv", "format")])
    studio = Studio.open()
    with studio.transaction() as connection:
        studio.order(connection, order)
        consent = current(connection, order, studio.keys.trusted, KeyringSealer(studio.keyring))
    if consent.record is None:
        raise ConsentRefused(
            "the subject was erased: only the skeleton is left", where=order, remedy="see `memorial audit export`"
        )
    if form == "receipt":
        document = receipt(consent.record, consent.events, studio.keys.registrar, now())
    else:
        document = dpv_document(consent.record, consent.events, now())
    if target is None:
        emit(document)
        return
    target.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    emit({"order": order, "format": form, "file": str(target)}) if as_json else out.print(f"written: {target}")


@answers
def erase(
    subject: Annotated[str, typer.Argument(help="The subject's id (sub-...), or the id of one of their orders.")] = "",
    after_restore: Annotated[
        bool,
        typer.Option("--after-restore", help="Make every earlier erasure true again, after a backup was restored."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask: it cannot be undone.")] = False,
    reason: Annotated[str, typer.Option(help="A word for the receipt: requested, withdrawn, expired.")] = "requested",
    as_json: Json = False,
) -> None:
    """Destroy the subject's key and delete everything made of their material. Not to be undone; gives a receipt."""
    from memorial_tasks.consent.erasing import erase_everything, reapply_receipts
    from memorial_tasks.errors import InputRefused, Problem
    from memorial_tasks.production.studio import Studio

    studio = Studio.open()
    if after_restore:
        back = reapply_receipts(studio)
        emit({"erased_again": back}) if as_json else out.print(
            f"{len(back)} subject(s) had come back and are erased again"
        )
        return
    if not subject:
        raise InputRefused(
            [Problem("erase.subject", "no subject is named", "give SUBJECT, or --after-restore", "subject")]
        )
    if not yes and (as_json or not typer.confirm(f"Erase {subject} for ever?", err=True)):
        raise InputRefused([Problem("erase.not_confirmed", "nothing was erased", "confirm with --yes", "yes")])
    document, path = erase_everything(studio, subject, reason=reason)
    if as_json:
        emit(document | {"file": str(path)})
        return
    for place, counts in document["receipt"]["erased"].items():
        out.print(f"{place:<12} " + ", ".join(f"{number} {what}" for what, number in counts.items()))
    out.print(f"receipt      {path}", soft_wrap=True)
    for text in document["receipt"]["not_within_reach"]:
        out.print(f"not within reach: {text}", soft_wrap=True)
