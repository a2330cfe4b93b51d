"""English sentences by the hundred for generated speech: our own words put into our own patterns.

They need not be wise, only sayable: what counts is that every English phone follows every other one often.
"""

from collections.abc import Iterator
from random import Random

_PEOPLE = """
my father|our mother|the old carpenter|a young nurse|grandmother|grandfather|uncle George|aunt Sylvia|the neighbours|
the children|two sailors|the village priest|her cousin Arthur|his brother Theo|our teacher|the baker's wife|
a stranger|the shy girl next door|my oldest friend|the choir|three students|the doctor|a tired farmer|the judge|
little Joyce|the conductor|both boys|the postman|Mrs. Thatcher|Dr. Vaughan|the whole family|an honest plumber|
the queen's gardener
"""
_DID = """
repaired|carried|painted|forgot|found|borrowed|measured|polished|photographed|remembered|sold|buried|hid|weighed|
washed|described|noticed|chose|followed|unlocked|examined|gathered|watched|praised|shook|threw away|put together|
brought back|looked after|drew|judged|wrapped|cherished|mended|moved|showed us|gave away|dreamt of|laughed about
"""
_THINGS = """
the broken clock|seven oranges|a leather suitcase|the garden gate|his violin|a bowl of thick soup|her wedding ring|
the yellow curtains|an enormous fish|some fresh bread|every photograph|the wooden bridge|a heavy box of books|
five beige cushions|the kitchen chair|an old newspaper|the church organ|a jar of honey|their fishing boat|
the rusty key|a pair of gloves|the azure vase|a cage of pigeons|the roof of the barn|nine small candles|
that ugly statue|a cheap watch|the last letter|ten pounds of cherries|a cup of strong coffee|the sewing machine|
my bicycle|the engine|a huge umbrella|an unusual treasure|the map of the valley|each of the shoes|
a quilt of blue and white squares|the telephone
"""
_WHERE = """
in the cellar|behind the old school|near the river|at the railway station|under the apple tree|on the kitchen table|
above the harbour|beside the fireplace|outside the theatre|across the narrow street|between two tall houses|
in the shade of the oak|down at the beach|along the quiet road|at his sister's wedding|by the garden wall|in the fog|
on the way to church|inside the stable|over the hills|through the forest|at the foot of the stairs|in our first flat
"""
_WHEN = """
before breakfast|on a cold Thursday morning|during the war|after the funeral|every summer|twice a week|last Christmas|
in the autumn of nineteen sixty three|at half past eight|just before sunrise|when nobody was watching|for many years|
the year the river froze|on her birthday|as soon as the rain stopped|while we were asleep|once upon a time|last July|
a month later|without a word|with great pleasure|as usual|rather slowly|for the fourth time|until the moon rose
"""
_ALSO = """
and nobody ever knew why|but the dog only yawned|so we laughed until we cried|and that was enough for us|
because there was nothing else to do|though it was far too late|and the weather changed at once|which made her proud|
and then went home singing|as if it were the most natural thing in the world|but I would not change a thing|
and I can still hear the noise|so please don't be sad|while the kettle boiled|
and we thanked them both with all our hearts
"""
_WISHES = """
I hope that you will always|Remember to|Promise me that you will|You should never forget to|
There is no better way than to|One day you will understand how to|Do not be afraid to|It is never too early to|
Teach your children to|Try, at least once, to
"""
_DEEDS = """
share your bread with a neighbour|sing in the kitchen|plant a tree and watch it grow|ask for help when you need it|
listen before you judge|swim in the sea at night|thank the people who raised you|choose your words with care|
write long letters by hand|laugh at your own mistakes|enjoy the smell of fresh coffee|look up at the stars|
keep your tools clean and sharp|visit the place where you were born|tell the truth, even when it costs you something|
measure twice and cut once|dance with somebody you love|forgive each other quickly|leave the house in good order|
breathe deeply and begin again|be gentle with animals|pay attention to small things|cook the soup the way she did
"""
_ASKS = """
Did you know that|Can you imagine how|Why is it that|Have I ever told you how|Do you believe that|
Who would have thought that
"""
_SAID = """
Yes, of course|No, thank you|Oh, what a surprise|Well, never mind|Listen, my dear|Good heavens|To be honest|
By the way|You see|Thank goodness|All right, then|As far as I know
"""
_ALONE = """
acorn|advice|airport|almond|amber|anchor|angel|ankle|apron|artist|ashes|athlete|attic|August|autumn|avenue|axe|
baggage|bamboo|banjo|bargain|basin|beaver|beetle|bishop|blossom|bonfire|boulder|brandy|bronze|bruise|buckle|budget|
bullet|butcher|cabbage|camel|canyon|castle|cavern|cedar|chapel|cheese|chimney|chisel|chorus|cider|cinema|circus|cloth|
clover|coal|cobweb|comfort|compass|copper|cottage|courage|cradle|crayon|cruise|crystal|cushion|daisy|danger|daughter|
decision|delight|desert|diary|dolphin|donkey|dough|dozen|drawer|dusk|earth|echo|eagle|elbow|emerald|engine|envelope|
error|estate|eyelash|fabric|factory|feather|fever|fiddle|filth|finger|flannel|flavour|fleece|flute|fog|folklore|
fountain|fox|frost|fudge|funeral|galaxy|garlic|genius|ghost|giant|ginger|giraffe|glacier|glimpse|goose|gossip|grape|
gravel|guitar|gulf|gypsum|habit|hammock|harvest|hawk|hazel|health|hedgehog|heir|herb|hinge|hoof|horizon|hymn|iceberg|
illusion|index|insect|island|ivory|jacket|jewel|journal|juice|jungle|justice|kennel|kettle|kingdom|kitten|knight|
knuckle|lace|ladder|lantern|lavender|lawn|leisure|lemon|length|lighthouse|lobster|locksmith|luggage|lullaby|machine|
magic|maple|marble|margin|marvel|mayor|meadow|measure|medal|melody|mercy|method|mirror|mischief|moisture|mosquito|
moth|mustache|myth|napkin|needle|nephew|nickel|noise|north|nutmeg|oath|oatmeal|oboe|ocean|offer|olive|onion|orchard|
ostrich|otter|outlaw|oxygen|oyster|paddle|palace|parcel|parrot|path|pearl|pepper|pigeon|pillow|pirate|pleasure|plum|
poem|poison|porch|potato|powder|prayer|prison|proverb|pumpkin|puzzle|quarrel|quartz|quilt|rabbit|radish|raft|railway|
razor|reason|receipt|refuge|rhythm|ribbon|riddle|robin|rouge|royal|rubbish|rust|saddle|salmon|sandal|satchel|scholar|
scissors|sculpture|shadow|shawl|sheriff|shovel|shrimp|silk|siren|skeleton|sleeve|smoke|snail|soil|soldier|sparrow|
spectacle|spinach|spoon|squirrel|staircase|sugar|sunshine|swallow|syrup|tailor|tavern|teacup|temple|thermos|thigh|
thimble|thistle|thorn|throat|thumb|thunder|tiger|toad|tongue|tooth|torch|tower|tractor|treaty|trousers|tulip|turtle|
twelfth|twilight|uncle|universe|usher|valley|vapour|velvet|verse|vessel|vineyard|vision|voice|vulture|waffle|walnut|
warmth|weasel|wheat|whisper|width|willow|wisdom|witness|wolf|worship|wreath|wrinkle|yacht|yarn|yeast|yolk|youth|zebra|
zigzag|zoo
"""


def _words(table: str) -> list[str]:
    return [word.strip() for word in table.replace("\n", "").split("|")]


def sentences(count: int, seed: int) -> Iterator[str]:
    """`count` different sentences, the same ones for the same seed."""
    draw = Random(seed)
    seen: set[str] = set()
    people, did, things, where, when, also, wishes, deeds, asks, said, alone = map(
        _words, (_PEOPLE, _DID, _THINGS, _WHERE, _WHEN, _ALSO, _WISHES, _DEEDS, _ASKS, _SAID, _ALONE)
    )

    def one(table: list[str]) -> str:
        return draw.choice(table)

    def event() -> str:
        return f"{one(people)} {one(did)} {one(things)}"

    def listed() -> str:
        return ", ".join(draw.sample(alone, draw.randint(2, 4)))

    patterns = (
        lambda: f"{one(people)} {one(did)} the {one(alone)} and the {one(alone)}, not the {one(alone)}.",
        lambda: f"{one(said)}, it was {listed()} and {one(alone)}.",
        lambda: f"The {one(alone)} of the {one(alone)} and the {one(alone)} {one(where)}.",
        lambda: f"{event()} {one(where)}.",
        lambda: f"{one(when)}, {event()}.",
        lambda: f"{event()} {one(when)}, {one(also)}.",
        lambda: f"{one(wishes)} {one(deeds)}.",
        lambda: f"{one(asks)} {event()} {one(where)}?",
        lambda: f"{one(said)}, {event()} {one(when)}.",
        lambda: f"{one(where)}, {one(people)} and {one(people)} {one(did)} {one(things)}.",
    )
    while len(seen) < count:
        text = draw.choice(patterns)()
        text = text[0].upper() + text[1:]
        if text not in seen:
            seen.add(text)
            yield text
