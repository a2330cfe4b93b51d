"""What the fictional families say and write. Every person, place and number here is invented.

The scripts speak in the voice of remembrance: they never claim that the person is alive, present or watching.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Family:
    """One fictional family: the order document without its id, and the transcripts of the recordings."""

    language: str
    order: dict[str, Any]
    recordings: tuple[str, ...]
    papers: dict[str, tuple[str, tuple[tuple[str, str], ...]]]  # file stem -> title, rows


_ZH_RECORDINGS = (
    "今天天气真好，太阳一出来，院子里就暖和了。",
    "我早上六点就起来了，先烧水，再去菜场买菜。",
    "小雨，你爱吃的红烧肉，奶奶给你留着呢。",
    "做红烧肉不能着急，火要小，时间要长。",
    "先放糖，炒到起泡，再把肉倒进去，慢慢翻。",
    "你爷爷年轻的时候，骑一辆旧自行车来接我。",
    "那时候路不好走，下雨天，两个人一身泥。",
    "我们结婚没有照相，就吃了一碗长寿面。",
    "我在小学教了三十一年书，教语文，也教唱歌。",
    "班上最多的时候有五十六个孩子，名字我都记得。",
    "有个学生叫王建国，前年还写信给我，说他当了医生。",
    "我听了心里高兴，比吃什么都甜。",
    "这张照片是在西湖边拍的，那年你爸爸才八岁。",
    "他不肯穿新鞋，光着脚跑，把我急坏了。",
    "桂花开了，满院子都是香的，我摘了一些晒干。",
    "晒干的桂花泡茶，放一点蜂蜜，冬天喝最好。",
    "下雪的时候，我们围着炉子剥花生，讲老故事。",
    "你问我怕不怕老，我说不怕，谁都有这一天。",
    "人这一辈子，平平安安，比什么都要紧。",
    "钱够用就行，别为了钱和自家人生气。",
    "兄弟姐妹要常来往，过年过节，打个电话也好。",
    "我的那本菜谱放在柜子第二层，蓝色的封面。",
    "上面写得不全，有些味道要自己去试。",
    "昨天夜里起风了，窗户响了半夜，我没睡好。",
    "医生说要多走路，我每天绕着公园走两圈。",
    "公园里有一群老姐妹，我们一起唱歌，唱得还不错。",
    "你小时候发烧，我抱着你走了十里路去看病。",
    "现在你比我高一个头了，该你扶着我走了。",
    "楼下的猫又来了，我给它留了一点鱼。",
    "它不怕人，吃完了就趴在门口晒太阳。",
    "我最喜欢春天，种什么都能活。",
    "去年种的月季开了二十多朵，红的黄的都有。",
    "做人要实在，答应别人的事，一定要做到。",
    "不会的东西就去学，多大年纪都不晚。",
    "我六十五岁才学会用手机，现在还会发照片。",
    "你给我买的毛衣很暖和，颜色我也喜欢。",
    "别总说忙，再忙也要好好吃饭，早点睡觉。",
    "等桃子熟了，你们都回来，我做一大桌菜。",
    "路上慢一点，到了给我打个电话。",
    "奶奶这里什么都好，你们不用担心。",
    "谢谢你们常来看我，有你们在，我很满足。",
    "好了，今天就说到这里，水开了，我去泡茶。",
)

_EN_RECORDINGS = (
    "Good morning. The sun is out today, and the kitchen is already warm.",
    "I was up at six, the way I always am, and I put the kettle on first.",
    "Your grandfather used to say that I could hear the birds think.",
    "We met at a dance in nineteen fifty two, and he stepped on both my feet.",
    "He said sorry so many times that I finally laughed and let him stay.",
    "I taught the third grade for thirty one years, and I loved nearly all of it.",
    "The first week was noise, and chalk dust, and thirty new names to learn.",
    "One of those boys became a doctor, and he still writes to me every spring.",
    "Now, the secret of a good pie is cold butter and a little patience.",
    "Do not hurry the crust. If you rush it, it will know, and so will everyone else.",
    "This photograph was taken by the lake, the summer your father was eight.",
    "He would not keep his shoes on, so I chased him up and down the shore.",
    "When it snowed, we pulled the chairs close to the stove and told old stories.",
    "I still keep the blue bowl my mother carried all the way across the ocean.",
    "It has a crack along the side, but it never leaked, not even once.",
    "You asked me whether I was afraid of getting old. No, I was too busy for that.",
    "People think a long life is a matter of luck. Mostly it is good shoes and good friends.",
    "Please do not quarrel over money. It was never worth a quiet house.",
    "Call your brother on Sundays. He will pretend not to care, and then he will talk for an hour.",
    "The roses came up late this year, yellow first, and then the red ones by the gate.",
    "I walk around the park twice a day because the doctor told me to, and because I like it.",
    "There is a gray cat who visits the porch, and I may have given her some fish.",
    "She eats, and then she lies down in the sun as though she paid the rent.",
    "When you had that fever, I carried you half a mile through the rain.",
    "Look at you now, taller than the door, and still asking me for cookies.",
    "My recipe book is on the second shelf, the one with the green cover.",
    "Half of it is not written down. You will have to taste, and try, and taste again.",
    "I learned to use a computer when I was seventy, so nobody tell me it is too late.",
    "Keep your promises, even the small ones. Those are the ones people remember.",
    "Thank you for the sweater. It is soft, and warm, and just the right shade of blue.",
    "Eat a proper breakfast, and go to bed before midnight, at least once in a while.",
    "When the peaches are ripe, all of you come over, and I will cook for everyone.",
    "Drive slowly, watch the road by the river, and ring me when you get there.",
    "I have had a good life, with hard years in it, and I would choose it again.",
    "You children made this house loud, and I was always grateful for the noise.",
    "That is enough talking for today. The water is boiling, and I want my tea.",
)

_ZH = Family(
    language="zh-CN",
    order={
        "subject": {
            "name": "陈桂兰",
            "born": "1934-09-16",
            "died": "2021-03-08",
            "domicile": "CN",
            "lifetime_arrangement": {"kind": "none"},
        },
        "grantors": [
            {
                "name": "陈小雨",
                "relation": "daughter",
                "evidence": ["papers/kinship.pdf", "papers/death.pdf", "papers/identity-daughter.pdf"],
                "contact": "xiaoyu@family.example",
            }
        ],
        "co_kin": [
            {"name": "陈建明", "relation": "son", "position": "agreed", "evidence": ["papers/agreement-son.pdf"]}
        ],
        "purpose": "family_private",
        "jurisdictions": ["CN"],
        "language": "zh-CN",
        "script": [
            {"text": "孩子们，这是一段用我留下的照片和录音做成的影像。", "emotion": "calm", "pause": 0.7},
            {"text": "桂花开的时候，我总爱坐在院子里，听你们说说笑笑。", "emotion": "warm"},
            {"text": "小雨第一次给我做红烧肉，盐放多了，我还是吃了两碗。", "emotion": "happy", "pause": 0.6},
            {"text": "建明考上大学那天，我走了一路，见人就说。", "emotion": "proud"},
            {"text": "也有舍不得的时候，夜里想起你爷爷，眼睛就湿了。", "emotion": "sad", "pause": 0.8, "gaze": "down"},
            {"text": "可是这一辈子，有你们叫我一声妈妈，一声奶奶，我很知足。", "emotion": "grateful", "pause": 0.7},
            {"text": "好好吃饭，好好睡觉，兄妹常来往。", "emotion": "warm"},
            {"text": "想我的时候，就泡一杯桂花茶吧。", "emotion": "calm", "pause": 1.2},
        ],
        "translation": {
            "en-US": [
                "Children, this film was made from the photographs and recordings I left behind.",
                "When the osmanthus bloomed, I loved to sit in the yard and hear you talk and laugh.",
                "The first time Xiaoyu made me braised pork it was far too salty. I still had two bowls.",
                "The day Jianming got into university, I told everyone I met along the road.",
                "Some things were hard to let go. At night I thought of your grandfather, and my eyes grew wet.",
                "But to have been called mother, and grandmother, by all of you: that was plenty for one life.",
                "Eat well, sleep well, and stay close to one another.",
                "And when you miss me, make a cup of osmanthus tea.",
            ]
        },
        "lexicon": {"陈桂兰": "chen2 gui4 lan2"},
    },
    recordings=_ZH_RECORDINGS,
    papers={
        "death": (
            "死亡证明（虚构）",
            (("姓名", "陈桂兰"), ("出生", "1934-09-16"), ("去世", "2021-03-08"), ("编号", "虚构-0000-0001")),
        ),
        "kinship": (
            "亲属关系证明（虚构）",
            (("逝者", "陈桂兰"), ("女儿", "陈小雨"), ("儿子", "陈建明"), ("编号", "虚构-0000-0002")),
        ),
        "identity-daughter": (
            "身份证明（虚构）",
            (("姓名", "陈小雨"), ("出生", "1962-05-20"), ("号码", "虚构-0000-0003")),
        ),
        "agreement-son": (
            "近亲属同意书（虚构）",
            (
                ("签署人", "陈建明"),
                ("与逝者关系", "儿子"),
                ("意见", "同意家庭内部纪念用途"),
                ("编号", "虚构-0000-0004"),
            ),
        ),
    },
)

_EN = Family(
    language="en-US",
    order={
        "subject": {
            "name": "Rose Chen",
            "born": "1932-04-11",
            "died": "2020-10-02",
            "domicile": "US-OR",
            "lifetime_arrangement": {
                "kind": "permits",
                "purposes": ["family_private"],
                "evidence": ["papers/wish.pdf"],
            },
        },
        "grantors": [
            {
                "name": "Helen Chen Marlow",
                "relation": "daughter",
                "evidence": ["papers/kinship.pdf", "papers/death.pdf", "papers/identity-daughter.pdf"],
                "contact": "helen@family.example",
            }
        ],
        "co_kin": [
            {"name": "Daniel Chen", "relation": "son", "position": "agreed", "evidence": ["papers/agreement-son.pdf"]}
        ],
        "purpose": "family_private",
        "jurisdictions": ["US-OR"],
        "language": "en-US",
        "script": [
            {
                "text": "My dears, this film was made from the photographs and recordings I left behind.",
                "emotion": "calm",
                "pause": 0.7,
            },
            {"text": "I loved that kitchen in the morning, with all of you talking at once.", "emotion": "warm"},
            {
                "text": "Helen, your first pie was burned on the bottom, and we ate every bit of it.",
                "emotion": "happy",
                "pause": 0.6,
            },
            {
                "text": "Daniel, the day you finished school, I told every person on the bus.",
                "emotion": "proud",
            },
            {
                "text": "There were hard years too, and nights when I missed your father so.",
                "emotion": "sad",
                "pause": 0.8,
                "gaze": "down",
            },
            {
                "text": "But you called me mother, and then grandmother, and that was plenty for one life.",
                "emotion": "grateful",
                "pause": 0.7,
            },
            {"text": "Eat a good breakfast, and call your brother on Sundays.", "emotion": "warm"},
            {"text": "And when you miss me, plant something yellow.", "emotion": "calm", "pause": 1.2},
        ],
        "translation": {
            "zh-CN": [
                "亲爱的孩子们，这段影像是用我留下的照片和录音做成的。",
                "我最喜欢清晨的厨房，你们大家一起说话的样子。",
                "海伦，你第一次烤的派底下焦了，我们还是吃得一点不剩。",
                "丹尼尔，你毕业那天，我对公共汽车上的每个人都说了。",
                "也有艰难的年月，有些夜晚，我很想念你们的父亲。",
                "可是你们叫我妈妈，后来又叫我奶奶，这一辈子，足够了。",
                "早饭要吃好，星期天记得给弟弟打电话。",
                "想我的时候，就种一株黄色的花吧。",
            ]
        },
    },
    recordings=_EN_RECORDINGS,
    papers={
        "death": (
            "Death certificate (FICTIONAL)",
            (("Name", "Rose Chen"), ("Born", "1932-04-11"), ("Died", "2020-10-02"), ("Number", "FICTIONAL-0001")),
        ),
        "kinship": (
            "Record of kinship (FICTIONAL)",
            (
                ("Deceased", "Rose Chen"),
                ("Daughter", "Helen Chen Marlow"),
                ("Son", "Daniel Chen"),
                ("Number", "FICTIONAL-0002"),
            ),
        ),
        "identity-daughter": (
            "Proof of identity (FICTIONAL)",
            (("Name", "Helen Chen Marlow"), ("Born", "1958-06-30"), ("Number", "FICTIONAL-0003")),
        ),
        "agreement-son": (
            "Agreement of next of kin (FICTIONAL)",
            (
                ("Signed by", "Daniel Chen"),
                ("Relation", "son"),
                ("Position", "agrees to a private family memorial"),
                ("Number", "FICTIONAL-0004"),
            ),
        ),
        "wish": (
            "Statement of wishes (FICTIONAL)",
            (
                ("Signed by", "Rose Chen"),
                ("Date", "2018-01-15"),
                ("Wish", "My family may remember me with a film made for themselves."),
                ("Number", "FICTIONAL-0005"),
            ),
        ),
    },
)

FAMILIES = {"zh-CN": _ZH, "en-US": _EN}
