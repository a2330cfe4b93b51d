"""What the log's machine words mean, for a reader without computer knowledge: (Chinese, English)."""

from typing import Literal

Tongue = Literal["zh", "en"]

EVENTS: dict[str, tuple[str, str]] = {
    "order.submitted": (
        "家属的委托和材料已接收并加密保存",
        "The family's order and material were received and stored encrypted",
    ),
    "order.requested": ("请求开始制作", "Production was requested"),
    "order.started": ("开始制作", "Production began"),
    "order.moved": ("委托状态改变", "The order's state changed"),
    "order.closed": ("委托完成并关闭", "The order was completed and closed"),
    "evidence.entered": ("证明文件已登记", "The papers of proof were entered"),
    "evidence.approved": ("证明文件经核对认可", "The papers of proof were checked and accepted"),
    "consent.requested": ("请求授权同意", "Consent was asked for"),
    "consent.given": ("亲属给予授权同意", "A relative gave consent"),
    "consent.granted": ("亲属给予授权同意", "A relative gave consent"),
    "consent.agreed": ("另一位亲属表示同意", "Another relative agreed"),
    "consent.notified": ("已通知另一位亲属", "Another relative was notified"),
    "consent.renewed": ("授权同意已续期", "Consent was renewed"),
    "consent.refused": ("授权同意被拒绝", "Consent was refused"),
    "consent.withdrawn": ("亲属撤回授权同意", "A relative withdrew consent"),
    "consent.objected": ("一位亲属提出异议", "A relative objected"),
    "consent.resolved": ("异议已处理", "An objection was resolved"),
    "consent.expired": ("授权同意已到期", "Consent expired"),
    "consent.decided": ("核对授权是否有效", "Consent was checked"),
    "consent.permit_refused": ("拒绝发放工作许可", "A permit to work was refused"),
    "permit.issued": ("发放短期工作许可", "A short-lived permit to work was issued"),
    "key.released": ("向一个制作步骤交付解密钥匙", "The key to the material was handed to one step"),
    "key.refused": ("拒绝交付解密钥匙", "The key to the material was refused"),
    "gate.passed": ("质量检查通过", "A quality check was passed"),
    "gate.failed": ("质量检查未通过", "A quality check was not passed"),
    "step.started": ("一个制作步骤开始", "A production step began"),
    "step.finished": ("一个制作步骤完成", "A production step was finished"),
    "step.failed": ("一个制作步骤失败", "A production step failed"),
    "step.refused": ("一个制作步骤被拒绝执行", "A production step was refused"),
    "review.opened": ("影片提交人工审核", "The film was put before a person"),
    "review.shown": ("审核人查看了影片", "The reviewer looked at the film"),
    "review.decided": ("审核人作出决定", "The reviewer decided"),
    "film.delivered": ("影片已交付", "The film was delivered"),
    "film.downloaded": ("影片被下载", "The film was downloaded"),
    "film.archived": ("影片制成加密文件交付", "The film was handed over as an encrypted archive"),
    "film.withdrawn": ("影片停止提供", "The film was taken back"),
    "link.issued": ("生成一个下载链接", "A download link was made"),
    "link.refused": ("下载链接被拒绝", "A download link was refused"),
    "link.revoked": ("下载链接已作废", "A download link was revoked"),
    "subject.erased": (
        "逝者的全部个人材料已删除，钥匙已销毁",
        "All personal material was erased and its key destroyed",
    ),
    "order.replayed": ("制作过程重做一遍并逐一比对", "The production was done again and compared"),
    "order.revised": ("委托内容被修改", "The order was revised"),
    "order.script_changed": ("文稿被修改", "The script was changed"),
    "order.previewed": ("查看了预览", "A preview was watched"),
    "order.plan_changed": ("演绎计划被修改", "The direction plan was changed"),
    "order.erased": ("委托的材料已删除", "The order's material was erased"),
    "evidence.refused": ("证明文件未被认可", "The papers of proof were not accepted"),
    "erasure.started": ("开始删除", "Erasing began"),
    "erasure.completed": ("删除完成", "Erasing was completed"),
    "key.rotated": ("日志的签名钥匙已更换", "The log's signing key was changed"),
    "key.gate_made": ("下载窗口的签名钥匙已登记", "The link gate was given a signing key of its own"),
    "batch.opened": ("夜间批次开始", "A night's batch began"),
    "batch.closed": ("夜间批次结束", "A night's batch ended"),
    "consent.erased": ("授权记录已随材料删除", "The consent record was erased with the material"),
    "consent.invalidated": ("授权同意被判定无效", "Consent was declared invalid"),
    "consent.revoked": ("授权同意被撤销", "Consent was revoked"),
    "review.uncounted": ("一次审核答复未被采纳", "A reviewer's answer was not counted"),
    "consent.erasure_scheduled": ("已排定删除", "Erasing was scheduled"),
    "settings.changed": ("工作室设置改变", "The studio's settings were changed"),
    "model.imported": ("导入了基础模型", "A base model was imported"),
    "anchor.missed": ("一次外部存证未能完成", "A copy outside the studio could not be made"),
}

STEPS: dict[str, tuple[str, str]] = {
    "ingest": ("整理材料", "sort material"),
    "quality_gate": ("检查材料", "check material"),
    "prepare_face": ("准备面部", "prepare face"),
    "train_face": ("学习面容", "learn the face"),
    "prepare_voice": ("准备声音", "prepare voice"),
    "train_voice": ("学习声音", "learn the voice"),
    "direct": ("编排文稿", "direct"),
    "speak": ("合成语音", "speak"),
    "animate": ("生成画面", "animate"),
    "compose": ("合成影片", "compose"),
    "seal": ("标识并签名", "label and sign"),
    "output_gate": ("检查影片", "check the film"),
    "package": ("制作纪念网页", "make the memorial page"),
    "evaluate_face": ("检验面容模型", "examine the face model"),
    "report": ("查看检查报告", "read a report"),
    "deliver": ("交付", "deliver"),
}

DECISIONS: dict[str, tuple[str, str]] = {
    "granted": ("允许", "allowed"),
    "refused": ("拒绝", "refused"),
    "frozen": ("冻结", "frozen"),
    "passed": ("通过", "passed"),
    "failed": ("未通过", "not passed"),
    "approved": ("批准", "approved"),
    "rejected": ("驳回", "rejected"),
    "delivered": ("已交付", "delivered"),
}

RELATIONS: dict[str, tuple[str, str]] = {
    "subject": ("逝者", "the person who died"),
    "spouse": ("委托人（配偶）", "commissioned by the spouse"),
    "son": ("委托人（儿子）", "commissioned by the son"),
    "daughter": ("委托人（女儿）", "commissioned by the daughter"),
    "child": ("委托人（子女）", "commissioned by the child"),
    "father": ("委托人（父亲）", "commissioned by the father"),
    "mother": ("委托人（母亲）", "commissioned by the mother"),
    "parent": ("委托人（父母）", "commissioned by the parent"),
    "sibling": ("委托人（兄弟姐妹）", "commissioned by a brother or sister"),
}

PAPERS: dict[str, tuple[str, str]] = {
    "death": ("死亡证明", "proof of the death"),
    "kinship": ("亲属关系证明", "proof of kinship"),
    "identity": ("身份证明", "proof of identity"),
    "rank": ("无在先顺位亲属的证明", "proof that no closer relative is left"),
    "lifetime_will": ("逝者生前的书面意愿", "what the person laid down while alive"),
    "notary": ("公证书", "a notary's certificate"),
    "guardian": ("监护人证明", "proof of guardianship"),
    "third_party": ("影像中其他人的同意书", "consent of another person who can be recognised"),
    "objection": ("异议文件", "an objection"),
    "other": ("其他文件", "another paper"),
}

TARGETS: dict[str, tuple[str, str]] = {
    "local": ("放入工作室的交付文件夹", "into the studio's delivery folder"),
    "s3": ("放入只有凭链接才能打开的交付库", "into the delivery store, which opens by link only"),
}

PURPOSES: dict[str, tuple[str, str]] = {
    "family_private": ("仅限家人", "for the family only"),
    "ceremony": ("追思仪式", "for a ceremony"),
    "therapy": ("心理疗愈", "for therapy"),
    "public_memorial": ("公开纪念", "a public memorial"),
    "film": ("影视作品", "for a film"),
    "commercial": ("商业用途", "commercial use"),
}

ACTORS: dict[str, tuple[str, str]] = {
    "person": ("工作人员", "staff"),
    "service": ("系统", "system"),
    "family": ("家属", "family"),
    "auditor": ("审计员", "auditor"),
}

# Sections of a report, in the order a reader asks: (key, heading, types it gathers, what to say when there are none)
SECTIONS: tuple[tuple[str, tuple[str, str], tuple[str, ...], tuple[str, str]], ...] = (
    ("asked", ("委托了什么", "What was asked"), ("order.submitted", "order.requested"),
     ("没有记录。", "Nothing is on record.")),
    ("consent", ("谁同意，依据什么证明", "Who consented, on which evidence"), ("consent.", "evidence."),
     ("没有授权记录。", "No consent is on record.")),
    ("checked", ("检查了什么", "What was checked"), ("gate.",), ("没有检查记录。", "No check is on record.")),
    ("approved", ("谁审核批准", "Who approved"), ("review.",), ("没有审核记录。", "No review is on record.")),
    ("received", ("谁收到了影片", "Who received the film"), ("film.", "link."),
     ("没有交付。", "Nothing was delivered.")),
    ("erased", ("删除了什么", "What was erased"), ("subject.", "erasure.", "order.erased"),
     ("没有删除。", "Nothing was erased.")),
)  # fmt: skip


def word(table: dict[str, tuple[str, str]], key: str, tongue: Tongue) -> str:
    """The word for `key`, or `key` itself when it has none."""
    pair = table.get(key)
    return key if pair is None else pair[0 if tongue == "zh" else 1]
